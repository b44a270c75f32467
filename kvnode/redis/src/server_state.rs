//! What the commands on the node itself keep there.

use kv_resp::Password;

use crate::settings::{Setting, Settings};
use crate::slow_log::SlowLog;

/// Who may use DEBUG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugAccess {
    /// Nobody.
    #[default]
    No,
    /// Clients on the same machine.
    Local,
    /// Everybody.
    Yes,
}

/// What the commands on the node itself keep there.
#[derive(Debug, Default)]
pub struct ServerState {
    /// What clients have to say before anything else, if there is such a thing.
    pub password: Option<Password>,
    /// Who may use DEBUG.
    pub debug_access: DebugAccess,
    /// What CONFIG SET changes.
    pub settings: Settings,
    /// The newest requests that took long.
    pub slow_log: SlowLog,
}

impl ServerState {
    /// Settings take new values.
    pub fn configure(&mut self, settings: &[Setting]) {
        for setting in settings {
            self.settings.change(*setting);
        }
        self.slow_log.keep(self.settings.slow_requests);
    }

    /// Forgets the slow requests.
    pub fn forget_slow(&mut self) {
        self.slow_log.forget();
    }
}
