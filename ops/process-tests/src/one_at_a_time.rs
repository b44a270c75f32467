//! One cluster at a time in this process: several at once would fight over two cores, and each would
//! see the others as failing disks and missed heartbeats. (cargo-nextest runs each test in a process of
//! its own; `.config/nextest.toml` keeps those apart.)

use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// Waits for its turn; the turn ends when the value goes.
pub(crate) fn take_turn() -> MutexGuard<'static, ()> {
    // A test that panicked in its turn is over all the same.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
