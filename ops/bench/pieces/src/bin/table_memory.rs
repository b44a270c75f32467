//! How much the table of a node takes for each key, alone: a process with nothing else in it, and with the allocator
//! of `kvnode`.

use std::process::ExitCode;

use kvnode_core::state::State;
use pieces_bench::{VALUE, key};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: table-memory KEYS

Puts so many keys of 16 bytes with values of 64 bytes into a table and prints by how many bytes the process has grown
for each.";

fn main() -> ExitCode {
    let keys = std::env::args().nth(1);
    let Some(keys) = keys
        .and_then(|keys| keys.parse().ok())
        .filter(|keys| *keys > 0)
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let before = resident_kib();
    let mut state = State::new(1);
    for number in 0..keys {
        state.load_value(&key(number), &VALUE, None);
    }
    let (Some(before), Some(after)) = (before, resident_kib()) else {
        eprintln!("table-memory: /proc/self/status does not say what is resident");
        return ExitCode::FAILURE;
    };
    println!("{}", after.saturating_sub(before) * 1024 / state.keys());
    ExitCode::SUCCESS
}

/// What of this process is in memory.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
