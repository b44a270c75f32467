//! The daemon that holds a full copy of its shard, as primary or backup.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | what an operator says |
//! | `start` | the order of a start and of a stop |
//! | `service` | signals, the service manager, the configuration read again |
//! | `serving` | the thread that owns the core, the table and all sockets of clients and peers |
//! | `coordinator_link` | the thread that sends heartbeats |
//! | `pulse` | what these two tell each other without waiting |
//! | `data_threads`, `copy_fetch` | the storage threads, and how a copy replaces what they work on |
//! | `metrics` | what is measured, and how it is shown over HTTP |
//! | `tool` | what is done with a data directory instead of running on it |
//! | `node_error` | why it does not start, or ends by itself |
//! | `events` | what other threads tell the serving thread |

mod cli;
mod coordinator_link;
mod copy_fetch;
mod data_threads;
mod events;
mod metrics;
mod node_error;
mod pulse;
mod service;
mod serving;
mod start;
mod tool;

use std::process::ExitCode;

use kv_daemon::config_file::Configuration;
use kv_daemon::{config_file, documents, logging};

use crate::cli::Arguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = documents::asked_for(cli::command_with_tools) {
        return code;
    }
    if let Some(tool) = tool::asked_for() {
        return tool.run();
    }
    let Configuration::<Arguments> {
        arguments,
        in_force,
    } = config_file::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Some(code) = arguments.looks.carry_out(&in_force) {
        return code;
    }
    let log_level = logging::start(arguments.log_format, arguments.log_level);
    match start::run(&arguments, in_force, log_level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
