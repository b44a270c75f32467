//! One loop of a load: an operation, its answer, the next operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::increments::Increments;
use super::ledger::{Ledger, Reading};
use super::meter::{Kind, Meter};
use super::options::LoadOptions;
use crate::client::Client;
use crate::error::ClientError;

/// After a failure that came at once, so that a load does not spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// One loop of a load.
pub(crate) struct Lane {
    client: Client,
    number: u32,
    read_share: f64,
    increment_share: f64,
    verify: bool,
    random: SmallRng,
    ledger: Arc<Ledger>,
    meter: Arc<Meter>,
    unknown: UnknownOutcomes,
    increments: Increments,
}

/// The counters of writes whose outcome is not known, by key.
pub(crate) type UnknownOutcomes = BTreeMap<u64, Vec<u64>>;

impl Lane {
    pub(crate) fn new(
        client: Client,
        options: &LoadOptions,
        number: u32,
        ledger: Arc<Ledger>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            client,
            number,
            read_share: options.read_share.clamp(0.0, 1.0),
            increment_share: options.increment_share.clamp(0.0, 1.0),
            verify: options.verify,
            random: SmallRng::seed_from_u64(options.seed ^ (u64::from(number) << 32)),
            ledger,
            meter,
            unknown: UnknownOutcomes::new(),
            increments: Increments::default(),
        }
    }

    /// Runs until new operations are not to be begun any more.
    pub(crate) async fn run(mut self, until: Instant) -> Self {
        while Instant::now() < until {
            let drawn: f64 = self.random.random();
            let result = if drawn < self.read_share {
                self.read().await
            } else if drawn < self.read_share + self.increment_share {
                self.increment().await
            } else {
                self.write().await
            };
            if let Err(error) = result {
                self.meter.failed(&error);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        self
    }

    /// Writes each key of its own once, unmeasured.
    pub(crate) async fn fill(self) -> Self {
        for key in self.ledger.keys_of(self.number) {
            let counter = self.ledger.begin(key);
            let value = self.ledger.value(counter);
            if let Err(error) = self.client.put(self.ledger.key(key), value).await {
                self.meter.failed(&error);
                break;
            }
        }
        self
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether a write of `key` with `counter` may have taken effect.
    pub(crate) fn is_unknown(&self, key: u64, counter: u64) -> bool {
        let unknown = self.unknown.get(&key);
        unknown.is_some_and(|counters| counters.contains(&counter))
    }

    /// The number that this lane adds to, as far as it is known.
    pub(crate) fn increments(&self) -> Increments {
        self.increments
    }

    async fn increment(&mut self) -> Result<(), ClientError> {
        let begun = Instant::now();
        let added = self
            .client
            .incr(self.ledger.number_key(self.number), 1)
            .await;
        match added {
            Ok(value) => {
                self.increments.acknowledged(value);
                self.meter.answered(Kind::Write, begun.elapsed());
                Ok(())
            }
            Err(error) => {
                if may_have_taken_effect(&error) {
                    self.increments.outcome_unknown();
                }
                Err(error)
            }
        }
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        let key = self.random.random_range(0..self.ledger.key_count());
        let acknowledged = self.ledger.acknowledged(key);
        let begun = Instant::now();
        let value = self.client.get(self.ledger.key(key)).await?;
        self.meter.answered(Kind::Read, begun.elapsed());
        if self.verify {
            match self.ledger.judge(key, acknowledged, value.as_ref()) {
                Reading::Current(_) => {}
                Reading::Old(_) => self.meter.read_was_stale(),
                Reading::Foreign => self.meter.read_was_foreign(),
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), ClientError> {
        let key = self.random.random_range(self.ledger.keys_of(self.number));
        let counter = self.ledger.begin(key);
        let begun = Instant::now();
        let value = self.ledger.value(counter);
        let written = self.client.put(self.ledger.key(key), value).await;
        match &written {
            Ok(()) => {
                self.ledger.acknowledge(key, counter);
                self.meter.answered(Kind::Write, begun.elapsed());
            }
            Err(error) if may_have_taken_effect(error) => {
                self.unknown.entry(key).or_default().push(counter);
            }
            Err(_) => {}
        }
        written
    }
}

/// What is certainly not done leaves no trace; anything else may.
fn may_have_taken_effect(error: &ClientError) -> bool {
    !matches!(
        error,
        ClientError::NobodyToAsk { .. } | ClientError::Refused(_)
    )
}
