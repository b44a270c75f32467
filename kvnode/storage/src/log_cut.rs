//! The note about a cut that is under way.
//!
//! A cut removes segments and zeroes a part of one, and the disk may get to that in any order. Cut off in
//! between, it would leave records that say of others, which are gone, that they were durable: damage, by all
//! that can be seen. So it is noted down first, and done again when the log is opened.
//!
//! ```text
//! CUT = magic   8 bytes  "KVCUT001"
//!       crc     u32      CRC-32C over what follows
//!       segment u64      the first entry of the segment in which the log ends then
//!       offset  u64      where in it
//! ```

use std::fs::{self, File};
use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};
use kv_common::id::{Epoch, Seq};
use kv_store::file::{remove, replace};

use crate::log_error::LogError;
use crate::log_index::{SegmentIndex, SharedIndex};
use crate::record_stream::{RecordError, RecordStream};
use crate::segment::{SEGMENT_HEADER_BYTES, read_header};

const NAME: &str = "CUT";
const MAGIC: &[u8; 8] = b"KVCUT001";
const FIELDS_BYTES: usize = 16;

/// Where a log is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingCut {
    /// The first entry of the last segment.
    pub(crate) segment: Seq,
    /// Where that ends.
    pub(crate) offset: u64,
}

impl PendingCut {
    /// The cut that was under way in the log in `dir`, if one was.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, LogError> {
        let path = dir.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                let cut = Self::decode(&bytes);
                if cut.is_none() {
                    tracing::warn!(file = %path.display(), "the note about a cut of the log is damaged");
                }
                Ok(cut)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io(&path, error)),
        }
    }

    /// Notes the cut down, durably.
    pub(crate) fn begin(self, dir: &Path) -> io::Result<()> {
        replace(&dir.join(NAME), &self.encode())
    }

    /// Forgets, durably, that a cut was under way. To be called when it is durable, and before anything is
    /// appended: done again later, it would take that away.
    pub(crate) fn end(dir: &Path) -> io::Result<()> {
        remove(&dir.join(NAME))
    }

    fn encode(self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(FIELDS_BYTES);
        fields.put_u64_le(self.segment.0);
        fields.put_u64_le(self.offset);
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32_le(crc32c::crc32c(&fields));
        bytes.put_slice(&fields);
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let magic = bytes.split_off(..MAGIC.len())?;
        let crc = bytes.try_get_u32_le().ok()?;
        if magic != MAGIC || bytes.len() != FIELDS_BYTES || crc32c::crc32c(bytes) != crc {
            return None;
        }
        Some(Self {
            segment: Seq(bytes.get_u64_le()),
            offset: bytes.get_u64_le(),
        })
    }
}

/// Where the batch that ends with `after` ends, and its epoch.
pub(crate) fn find_cut(index: &SharedIndex, after: Seq) -> Result<(PendingCut, Epoch), LogError> {
    let index = index.lock();
    let Some(segment) = index.segment_of(after).cloned() else {
        let first = index.segments.front().cloned();
        drop(index);
        let before_head = first.filter(|segment| segment.first == after.next());
        return match before_head {
            Some(segment) => epoch_before(&segment),
            None => Err(LogError::CutInsideBatch { after }),
        };
    };
    drop(index);
    let io = |error| LogError::io(&segment.path, error);
    let file = File::open(&segment.path).map_err(io)?;
    let from = segment
        .mark_before(after)
        .map_or(segment.end, |mark| mark.offset);
    let mut records = RecordStream::new(&file, segment.salt, from, segment.end);
    loop {
        match records.next() {
            Ok(Some(found)) if found.batch.last() == after => {
                let cut = PendingCut {
                    segment: segment.first,
                    offset: found.offset + found.total_bytes as u64,
                };
                return Ok((cut, found.batch.epoch()));
            }
            Ok(Some(found)) if found.batch.last() < after => {}
            Ok(_) => return Err(LogError::CutInsideBatch { after }),
            Err(RecordError::Io(error)) => return Err(io(error)),
            Err(RecordError::Batch(error)) => return Err(io(io::Error::other(error))),
        }
    }
}

/// A cut before everything: the start of the first segment.
fn epoch_before(segment: &SegmentIndex) -> Result<(PendingCut, Epoch), LogError> {
    let io = |error| LogError::io(&segment.path, error);
    let file = File::open(&segment.path).map_err(io)?;
    let header = read_header(&file, &segment.path)?;
    let header = header.ok_or_else(|| io(io::Error::other("the header is damaged")))?;
    let cut = PendingCut {
        segment: segment.first,
        offset: SEGMENT_HEADER_BYTES,
    };
    Ok((cut, header.epoch_before))
}
