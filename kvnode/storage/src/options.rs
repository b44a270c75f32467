//! The settings of a node's storage.

use std::time::Duration;

use kv_common::message::control::FsyncMode;

use crate::segment::SEGMENT_BYTES;

/// The settings of a node's storage. The same at each start, but for what is said otherwise.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// The length of a log segment.
    pub segment_bytes: u64,
    /// How much of the log is kept although the checkpoint covers it, for followers that were
    /// away. May change.
    pub retention_bytes: u64,
    /// The memory that sled keeps pages of the checkpoint in. May change.
    pub checkpoint_cache_bytes: u64,
    /// A checkpoint is taken when the log has grown by so much since the last. May change.
    pub checkpoint_every_bytes: u64,
    /// When three quarters of this of the log are not in the checkpoint, appending is slowed down, the more the more it is;
    /// at all of it to less than what a checkpoint can follow. May change.
    pub checkpoint_behind_max_bytes: u64,
    /// When the file system has less room than this, the log keeps nothing only for followers that were away and
    /// checkpoints are taken sooner; with less than half of it appending is slowed down, too. May change.
    pub disk_room_bytes: u64,
    /// A checkpoint is taken this long after the last one, if anything was written. May change.
    pub checkpoint_every: Duration,
    /// When an entry counts as held. May change.
    pub fsync: FsyncMode,
    /// The seed of the table's hashes.
    pub hash_seed: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            retention_bytes: 256 << 20,
            checkpoint_cache_bytes: 64 << 20,
            checkpoint_every_bytes: 128 << 20,
            checkpoint_behind_max_bytes: 1 << 30,
            disk_room_bytes: 192 << 20,
            checkpoint_every: Duration::from_secs(60),
            fsync: FsyncMode::Always,
            hash_seed: 0,
        }
    }
}
