//! The daemon that hears heartbeats and decides who is primary.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | what an operator says |
//! | `start` | the order of a start and of a stop |
//! | `doors` | where it listens, across restarts |
//! | `registry` | the task that owns the core, and carries out what it asks for |
//! | `connections`, `node_connection`, `client_connection` | who calls, and what is read from and written to them |
//! | `sentinel_connection` | Redis clients that ask where the primary is |
//! | `service` | signals, the service manager, the configuration read again |
//! | `snapshot`, `metrics` | what the registry leaves behind for the HTTP thread, and how it is shown |
//! | `page` | the page that shows the cluster live |
//! | `stored` | what is remembered, on the disk |
//! | `store_thread` | the thread that writes it |

mod cli;
mod client_connection;
mod connections;
mod doors;
mod metrics;
mod node_connection;
mod page;
mod registry;
mod sentinel_connection;
mod service;
mod snapshot;
mod start;
mod store_thread;
mod stored;

use std::process::ExitCode;

use clap::CommandFactory;
use kv_daemon::config_file::Configuration;
use kv_daemon::{config_file, documents, logging};

use crate::cli::Arguments;

fn main() -> ExitCode {
    if let Some(code) = documents::asked_for(Arguments::command) {
        return code;
    }
    let Configuration::<Arguments> {
        arguments,
        in_force,
    } = config_file::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let Some(settings) = arguments.settings() else {
        arguments.more_to_hold_than_copies().exit()
    };
    if let Some(code) = arguments.looks.carry_out(&in_force) {
        return code;
    }
    let log_level = logging::start(arguments.log_format, arguments.log_level);
    match start::run(&arguments, settings, in_force, log_level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
