//! Where the batches of a log are, shared by the log and its readers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kv_common::batch::BatchHeader;
use kv_common::id::Seq;

use crate::record::Salt;
use crate::segment::SEGMENT_HEADER_BYTES;

/// A mark is kept for every so many bytes of a segment.
const MARK_EVERY_BYTES: u64 = 64 << 10;

/// A record that reading can begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The first entry of the record.
    pub(crate) first: Seq,
    /// Where the record begins.
    pub(crate) offset: u64,
}

/// What is in one segment.
#[derive(Clone, Debug)]
pub(crate) struct SegmentIndex {
    /// The file.
    pub(crate) path: PathBuf,
    /// The log's salt.
    pub(crate) salt: Salt,
    /// The first entry that it has or will have.
    pub(crate) first: Seq,
    /// The last entry that it has; one before `first` if it has none.
    pub(crate) last: Seq,
    /// The end of the last record.
    pub(crate) end: u64,
    /// Some of its records, in order, the first one among them.
    pub(crate) marks: Vec<Mark>,
}

impl SegmentIndex {
    /// An empty segment.
    pub(crate) fn new(path: PathBuf, salt: Salt, first: Seq) -> Self {
        Self {
            path,
            salt,
            first,
            last: Seq(first.0 - 1),
            end: SEGMENT_HEADER_BYTES,
            marks: Vec::new(),
        }
    }

    /// Takes note of the next record.
    pub(crate) fn note(&mut self, batch: &BatchHeader, record_bytes: usize) {
        let due = self
            .marks
            .last()
            .is_none_or(|mark| self.end - mark.offset >= MARK_EVERY_BYTES);
        if due {
            self.marks.push(Mark {
                first: batch.first,
                offset: self.end,
            });
        }
        self.last = batch.last();
        self.end += record_bytes as u64;
    }

    /// Forgets the records behind `offset`, the last of those before it ending with `last`.
    pub(crate) fn cut(&mut self, last: Seq, offset: u64) {
        self.marks.retain(|mark| mark.offset < offset);
        self.last = last;
        self.end = offset;
    }

    /// The last mark at or before `seq`.
    pub(crate) fn mark_before(&self, seq: Seq) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.first <= seq);
        self.marks.get(after.checked_sub(1)?).copied()
    }
}

/// All segments in order; the last one is written to.
#[derive(Debug, Default)]
pub(crate) struct LogIndex {
    pub(crate) segments: VecDeque<SegmentIndex>,
}

impl LogIndex {
    /// The first entry that the log has or will have.
    pub(crate) fn first(&self) -> Seq {
        self.segments
            .front()
            .map_or(Seq(1), |segment| segment.first)
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Seq {
        self.segments
            .back()
            .map_or(Seq::ZERO, |segment| segment.last)
    }

    /// Where the next record goes in the last segment.
    pub(crate) fn end(&self) -> u64 {
        self.segments
            .back()
            .map_or(SEGMENT_HEADER_BYTES, |segment| segment.end)
    }

    /// The segment that has `seq`.
    pub(crate) fn segment_of(&self, seq: Seq) -> Option<&SegmentIndex> {
        let after = self
            .segments
            .partition_point(|segment| segment.first <= seq);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (seq <= segment.last).then_some(segment)
    }

    /// Whether the first segment holds only entries below `seq`, and `retention_bytes` are left without it.
    pub(crate) fn is_droppable(&self, seq: Seq, retention_bytes: u64) -> bool {
        let several = self.segments.len() > 1;
        let first = several.then(|| self.segments.front()).flatten();
        first.is_some_and(|segment| {
            segment.last < seq && self.total_bytes() - segment.end >= retention_bytes
        })
    }

    /// The bytes in use.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end).sum()
    }
}

/// The index as the log and its readers share it. The lock is held for look-ups only, never while a
/// file is read or written.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedIndex(Arc<Mutex<LogIndex>>);

impl SharedIndex {
    pub(crate) fn holding(index: LogIndex) -> Self {
        Self(Arc::new(Mutex::new(index)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LogIndex> {
        // No change of the index can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
