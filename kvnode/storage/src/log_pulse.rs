//! How the log's disk does, for whoever watches it from another thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kv_common::id::Seq;
use kv_common::timing::transfer_allowance;

/// Readings of the log thread, without locks.
#[derive(Debug)]
pub struct LogPulse {
    started: Instant,
    /// Milliseconds after `started`, counted from 1; 0: nothing is under way.
    pending_since_ms: AtomicU64,
    /// The same of a flush beside the writes.
    syncing_since_ms: AtomicU64,
    /// Milliseconds after `started`, counted from 1; 0: never yet.
    last_flush_ms: AtomicU64,
    /// The last entry that is durable.
    durable: AtomicU64,
    failed: AtomicBool,
    slowed_down: AtomicBool,
    /// The first entry that somebody needs; 0: nobody said so.
    needed_from: AtomicU64,
    disk_is_full: AtomicBool,
}

impl LogPulse {
    pub(crate) fn new(durable: u64) -> Self {
        Self {
            started: Instant::now(),
            pending_since_ms: AtomicU64::new(0),
            syncing_since_ms: AtomicU64::new(0),
            last_flush_ms: AtomicU64::new(0),
            durable: AtomicU64::new(durable),
            failed: AtomicBool::new(false),
            slowed_down: AtomicBool::new(false),
            needed_from: AtomicU64::new(0),
            disk_is_full: AtomicBool::new(false),
        }
    }

    /// For how long a write or flush has been under way, less what its size allows; nothing: the disk
    /// is idle.
    #[must_use]
    pub fn pending_for(&self) -> Option<Duration> {
        let writing = self.age(&self.pending_since_ms);
        writing.max(self.age(&self.syncing_since_ms))
    }

    /// How long ago the last write or flush succeeded; nothing: none did in this run.
    #[must_use]
    pub fn last_flush_age(&self) -> Option<Duration> {
        self.age(&self.last_flush_ms)
    }

    /// Whether the disk has failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether appending was slowed down since the checkpoint came on last, because it is far behind.
    #[must_use]
    pub fn slowed_down(&self) -> bool {
        self.slowed_down.load(Ordering::Relaxed)
    }

    /// The last entry that is durable.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The first entry that the checkpoint and copies still need, as far as they have said.
    pub(crate) fn needed_from(&self) -> Option<Seq> {
        let seq = self.needed_from.load(Ordering::Acquire);
        (seq != 0).then_some(Seq(seq))
    }

    pub(crate) fn needs_from(&self, seq: Seq) {
        self.needed_from.store(seq.0, Ordering::Release);
    }

    /// Notes that somebody met a full disk, whatever the system says of its room: a quota may be behind it.
    pub(crate) fn disk_is_full(&self) {
        self.disk_is_full.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_is_full.load(Ordering::Relaxed)
    }

    /// A write of so many bytes, or a flush, begins. What it may take because of its size does not
    /// count.
    pub(crate) fn begins(&self, bytes: usize) {
        let allowance_ms = transfer_allowance(bytes).as_millis();
        let allowance_ms = u64::try_from(allowance_ms).unwrap_or(u64::MAX);
        let since_ms = self.now_ms().saturating_add(allowance_ms);
        self.pending_since_ms.store(since_ms, Ordering::Relaxed);
    }

    /// A flush begins beside the writes.
    pub(crate) fn sync_begins(&self) {
        self.syncing_since_ms
            .store(self.now_ms(), Ordering::Relaxed);
    }

    /// No flush is under way beside the writes.
    pub(crate) fn sync_ends(&self, durable: u64) {
        self.durable.store(durable, Ordering::Release);
        self.syncing_since_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn ends(&self, durable: u64) {
        self.durable.store(durable, Ordering::Release);
        self.last_flush_ms.store(self.now_ms(), Ordering::Relaxed);
        self.pending_since_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn fails(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Notes that appending is slowed down, and says whether that is new.
    pub(crate) fn slows_down(&self) -> bool {
        !self.slowed_down.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn may_go_on(&self) {
        self.slowed_down.store(false, Ordering::Relaxed);
    }

    fn age(&self, since_ms: &AtomicU64) -> Option<Duration> {
        let since_ms = since_ms.load(Ordering::Relaxed);
        let age_ms = self.now_ms().saturating_sub(since_ms);
        (since_ms != 0).then(|| Duration::from_millis(age_ms))
    }

    fn now_ms(&self) -> u64 {
        let elapsed_ms = self.started.elapsed().as_millis();
        u64::try_from(elapsed_ms).unwrap_or(u64::MAX - 1) + 1
    }
}
