//! Reading a log back, from any thread.

use std::fs::File;

use kv_common::batch::{Batch, BatchError};
use kv_common::id::Seq;

use crate::log_disk::LogDisk;
use crate::log_error::LogReadError;
use crate::log_index::{SegmentIndex, SharedIndex};
use crate::record_stream::{RecordError, RecordStream};
use crate::room::Room;

/// Reads batches of a log while others are written. Its clones read on their own.
#[derive(Clone, Debug)]
pub struct LogReader {
    disk: LogDisk,
    index: SharedIndex,
}

/// What to read, and what was read so far.
struct Reading {
    next: Seq,
    through: Seq,
    max_bytes: usize,
    bytes: usize,
    batches: Vec<Batch>,
}

impl Reading {
    fn is_full(&self) -> bool {
        !self.batches.is_empty() && (self.bytes >= self.max_bytes || self.next > self.through)
    }
}

impl LogReader {
    pub(crate) fn new(disk: LogDisk, index: SharedIndex) -> Self {
        Self { disk, index }
    }

    /// The first entry that the log still has; the one after the last if it has none.
    #[must_use]
    pub fn first_seq(&self) -> Seq {
        self.index.lock().first()
    }

    /// The last entry.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.index.lock().last()
    }

    /// How many bytes of log there are behind the entry `seq`, about.
    #[must_use]
    pub fn bytes_after(&self, seq: Seq) -> u64 {
        let index = self.index.lock();
        let behind = index.segments.iter().filter(|segment| segment.last > seq);
        behind
            .map(|segment| match segment.mark_before(seq.next()) {
                Some(mark) => segment.end - mark.offset,
                None => segment.end,
            })
            .sum()
    }

    /// How much room the file system of the log has left, beside what is wanted.
    pub(crate) fn room(&self, wanted_bytes: u64) -> Room {
        let index = self.index.lock();
        let path = index.segments.back().map(|segment| segment.path.clone());
        drop(index);
        let free_bytes = path.and_then(|path| self.disk.free_bytes(&path));
        Room::new(free_bytes, wanted_bytes)
    }

    /// [`Self::read_through`] to the end of the log. Not for a thread beside the one that writes:
    /// the last batches may be on their way to the file, or be cut off.
    ///
    /// # Errors
    /// As there.
    pub fn read_from(&self, from: Seq, max_bytes: usize) -> Result<Vec<Batch>, LogReadError> {
        self.read_through(from, Seq(u64::MAX), max_bytes)
    }

    /// Whole batches in order, the first of which holds `from`: at least one, and no more after
    /// `through` or `max_bytes` are reached. `through` was written, and stays.
    ///
    /// # Errors
    /// When the log does not have `from`, or the disk does not give it back as it was written.
    pub fn read_through(
        &self,
        from: Seq,
        through: Seq,
        max_bytes: usize,
    ) -> Result<Vec<Batch>, LogReadError> {
        let mut reading = Reading {
            next: from,
            through,
            max_bytes,
            bytes: 0,
            batches: Vec::new(),
        };
        while !reading.is_full() {
            let segment = {
                let index = self.index.lock();
                match index.segment_of(reading.next) {
                    Some(segment) => segment.clone(),
                    None if !reading.batches.is_empty() => break,
                    None if from < index.first() => {
                        return Err(LogReadError::Gone {
                            asked: from,
                            first: index.first(),
                        });
                    }
                    None => {
                        return Err(LogReadError::Beyond {
                            asked: from,
                            last: index.last(),
                        });
                    }
                }
            };
            if let Err(error) = read_segment(&segment, &mut reading) {
                // The segment may have been released and reused while it was read.
                let first = self.first_seq();
                if reading.next < first {
                    return Err(LogReadError::Gone { asked: from, first });
                }
                return Err(error);
            }
        }
        Ok(reading.batches)
    }
}

/// Reads from one segment until the reading is full or the segment ends.
fn read_segment(segment: &SegmentIndex, reading: &mut Reading) -> Result<(), LogReadError> {
    let io = |source| LogReadError::Io {
        path: segment.path.clone(),
        source,
    };
    let damaged = |asked, cause| LogReadError::Damaged {
        asked,
        path: segment.path.clone(),
        cause,
    };
    let Some(mark) = segment.mark_before(reading.next) else {
        return Err(damaged(reading.next, BatchError::NotABatch));
    };
    let file = File::open(&segment.path).map_err(io)?;
    let mut records = RecordStream::new(&file, segment.salt, mark.offset, segment.end);
    let mut expected = mark.first;
    while !reading.is_full() {
        let found = match records.next() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(RecordError::Batch(cause)) => return Err(damaged(reading.next, cause)),
            Err(RecordError::Io(source)) => return Err(io(source)),
        };
        if found.batch.first() != expected {
            return Err(damaged(reading.next, BatchError::NotABatch));
        }
        expected = found.batch.last().next();
        if found.batch.last() >= reading.next {
            reading.next = expected;
            reading.bytes += found.total_bytes;
            reading.batches.push(found.batch);
        }
    }
    Ok(())
}
