//! How many connections the system lets a daemon have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets that a daemon wants to have open at most.
const OPEN_FILES: u64 = 32_768;

/// Asks for as many open files as are wanted, or as the system allows.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |max| max.min(OPEN_FILES));
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "fewer connections than usual can be open");
    }
}

/// How many files and sockets this process may have open.
#[must_use]
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
