//! When a load is made and measured, and when each of its groups is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that is measured. It can be ended before it is over.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    begun: Instant,
    warm_up: Duration,
    /// From `begun` on, in nanoseconds; ending only ever lowers it.
    until_ns: Arc<AtomicU64>,
}

impl Span {
    /// From now on: first what is not measured, then what is.
    pub(crate) fn begin(warm_up: Duration, duration: Duration) -> Self {
        let until_ns = Arc::new(AtomicU64::new(nanoseconds(warm_up + duration)));
        Self {
            begun: Instant::now(),
            warm_up,
            until_ns,
        }
    }

    /// Ends it now, if it is not over.
    pub(crate) fn end(&self) {
        let now_ns = nanoseconds(self.begun.elapsed());
        self.until_ns.fetch_min(now_ns, Ordering::Relaxed);
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now - self.begun >= self.until()
    }

    /// Whether what was answered now counts.
    pub(crate) fn counts(&self, now: Instant) -> bool {
        let at = now - self.begun;
        at >= self.warm_up && at <= self.until()
    }

    /// How long was measured.
    pub(crate) fn measured(&self) -> Duration {
        self.until().saturating_sub(self.warm_up)
    }

    fn until(&self) -> Duration {
        Duration::from_nanos(self.until_ns.load(Ordering::Relaxed))
    }
}

/// When a lane begins its groups, whatever the answers before take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) first_after: Duration,
    pub(crate) every: Duration,
}

impl Pace {
    /// When the group of this number, from 0 on, is due.
    pub(crate) fn due(&self, begun: Instant, group: u32) -> Instant {
        begun + self.first_after + self.every * group
    }
}

fn nanoseconds(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Pace, Span};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_comes_before_and_behind_is_not_measured() {
        let span = Span::begin(SECOND, SECOND * 2);
        let at = |after: Duration| span.begun() + after;
        assert!(!span.counts(at(SECOND / 2)) && span.counts(at(SECOND * 2)));
        assert!(!span.counts(at(SECOND * 4)) && span.is_over(at(SECOND * 3)));
        assert_eq!(span.measured(), SECOND * 2);
    }

    #[test]
    fn one_that_is_ended_is_over() {
        let span = Span::begin(Duration::ZERO, SECOND * 1_000);
        let other = span.clone();
        assert!(!span.is_over(span.begun() + SECOND * 900));
        other.end();
        assert!(span.is_over(span.begun() + SECOND * 900));
        assert!(span.measured() < SECOND * 900);
    }

    #[test]
    fn groups_are_due_at_fixed_times() {
        let pace = Pace {
            first_after: SECOND,
            every: SECOND * 2,
        };
        let begun = std::time::Instant::now();
        let due: Vec<_> = (0..3).map(|group| pace.due(begun, group) - begun).collect();
        assert_eq!(due, [SECOND, SECOND * 3, SECOND * 5]);
    }
}
