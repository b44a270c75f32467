//! What stands between the serving thread and whoever runs the service: signals, the service manager, and
//! the configuration, read again.

use std::io;

use kv_daemon::config_file::{Configuration, InForce};
use kv_daemon::logging::LogLevel;
use kv_daemon::reload::{reread, reread_password};
use kv_daemon::service_manager::ServiceManager;
use kv_daemon::signals::{Asked, Signals};
use kv_resp::Password;

use crate::cli::{Arguments, DumpInterval};

/// What changes without a restart.
const LIVE: [&str; 3] = ["dump-interval", "redis-password-file", "log-level"];

/// What the node itself has to act upon.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) dump_interval: DumpInterval,
    pub(crate) redis_password: Option<Password>,
}

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

    /// Reads the configuration again, and the files that it names. None: all stays as it is.
    pub(crate) async fn reload(&mut self) -> Option<Reloaded> {
        self.manager.reloading();
        let reread = reread::<Arguments>(&self.in_force, &LIVE).await;
        let read = match reread {
            Some(configuration) => with_password(configuration).await,
            None => None,
        };
        self.manager.ready();
        let (configuration, redis_password) = read?;
        let Configuration {
            arguments,
            in_force,
        } = configuration;
        self.log_level.set(arguments.log_level);
        self.in_force = in_force;
        Some(Reloaded {
            dump_interval: arguments.dump_interval,
            redis_password,
        })
    }
}

async fn with_password(
    configuration: Configuration<Arguments>,
) -> Option<(Configuration<Arguments>, Option<Password>)> {
    reread_password(move || {
        let password = configuration.arguments.redis_password();
        password.map(|password| (configuration, password))
    })
    .await
}
