//! How many connections the system lets a test have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many open files as the system allows; says how many this process may have then.
fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}

/// How many of so many clients a node takes: what it keeps for its data and other connections, it keeps out of the
/// same limit. Says so when it is fewer.
pub fn clients_that_fit(wanted: usize) -> usize {
    let fit = raise_open_files().saturating_sub(1024) / 4 * 3;
    if fit < wanted {
        eprintln!("only {fit} clients: the system allows no more open files");
    }
    fit.min(wanted)
}
