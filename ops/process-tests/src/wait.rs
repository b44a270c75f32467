//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that normally takes a moment. Generous: a test machine may be busy, and
/// no test is about how long this is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it gives a value.
///
/// # Panics
/// When it still gives none after `limit`; the message holds `what` was waited for and what the last
/// look saw.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let seen = match probe() {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} for {what}; last seen: {seen}"
        );
        thread::sleep(LOOK_AGAIN);
    }
}
