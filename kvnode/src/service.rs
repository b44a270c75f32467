//! What stands between the serving thread and whoever runs the service: signals, the service manager, and
//! the configuration, read again.

use std::io;

use kv_daemon::config_file::{Configuration, InForce};
use kv_daemon::logging::LogLevel;
use kv_daemon::reload::reread;
use kv_daemon::service_manager::ServiceManager;
use kv_daemon::signals::{Asked, Signals};

use crate::cli::{Arguments, DumpInterval};

/// What changes without a restart.
const LIVE: [&str; 2] = ["dump-interval", "log-level"];

/// The outer side of a running node.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) manager: ServiceManager,
    signals: Signals,
    log_level: LogLevel,
    in_force: InForce,
}

impl Service {
    /// Listens to signals from now on. Needs a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(log_level: LogLevel, in_force: InForce) -> io::Result<Self> {
        Ok(Self {
            manager: ServiceManager::of_environment(),
            signals: Signals::listen()?,
            log_level,
            in_force,
        })
    }

    /// What the node is asked next. Nothing is lost when the future is dropped.
    pub(crate) async fn asked(&mut self) -> Asked {
        self.signals.next().await
    }

    /// Reads the configuration again. Gives what the node itself has to act upon.
    pub(crate) async fn reload(&mut self) -> Option<DumpInterval> {
        self.manager.reloading();
        let reread = reread::<Arguments>(&self.in_force, &LIVE).await;
        self.manager.ready();
        let Configuration {
            arguments,
            in_force,
        } = reread?;
        self.log_level.set(arguments.log_level);
        self.in_force = in_force;
        Some(arguments.dump_interval)
    }
}
