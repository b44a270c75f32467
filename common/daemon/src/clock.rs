//! The clocks, read in one place.

use kv_common::time::{Monotonic, Now, UnixMs};
use rustix::time::{ClockId, clock_gettime};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Both clocks.
#[must_use]
pub fn now() -> Now {
    Now {
        monotonic: monotonic(),
        unix: UnixMs(nanos(ClockId::Realtime) / NANOS_PER_MILLI),
    }
}

/// The clock that leases run by: it goes on while the machine is suspended.
#[must_use]
pub fn monotonic() -> Monotonic {
    Monotonic(nanos(ClockId::Boottime))
}

/// The wall clock in microseconds since 1970, for people and labels.
#[must_use]
pub fn unix_micros() -> u64 {
    nanos(ClockId::Realtime) / 1000
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both are positive on every machine whose wall clock is past 1970.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * NANOS_PER_SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let earlier = now();
        let later = now();
        assert!(later.monotonic >= earlier.monotonic);
        // 2020; a machine whose clock is before that cannot expire keys sensibly.
        assert!(later.unix.0 > 1_577_836_800_000);
    }
}
