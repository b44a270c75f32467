//! What is known of each key while a load is under way.
//!
//! One lane writes a key, one write after the other, with a counter that goes up. Any lane may read
//! it.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};

use super::options::LoadOptions;

/// What a lane reads and writes, and how far each key is.
#[derive(Debug)]
pub(crate) struct Ledger {
    keys: Vec<KeyState>,
    keys_per_lane: u64,
    value_bytes: usize,
    run: u64,
}

/// How far a key is.
#[derive(Debug, Default)]
struct KeyState {
    /// The counter of the last write that was acknowledged.
    acknowledged: AtomicU64,
    /// The counter of the last write that was begun.
    begun: AtomicU64,
}

/// What a value that was read says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is as new as it must be.
    Current(u64),
    /// It is older than a write that was acknowledged before.
    Old(u64),
    /// No write that was begun left it.
    Foreign,
}

impl Ledger {
    pub(crate) fn new(options: &LoadOptions) -> Self {
        let keys_per_lane = options.keys_per_lane();
        let count = keys_per_lane * options.lanes();
        Self {
            keys: (0..count).map(|_| KeyState::default()).collect(),
            keys_per_lane,
            value_bytes: options.value_bytes,
            run: options.run,
        }
    }

    pub(crate) fn key_count(&self) -> u64 {
        self.keys.len() as u64
    }

    /// The keys that a lane writes.
    pub(crate) fn keys_of(&self, lane: u32) -> std::ops::Range<u64> {
        let first = u64::from(lane) * self.keys_per_lane;
        first..first + self.keys_per_lane
    }

    /// The text of a key: its run, lane and slot.
    pub(crate) fn key(&self, key: u64) -> Bytes {
        let (lane, slot) = (key / self.keys_per_lane, key % self.keys_per_lane);
        Bytes::from(format!("load/{:x}/{lane}/{slot:08}", self.run))
    }

    /// The key of the number that a lane adds to.
    pub(crate) fn number_key(&self, lane: u32) -> Bytes {
        Bytes::from(format!("load/{:x}/{lane}/number", self.run))
    }

    /// Begins the next write of a key. Returns its counter.
    pub(crate) fn begin(&self, key: u64) -> u64 {
        self.state(key).begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn acknowledge(&self, key: u64, counter: u64) {
        let state = self.state(key);
        state.acknowledged.fetch_max(counter, Ordering::SeqCst);
    }

    pub(crate) fn acknowledged(&self, key: u64) -> u64 {
        self.state(key).acknowledged.load(Ordering::SeqCst)
    }

    pub(crate) fn was_written(&self, key: u64) -> bool {
        self.state(key).begun.load(Ordering::SeqCst) > 0
    }

    /// The value that a write with `counter` leaves.
    pub(crate) fn value(&self, counter: u64) -> Bytes {
        let digits = counter.to_string();
        let padding = self.value_bytes.saturating_sub(digits.len());
        let mut value = BytesMut::with_capacity(digits.len() + padding);
        value.put_slice(digits.as_bytes());
        value.put_bytes(b'.', padding);
        value.freeze()
    }

    /// What a value of `key` says, read after `acknowledged` was. No value is the counter 0.
    pub(crate) fn judge(&self, key: u64, acknowledged: u64, value: Option<&Bytes>) -> Reading {
        let counter = match value {
            None => Some(0),
            Some(value) => counter_of(value),
        };
        let begun = self.state(key).begun.load(Ordering::SeqCst);
        match counter.filter(|counter| *counter <= begun) {
            None => Reading::Foreign,
            Some(counter) if counter < acknowledged => Reading::Old(counter),
            Some(counter) => Reading::Current(counter),
        }
    }

    fn state(&self, key: u64) -> &KeyState {
        &self.keys[key as usize]
    }
}

fn counter_of(value: &[u8]) -> Option<u64> {
    let digits = value.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Reading};
    use crate::load::LoadOptions;
    use bytes::Bytes;

    fn ledger() -> Ledger {
        Ledger::new(&LoadOptions {
            clients: 2,
            pipeline: 2,
            keys: 10,
            value_bytes: 8,
            ..LoadOptions::default()
        })
    }

    #[test]
    fn lanes_have_keys_of_their_own() {
        let ledger = ledger();
        assert_eq!(ledger.key_count(), 12);
        let keys: std::collections::BTreeSet<_> = (0..4)
            .flat_map(|lane| ledger.keys_of(lane))
            .map(|key| ledger.key(key))
            .collect();
        assert_eq!(keys.len(), 12);
    }

    #[test]
    fn a_value_carries_its_counter_and_has_the_length_that_was_asked_for() {
        let ledger = ledger();
        assert_eq!(ledger.value(12), Bytes::from_static(b"12......"));
        assert_eq!(ledger.value(1_234_567_890), "1234567890");
    }

    #[test]
    fn a_value_is_judged_by_what_was_acknowledged_and_begun() {
        let ledger = ledger();
        for counter in 1..=3 {
            assert_eq!(ledger.begin(0), counter);
        }
        ledger.acknowledge(0, 2);
        let judge = |counter| ledger.judge(0, ledger.acknowledged(0), Some(&ledger.value(counter)));
        assert_eq!(judge(1), Reading::Old(1));
        assert_eq!(judge(2), Reading::Current(2));
        assert_eq!(judge(3), Reading::Current(3));
        assert_eq!(judge(4), Reading::Foreign);
        assert_eq!(ledger.judge(0, 2, None), Reading::Old(0));
        assert_eq!(ledger.judge(1, 0, None), Reading::Current(0));
        let text = Bytes::from_static(b"text");
        assert_eq!(ledger.judge(0, 2, Some(&text)), Reading::Foreign);
    }
}
