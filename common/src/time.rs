//! Time as a value. Nothing here reads a clock: shells and the simulator hand the time in.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reading of a clock that never goes back and goes on while the machine is suspended
/// (`CLOCK_BOOTTIME`), in nanoseconds from a start that means nothing to anybody else.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The reading `by` later, or the last representable one.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// How long ago `earlier` was; zero when it is not in the past.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Wall-clock time in milliseconds since 1970. Decides expiry and labels events, nothing else.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The time `by` later, or the last representable one.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(by_ms))
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Both clocks, read together at the moment an input is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For everything that measures or waits.
    pub monotonic: Monotonic,
    /// For expiry and for labels.
    pub unix: UnixMs,
}
