//! Looks for every write that was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::lane::Lane;
use super::ledger::{Ledger, Reading};
use super::meter::Meter;
use crate::client::Client;
use crate::error::ClientError;

/// How long reading a key back is tried.
const READ_BACK_FOR: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// What looking for all acknowledged writes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Keys that were read back.
    pub keys: u64,
    /// Keys that hold an older value than was acknowledged last, and increments that are not counted.
    pub lost: u64,
    /// Reads, during the load, of a value older than one acknowledged before the read began.
    pub stale: u64,
    /// Increments that took effect more than once.
    pub doubled: u64,
    /// Values that no write which may have taken effect left, at the end or during the load.
    pub unexpected: u64,
    /// Writes whose outcome is not known.
    pub unknown: u64,
    /// Keys that could not be read back.
    pub unread: u64,
}

impl Verification {
    /// Whether everything that was acknowledged is there, and nothing else.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong() == 0
    }

    /// How many findings there are that must not be.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.lost + self.stale + self.doubled + self.unexpected + self.unread
    }
}

/// Reads every key back that was written, each lane its own.
pub(crate) async fn verify(lanes: Vec<Lane>, ledger: &Arc<Ledger>, meter: &Meter) -> Verification {
    let mut reading = JoinSet::new();
    for lane in lanes {
        let ledger = Arc::clone(ledger);
        reading.spawn(async move { verify_lane(&lane, &ledger).await });
    }
    let mut all = Verification {
        acknowledged: meter.acknowledged_writes(),
        stale: meter.stale_reads(),
        unexpected: meter.foreign_reads(),
        unknown: meter.unknown_outcomes(),
        ..Verification::default()
    };
    for found in reading.join_all().await {
        all.keys += found.keys;
        all.lost += found.lost;
        all.doubled += found.doubled;
        all.unexpected += found.unexpected;
        all.unread += found.unread;
    }
    all
}

async fn verify_lane(lane: &Lane, ledger: &Ledger) -> Verification {
    let mut found = verify_number(lane, ledger).await;
    for key in ledger.keys_of(lane.number()) {
        if !ledger.was_written(key) {
            continue;
        }
        let acknowledged = ledger.acknowledged(key);
        let Some(value) = read_back(lane.client(), &ledger.key(key)).await else {
            found.unread += 1;
            continue;
        };
        found.keys += 1;
        match ledger.judge(key, acknowledged, value.as_ref()) {
            Reading::Current(counter)
                if counter == acknowledged || lane.is_unknown(key, counter) => {}
            Reading::Current(_) | Reading::Foreign => found.unexpected += 1,
            Reading::Old(_) => found.lost += 1,
        }
    }
    found
}

async fn verify_number(lane: &Lane, ledger: &Ledger) -> Verification {
    let mut increments = lane.increments();
    if increments.any() {
        let key = ledger.number_key(lane.number());
        match read_back(lane.client(), &key).await {
            Some(value) => increments.read_back(value.as_ref()),
            None => increments.unread(),
        }
    }
    Verification {
        lost: increments.found.lost,
        doubled: increments.found.doubled,
        unread: increments.found.unread,
        ..Verification::default()
    }
}

/// The value of a key; none if it could not be read.
async fn read_back(client: &Client, key: &Bytes) -> Option<Option<Bytes>> {
    let until = Instant::now() + READ_BACK_FOR;
    loop {
        match client.get(key.clone()).await {
            Ok(value) => return Some(value),
            Err(ClientError::Closed) => return None,
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(_) => return None,
        }
    }
}
