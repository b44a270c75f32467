//! What is counted while a load is under way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::report::{Latency, LoadReport};
use super::verification::Verification;
use crate::error::ClientError;

/// The shortest latency that is told apart.
const LATENCY_MIN_NS: u64 = 1_000;
/// The longest latency that is told apart.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// What an operation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// What is counted while a load is under way. Can be read at any time.
#[derive(Debug)]
pub struct Meter {
    reads: Mutex<Histogram<u64>>,
    writes: Mutex<Histogram<u64>>,
    errors: Mutex<BTreeMap<String, u64>>,
    stale_reads: AtomicU64,
    foreign_reads: AtomicU64,
    unknown_outcomes: AtomicU64,
    /// Since `start`; 0 before the first acknowledged write.
    last_write_ns: AtomicU64,
    longest_gap_ns: AtomicU64,
    start: Mutex<Instant>,
}

impl Meter {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reads: Mutex::new(histogram()),
            writes: Mutex::new(histogram()),
            errors: Mutex::new(BTreeMap::new()),
            stale_reads: AtomicU64::new(0),
            foreign_reads: AtomicU64::new(0),
            unknown_outcomes: AtomicU64::new(0),
            last_write_ns: AtomicU64::new(0),
            longest_gap_ns: AtomicU64::new(0),
            start: Mutex::new(Instant::now()),
        }
    }

    /// How many operations were answered so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        locked(&self.reads).len() + locked(&self.writes).len()
    }

    /// How many operations failed so far.
    #[must_use]
    pub fn errors(&self) -> u64 {
        locked(&self.errors).values().sum()
    }

    pub(crate) fn start(&self) {
        *locked(&self.start) = Instant::now();
    }

    /// Ends the measurement. Returns how long it took.
    pub(crate) fn stop(&self) -> Duration {
        if self.last_write_ns.load(Ordering::Relaxed) > 0 {
            self.note_write();
        }
        locked(&self.start).elapsed()
    }

    pub(crate) fn answered(&self, kind: Kind, latency: Duration) {
        let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        match kind {
            Kind::Read => locked(&self.reads).saturating_record(latency_ns),
            Kind::Write => {
                locked(&self.writes).saturating_record(latency_ns);
                self.note_write();
            }
        }
    }

    pub(crate) fn failed(&self, error: &ClientError) {
        if *error == ClientError::OutcomeUnknown {
            self.unknown_outcomes.fetch_add(1, Ordering::Relaxed);
        }
        *locked(&self.errors).entry(error.to_string()).or_default() += 1;
    }

    pub(crate) fn read_was_stale(&self) {
        self.stale_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read_was_foreign(&self) {
        self.foreign_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stale_reads(&self) -> u64 {
        self.stale_reads.load(Ordering::Relaxed)
    }

    pub(crate) fn foreign_reads(&self) -> u64 {
        self.foreign_reads.load(Ordering::Relaxed)
    }

    pub(crate) fn unknown_outcomes(&self) -> u64 {
        self.unknown_outcomes.load(Ordering::Relaxed)
    }

    pub(crate) fn acknowledged_writes(&self) -> u64 {
        locked(&self.writes).len()
    }

    pub(crate) fn report(
        &self,
        elapsed: Duration,
        verification: Option<Verification>,
    ) -> LoadReport {
        LoadReport {
            elapsed,
            reads: Latency::of(&locked(&self.reads)),
            writes: Latency::of(&locked(&self.writes)),
            errors: locked(&self.errors).clone(),
            longest_write_gap: Duration::from_nanos(self.longest_gap_ns.load(Ordering::Relaxed)),
            verification,
        }
    }

    fn note_write(&self) {
        let elapsed = locked(&self.start).elapsed();
        let now_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).max(1);
        let last_ns = self.last_write_ns.swap(now_ns, Ordering::Relaxed);
        if last_ns > 0 {
            let gap_ns = now_ns.saturating_sub(last_ns);
            self.longest_gap_ns.fetch_max(gap_ns, Ordering::Relaxed);
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(
    clippy::expect_used,
    reason = "the bounds are constants that the library accepts"
)]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, SIGNIFICANT_DIGITS)
        .expect("bounds that fit")
}

/// Counts stay right when somebody panicked while adding to them.
fn locked<T>(counted: &Mutex<T>) -> MutexGuard<'_, T> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}
