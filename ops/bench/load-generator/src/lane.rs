//! One connection's loop: a group of operations, all their answers, the next group.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::span::{Pace, Span};

/// The shortest latency that is told apart.
const LATENCY_MIN_NS: u64 = 1_000;
/// The longest latency that is told apart.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// After a failure, so that a broken server is not stormed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get { key: Bytes },
    Set { key: Bytes, value: Bytes },
}

/// What a lane asks for.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) keys: u64,
    pub(crate) key_bytes: usize,
    pub(crate) value: Bytes,
    /// How many of all operations are reads, from 0 to 1.
    pub(crate) read_share: f64,
    /// Operations of a group.
    pub(crate) pipeline: u32,
}

impl Mix {
    /// The text of a key: its number, with zeros in front.
    pub(crate) fn key(&self, number: u64) -> Bytes {
        let digits = number.to_string();
        let mut key = BytesMut::with_capacity(self.key_bytes.max(digits.len()));
        key.put_bytes(b'0', self.key_bytes.saturating_sub(digits.len()));
        key.put_slice(digits.as_bytes());
        key.freeze()
    }
}

/// What a lane has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Seen {
    #[allow(
        clippy::expect_used,
        reason = "the bounds are constants that the library accepts"
    )]
    pub(crate) fn nothing() -> Self {
        let latencies =
            Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, SIGNIFICANT_DIGITS);
        Self {
            latencies: latencies.expect("bounds that fit"),
            errors: 0,
            first_error: None,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so nothing is left out.
        let _ = self.latencies.add(&other.latencies);
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }

    fn failed(&mut self, operations: usize, failure: &Failure) {
        self.errors += operations as u64;
        self.first_error.get_or_insert_with(|| failure.to_string());
    }
}

/// One connection and what it is to ask for.
pub(crate) struct Lane {
    connection: Connection,
    mix: Mix,
    random: SmallRng,
}

impl Lane {
    pub(crate) fn new(connection: Connection, mix: Mix, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self {
            connection,
            mix,
            random,
        }
    }

    /// Writes the keys of `numbers`, unmeasured.
    pub(crate) async fn fill(mut self, numbers: Vec<u64>) -> Result<Self, Failure> {
        // With many connections, more at once than etcd puts up with otherwise.
        const GROUP_MAX: usize = 32;
        const GROUP_BYTES: usize = 1 << 20;
        let group = GROUP_BYTES / self.mix.value.len().max(1);
        for group in numbers.chunks(group.clamp(1, GROUP_MAX)) {
            let group: Vec<_> = group.iter().map(|number| self.set(*number)).collect();
            self.fill_with(&group).await?;
        }
        Ok(self)
    }

    /// Writes a group, and once more if it is refused: a server that is overloaded, or lacks a replica for a moment,
    /// says so.
    async fn fill_with(&mut self, group: &[Operation]) -> Result<(), Failure> {
        const PATIENCE: Duration = Duration::from_secs(30);
        const PAUSE: Duration = Duration::from_millis(100);
        let until = Instant::now() + PATIENCE;
        loop {
            match self.connection.group(group).await {
                Err(Failure::Refused(_)) if Instant::now() < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Asks until the time is over, at its pace, or else as soon as there is an answer. A group that was due
    /// while the one before it had no answer yet took that much longer.
    pub(crate) async fn run(mut self, span: Span, pace: Option<Pace>) -> Seen {
        let mut seen = Seen::nothing();
        let mut group = Vec::new();
        for number in 0.. {
            let mut begun = Instant::now();
            if let Some(pace) = pace {
                let due = pace.due(span.begun(), number);
                if begun < due {
                    tokio::time::sleep_until(due.into()).await;
                    // How late the timer was is nobody's latency.
                    begun = Instant::now();
                } else {
                    begun = due;
                }
            }
            if span.is_over(Instant::now()) {
                break;
            }
            group.clear();
            for _ in 0..self.mix.pipeline {
                let operation = self.draw();
                group.push(operation);
            }
            let result = self.connection.group(&group).await;
            let ended = Instant::now();
            if !span.counts(ended) {
                continue;
            }
            match result {
                Ok(()) => {
                    let took_ns = u64::try_from((ended - begun).as_nanos()).unwrap_or(u64::MAX);
                    let count = group.len() as u64;
                    seen.latencies.saturating_record_n(took_ns, count);
                }
                Err(failure) => {
                    seen.failed(group.len(), &failure);
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
        seen
    }

    fn draw(&mut self) -> Operation {
        let number = self.random.random_range(0..self.mix.keys);
        if self.random.random_bool(self.mix.read_share) {
            let key = self.mix.key(number);
            Operation::Get { key }
        } else {
            self.set(number)
        }
    }

    fn set(&self, number: u64) -> Operation {
        Operation::Set {
            key: self.mix.key(number),
            value: self.mix.value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mix, Seen};
    use bytes::Bytes;

    #[test]
    fn a_key_has_the_length_that_was_asked_for() {
        let mix = Mix {
            keys: 10,
            key_bytes: 8,
            value: Bytes::new(),
            read_share: 0.0,
            pipeline: 1,
        };
        assert_eq!(mix.key(42), "00000042");
        assert_eq!(mix.key(1_234_567_890), "1234567890");
    }

    #[test]
    fn what_lanes_have_seen_adds_up() {
        let mut all = Seen::nothing();
        for took_ns in [1_000_000, 2_000_000] {
            let mut one = Seen::nothing();
            one.latencies.saturating_record_n(took_ns, 50);
            one.errors = 1;
            one.first_error = Some(format!("error after {took_ns}"));
            all.add(&one);
        }
        assert_eq!((all.latencies.len(), all.errors), (100, 2));
        assert_eq!(all.first_error.as_deref(), Some("error after 1000000"));
        let p99_ns = all.latencies.value_at_quantile(0.99);
        assert!((1_990_000..=2_010_000).contains(&p99_ns), "{p99_ns}");
    }
}
