//! Durations, counted in buckets without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds. What is above the last is counted in one more.
const BOUNDS_US: [u64; 17] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000,
];

/// Durations, counted in buckets. Counting costs two relaxed additions, and reading disturbs nobody: a
/// reading that falls between the two is off by one, as any reading of something that goes on is.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// What a histogram held.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Upper bounds in seconds, each with how many were at most that and above the one before.
    pub buckets: Vec<(f64, u64)>,
    /// Of all durations, in seconds.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.partition_point(|bound| *bound < microseconds);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was counted up to now.
    #[must_use]
    pub fn read(&self) -> Reading {
        let bounds = BOUNDS_US
            .iter()
            .map(|bound| Duration::from_micros(*bound).as_secs_f64());
        let counts = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        Reading {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;
    use std::time::Duration;

    #[test]
    fn a_duration_falls_into_the_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        for microseconds in [0, 20, 21, 1_000, 1_001, 6_000_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let reading = histogram.read();
        let counted = |bound: f64| {
            let found = reading.buckets.iter().find(|(upper, _)| *upper == bound);
            found.map(|(_, count)| *count)
        };
        assert_eq!(counted(0.000_02), Some(2));
        assert_eq!(counted(0.000_05), Some(1));
        assert_eq!(counted(0.001), Some(1));
        assert_eq!(counted(0.002), Some(1));
        assert_eq!(counted(f64::INFINITY), Some(1));
        assert_eq!(reading.count, 6);
        assert!((reading.sum - 6.002_042).abs() < 1e-9, "{}", reading.sum);
    }
}
