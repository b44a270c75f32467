//! What is written. A batch follows from the seed, its epoch and its place, so that the judge can
//! say what any position must hold.

use std::time::Duration;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::id::{Epoch, Seq};
use kv_common::message::control::FsyncMode;
use kv_common::time::UnixMs;
use kvnode_storage::{SEGMENT_BYTES, StorageOptions};

use crate::numbers::Numbers;

const KEYS: u64 = 64;
const BATCH_ENTRIES_MAX: u64 = 8;
const VALUE_BYTES_MIN: u64 = 10;
/// Every so many keys one is longer than what the checkpoint stores as it is.
const LONG_KEY_EVERY: u64 = 16;
const LONG_KEY_BYTES: usize = 1500;

/// Small files and short periods, so that a second sees segments begin and go, checkpoints and all.
/// A segment's end is flushed in any case, so segments are long where flushes are to be missed.
pub(crate) fn options(fsync: FsyncMode) -> StorageOptions {
    let segment_bytes = match fsync {
        FsyncMode::Always => 256 << 10,
        FsyncMode::EverySec => SEGMENT_BYTES,
    };
    StorageOptions {
        segment_bytes,
        retention_bytes: 1 << 20,
        checkpoint_cache_bytes: 16 << 20,
        checkpoint_every_bytes: 512 << 10,
        checkpoint_every: Duration::from_millis(300),
        fsync,
        ..StorageOptions::default()
    }
}

/// The batch of `epoch` that begins with `first`, with values of at most `value_bytes_max`.
pub(crate) fn batch(seed: u64, epoch: Epoch, first: Seq, value_bytes_max: u64) -> Batch {
    let mut numbers = Numbers::new(seed ^ (epoch.0 << 40) ^ first.0);
    let mut builder = BatchBuilder::new(epoch, first);
    for _ in 0..=numbers.below(BATCH_ENTRIES_MAX) {
        builder.push(&body(&mut numbers, value_bytes_max));
    }
    builder.close(Seq(first.0 - 1))
}

fn body(numbers: &mut Numbers, value_bytes_max: u64) -> EntryBody {
    if numbers.one_in(50) {
        return EntryBody::OpenSession;
    }
    let changes = if numbers.one_in(3000) {
        vec![Change::Clear]
    } else {
        (0..=numbers.below(2))
            .map(|_| change(numbers, value_bytes_max))
            .collect()
    };
    EntryBody::Changes {
        request: None,
        changes,
    }
}

fn change(numbers: &mut Numbers, value_bytes_max: u64) -> Change {
    let key = key(numbers.below(KEYS));
    if numbers.one_in(10) {
        return Change::Delete { key };
    }
    let expires_at = numbers.one_in(10).then_some(UnixMs(1 << 45));
    Change::Put {
        key,
        value: value(numbers, value_bytes_max),
        expires_at,
    }
}

fn key(number: u64) -> Bytes {
    let mut key = format!("key-{number}");
    if number.is_multiple_of(LONG_KEY_EVERY) {
        key.push_str(&"-".repeat(LONG_KEY_BYTES));
    }
    Bytes::from(key)
}

/// Small ones as often as large ones.
fn value(numbers: &mut Numbers, bytes_max: u64) -> Bytes {
    let doublings = (bytes_max / VALUE_BYTES_MIN).max(1).ilog2();
    let about = VALUE_BYTES_MIN << numbers.below(u64::from(doublings) + 1);
    let bytes = (about + numbers.below(about)).min(bytes_max);
    let mut value = Vec::with_capacity(usize::try_from(bytes).expect("fits") + 8);
    while (value.len() as u64) < bytes {
        value.extend_from_slice(&numbers.next().to_le_bytes());
    }
    value.truncate(usize::try_from(bytes).expect("fits"));
    Bytes::from(value)
}
