//! What stands between the registry and whoever runs the service: signals, the service manager, and the
//! configuration, read again.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use coordinator_core::coordinator::Settings;
use kv_common::message::registry::ClusterStatus;
use kv_daemon::config_file::{Configuration, InForce};
use kv_daemon::logging::LogLevel;
use kv_daemon::reload::{reread, reread_password};
use kv_daemon::service_manager::ServiceManager;
use kv_daemon::signals::{Asked, Signals};
use kv_resp::Password;

use crate::cli::Arguments;

/// What changes without a restart.
const LIVE: [&str; 4] = [
    "copies",
    "min-in-sync",
    "sentinel-password-file",
    "log-level",
];

/// What Redis clients have to say before anything else. Read anew by a reload.
pub(crate) type SentinelPassword = Rc<RefCell<Option<Password>>>;

/// The outer side of a running coordinator.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) manager: ServiceManager,
    signals: Signals,
    log_level: LogLevel,
    in_force: InForce,
    settings: Settings,
    sentinel_password: SentinelPassword,
}

impl Service {
    /// Listens to signals from now on. Needs a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(
        manager: ServiceManager,
        log_level: LogLevel,
        in_force: InForce,
        settings: Settings,
        sentinel_password: SentinelPassword,
    ) -> io::Result<Self> {
        Ok(Self {
            manager,
            signals: Signals::listen()?,
            log_level,
            in_force,
            settings,
            sentinel_password,
        })
    }

    /// What the coordinator is asked next. Nothing is lost when the future is dropped.
    pub(crate) async fn asked(&mut self) -> Asked {
        self.signals.next().await
    }

    /// Reads the configuration again, and the file that it names. Gives what the core has to act upon.
    pub(crate) async fn reload(&mut self) -> Option<Settings> {
        self.manager.reloading();
        let read = read_again(&self.in_force).await;
        self.manager.ready();
        let Reread {
            configuration,
            settings,
            password,
        } = read?;
        let Configuration {
            arguments,
            in_force,
        } = configuration;
        self.sentinel_password.replace(password);
        self.log_level.set(arguments.log_level);
        self.in_force = in_force;
        self.settings.copies = settings.copies;
        self.settings.min_in_sync = settings.min_in_sync;
        Some(self.settings)
    }
}

/// What a reload reads.
struct Reread {
    configuration: Configuration<Arguments>,
    settings: Settings,
    password: Option<Password>,
}

/// None, and said: something of it cannot be used, and all stays as it is.
async fn read_again(in_force: &InForce) -> Option<Reread> {
    let configuration = reread::<Arguments>(in_force, &LIVE).await?;
    let Some(settings) = configuration.arguments.settings() else {
        let why = configuration.arguments.more_to_hold_than_copies();
        let why = why.to_string();
        let why = why.lines().next().unwrap_or_default();
        tracing::error!("the configuration stays as it is: {why}");
        return None;
    };
    reread_password(move || {
        let password = configuration.arguments.sentinel_password()?;
        Ok(Reread {
            configuration,
            settings,
            password,
        })
    })
    .await
}

/// Epoch, primary, and what the cluster suffers from, in a line for the operator.
pub(crate) fn status_line(status: &ClusterStatus) -> String {
    let map = &status.map;
    let who = match &map.view {
        None => format!("no view yet, {} nodes known", status.nodes.len()),
        Some(view) => {
            let primary = view.primary.node;
            let name = map.nodes.get(&primary).map(|info| info.name.clone());
            let name = name.unwrap_or_else(|| primary.to_string());
            let (members, copies) = (view.members().count(), view.settings.copies);
            format!(
                "epoch {}, primary {name}, {members} of {copies} copies in sync",
                view.epoch
            )
        }
    };
    match status.conditions.first() {
        None => who,
        Some(condition) => format!("{who}; {condition}"),
    }
}
