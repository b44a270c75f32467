//! Reading the records of a segment one behind the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Buf, Bytes, BytesMut};
use kv_common::batch::{Batch, BatchError};
use kv_common::id::Seq;

use crate::record::{self, RECORD_FRONT_BYTES, RecordFront, Salt};

/// How much is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// One record, and where it was.
#[derive(Debug)]
pub(crate) struct FoundRecord {
    pub(crate) batch: Batch,
    /// The last entry that was durable when the record was written.
    pub(crate) flushed: Seq,
    pub(crate) offset: u64,
    pub(crate) total_bytes: usize,
}

/// Why the next record cannot be had.
#[derive(Debug)]
pub(crate) enum RecordError {
    /// No sound record is there.
    Batch(BatchError),
    /// The system refused.
    Io(io::Error),
}

/// Reads the records of a file between two offsets.
pub(crate) struct RecordStream<'file> {
    file: &'file File,
    salt: Salt,
    /// What was read and not yet taken.
    buffer: Bytes,
    /// Where the buffer begins in the file.
    offset: u64,
    end: u64,
}

impl<'file> RecordStream<'file> {
    pub(crate) fn new(file: &'file File, salt: Salt, offset: u64, end: u64) -> Self {
        Self {
            file,
            salt,
            buffer: Bytes::new(),
            offset,
            end,
        }
    }

    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; nothing at the end offset.
    pub(crate) fn next(&mut self) -> Result<Option<FoundRecord>, RecordError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        self.fill(RECORD_FRONT_BYTES)?;
        let front = RecordFront::parse(&self.buffer, self.salt).map_err(RecordError::Batch)?;
        self.fill(front.total_bytes())?;
        let (front, batch) = record::parse(&self.buffer, self.salt).map_err(RecordError::Batch)?;
        let total_bytes = front.total_bytes().min(self.buffer.len());
        let found = FoundRecord {
            batch,
            flushed: front.flushed,
            offset: self.offset,
            total_bytes,
        };
        self.buffer.advance(total_bytes);
        self.offset += total_bytes as u64;
        Ok(Some(found))
    }

    /// Reads on until the buffer holds `wanted` bytes or the end is reached.
    fn fill(&mut self, wanted: usize) -> Result<(), RecordError> {
        if self.buffer.len() >= wanted {
            return Ok(());
        }
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let length = wanted.max(BLOCK_BYTES).min(left);
        let kept = self.buffer.len().min(length);
        let mut block = BytesMut::zeroed(length);
        block[..kept].copy_from_slice(&self.buffer[..kept]);
        self.file
            .read_exact_at(&mut block[kept..], self.offset + kept as u64)
            .map_err(RecordError::Io)?;
        self.buffer = block.freeze();
        Ok(())
    }
}
