//! What a load came to.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::verification::Verification;

/// What a load came to.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadReport {
    /// From the first operation to the end of the last.
    pub elapsed: Duration,
    /// Reads that were answered.
    pub reads: Latency,
    /// Writes that were acknowledged.
    pub writes: Latency,
    /// Operations without a result, by what was said.
    pub errors: BTreeMap<String, u64>,
    /// The longest time in which no write was acknowledged, from the first one on.
    pub longest_write_gap: Duration,
    /// What looking for all acknowledged writes came to.
    pub verification: Option<Verification>,
}

impl LoadReport {
    /// Operations that were answered.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.reads.operations + self.writes.operations
    }

    /// Operations without a result.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Operations that were answered, in each second.
    #[must_use]
    pub fn operations_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.operations() as f64 / seconds
        } else {
            0.0
        }
    }
}

/// How long the operations of one kind took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Operations.
    pub operations: u64,
    /// Half of them took at most this.
    pub p50: Duration,
    /// 99 of 100 took at most this.
    pub p99: Duration,
    /// 999 of 1000 took at most this.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        Self {
            operations: histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(histogram.max()),
        }
    }
}
