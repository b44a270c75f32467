//! The open batch, and the newest closed ones, kept for the followers.

use std::collections::VecDeque;

use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Entry, EntryBody};
use kv_common::id::{Epoch, Position, Seq};
use kv_common::limits::BATCH_TARGET_BYTES;
use kv_common::message::control::FsyncMode;

use crate::local::Local;

/// How much of the newest log is kept in memory for followers that are a little behind.
const RECENT_MAX_BYTES: usize = 32 << 20;

/// Batches on their way to the followers while another one gathers, with `everysec`: one that is executed there, and
/// one that is on its way back.
const UNCOMMITTED_MAX: usize = 2;

/// The open batch, and the newest closed ones.
#[derive(Debug)]
pub(super) struct Writer {
    epoch: Epoch,
    open: Option<OpenBatch>,
    recent: VecDeque<Batch>,
    recent_bytes: usize,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    entries: Vec<Entry>,
}

impl Writer {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            open: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }

    /// Entries belong to `epoch` from now on. No batch is open.
    pub(super) fn enter_epoch(&mut self, epoch: Epoch) {
        assert!(self.open.is_none(), "a batch belongs to one epoch");
        self.epoch = epoch;
    }

    /// Adds an entry behind all others.
    pub(super) fn push(&mut self, local: &Local, body: EntryBody) -> Position {
        let open = self.open.get_or_insert_with(|| OpenBatch {
            builder: BatchBuilder::new(self.epoch, local.log.appended().next()),
            entries: Vec::new(),
        });
        let position = open.builder.push(&body);
        open.entries.push(Entry { position, body });
        position
    }

    /// Where the next entry will stand.
    pub(super) fn next_seq(&self, local: &Local) -> Seq {
        let open = self.open.as_ref().map_or(0, |open| open.entries.len());
        Seq(local.log.appended().0 + open as u64 + 1)
    }

    /// Whether the open batch is due: the disk is idle and followers have not too many that are not committed, or the
    /// batch is as large as one gets.
    pub(super) fn is_due(&self, local: &Local) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        let disk_is_idle = local.log.held() == local.log.appended();
        let is_free = disk_is_idle && !self.gathers(local);
        is_free || open.builder.total_bytes() >= BATCH_TARGET_BYTES
    }

    /// Whether entries gather until an earlier batch is committed. A flush gathers them by the time that it takes; where
    /// nobody waits for one, a batch would be closed for every few, and each costs all members several wake-ups.
    fn gathers(&self, local: &Local) -> bool {
        let committed = local.log.committed();
        let newest = self.recent.iter().rev().take(UNCOMMITTED_MAX);
        local.identity.fsync == FsyncMode::EverySec
            && newest.filter(|batch| batch.last() > committed).count() == UNCOMMITTED_MAX
    }

    /// Whether everything that was written is in a closed batch.
    pub(super) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Closes the open batch and puts it into the log's order.
    pub(super) fn close(&mut self, local: &mut Local) -> Option<Batch> {
        let open = self.open.take()?;
        let batch = open.builder.close(local.log.committed());
        let first = Position {
            epoch: batch.epoch(),
            seq: batch.first(),
        };
        local.log.append(first, batch.last());
        for entry in open.entries {
            local.tail.push(entry);
        }
        self.remember(batch.clone());
        Some(batch)
    }

    fn remember(&mut self, batch: Batch) {
        self.recent_bytes += batch.bytes().len();
        self.recent.push_back(batch);
        while self.recent_bytes > RECENT_MAX_BYTES && self.recent.len() > 1 {
            if let Some(oldest) = self.recent.pop_front() {
                self.recent_bytes -= oldest.bytes().len();
            }
        }
    }

    /// The batch that begins at `seq`, if it is among the newest.
    pub(super) fn recent(&self, seq: Seq) -> Option<&Batch> {
        let index = self.recent.partition_point(|batch| batch.last() < seq);
        self.recent.get(index).filter(|batch| batch.first() == seq)
    }

    /// Bytes that are executed and not in a closed batch.
    pub(super) fn open_bytes(&self) -> usize {
        self.open
            .as_ref()
            .map_or(0, |open| open.builder.total_bytes())
    }
}
