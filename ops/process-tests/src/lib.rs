//! Runs the real programs on this machine and looks at them from outside, as their users do.
//!
//! A [`Cluster`] starts a coordinator and nodes on ports that the system chooses, in a folder of its
//! own. It waits for what it is asked to wait for, with a deadline and never for a fixed time, and asks
//! through `kvclient --output json`. When it goes, on success or in a panic, every process that it
//! started is killed; in a panic the ends of all logs are printed first.
//!
//! Everything here panics with a message when something is not as it has to be: it only runs in tests.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and this is only for tests"
)]

mod browser;
mod cluster;
mod cluster_options;
mod copies;
mod daemon;
mod http;
mod ledger;
mod link;
mod load;
mod log_tail;
mod manager;
mod one_at_a_time;
mod open_files;
mod programs;
mod proxy;
mod recorder;
mod redis_server;
mod resp;
mod status;
mod user;
mod wait;

pub use browser::Browser;
pub use cluster::Cluster;
pub use cluster_options::ClusterOptions;
pub use daemon::Daemon;
pub use http::{HttpAnswer, Metrics, http_get};
pub use ledger::Ledger;
pub use link::{Link, client_hello};
pub use load::Load;
pub use log_tail::LogTail;
pub use manager::Manager;
pub use open_files::clients_that_fit;
pub use programs::Program;
pub use proxy::Proxy;
pub use recorder::{Recorder, Recording, Way};
pub use redis_server::RedisServer;
pub use resp::RespConnection;
pub use status::{NodeState, Status};
pub use user::{Output, User};
pub use wait::{PATIENCE, wait_until};

use std::path::PathBuf;

/// The file `name` of `ops/testdata`.
#[must_use]
pub fn test_data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(name)
}
