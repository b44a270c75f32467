//! A batch as it stands in a segment.
//!
//! ```text
//! record = magic   u32   "KVR1"
//!          crc     u32   CRC-32C over the log's salt, `flushed` and the batch's header
//!          flushed u64   the last entry that was durable here when this was written
//!          batch         as kv_common::batch lays it out
//!          zeros         up to a multiple of 8 bytes
//! ```
//!
//! `flushed` is the witness by which a torn tail is told from damage: where a record cannot be read,
//! and a record behind it says that the former was durable, the disk lost something. Where none
//! says so, the records were on their way when the power went, and nobody was told that they were
//! held. What is looked through for such witnesses has values in it that clients chose; the salt, which no
//! client knows, keeps these from being taken for records.

use bytes::{Buf, BufMut, Bytes};
use kv_common::batch::{BATCH_HEADER_BYTES, Batch, BatchError, BatchHeader};
use kv_common::id::Seq;

/// The length of what stands before a batch.
pub(crate) const RECORD_HEADER_BYTES: usize = 16;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// What has to be read to know a record's length.
pub(crate) const RECORD_FRONT_BYTES: usize = RECORD_HEADER_BYTES + BATCH_HEADER_BYTES;

/// A number in every segment of a log that nobody can foresee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) u64);

const MAGIC: u32 = u32::from_le_bytes(*b"KVR1");

/// What stands before a batch, and the batch's own header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFront {
    /// The last entry that was durable when the record was written.
    pub(crate) flushed: Seq,
    /// The batch's header.
    pub(crate) batch: BatchHeader,
}

impl RecordFront {
    /// Reads the front of the record at the start of `bytes`. The batch itself is not checked.
    pub(crate) fn parse(bytes: &[u8], salt: Salt) -> Result<Self, BatchError> {
        if bytes.len() < RECORD_FRONT_BYTES {
            return Err(BatchError::Short);
        }
        let (mut own, rest) = bytes.split_at(RECORD_HEADER_BYTES);
        if own.get_u32_le() != MAGIC {
            return Err(BatchError::NotABatch);
        }
        let expected = own.get_u32_le();
        let found = front_crc(salt, own, &rest[..BATCH_HEADER_BYTES]);
        if expected != found {
            return Err(BatchError::Damaged { expected, found });
        }
        Ok(Self {
            flushed: Seq(own.get_u64_le()),
            batch: BatchHeader::parse(rest)?,
        })
    }

    /// The record's length with its padding.
    pub(crate) fn total_bytes(&self) -> usize {
        record_bytes(self.batch.total_bytes())
    }
}

/// The length of the record of a batch.
pub(crate) fn record_bytes(batch_bytes: usize) -> usize {
    (RECORD_HEADER_BYTES + batch_bytes).next_multiple_of(ALIGNMENT)
}

/// Appends the record of `batch` to `out`.
pub(crate) fn encode(batch: &Batch, salt: Salt, flushed: Seq, out: &mut Vec<u8>) {
    let flushed = flushed.0.to_le_bytes();
    let batch_header = &batch.bytes()[..BATCH_HEADER_BYTES];
    out.put_u32_le(MAGIC);
    out.put_u32_le(front_crc(salt, &flushed, batch_header));
    out.put_slice(&flushed);
    out.put_slice(batch.bytes());
    let end = out.len().next_multiple_of(ALIGNMENT);
    out.resize(end, 0);
}

/// Takes the whole record at the start of `bytes`, and says how long it is.
pub(crate) fn parse(bytes: &Bytes, salt: Salt) -> Result<(RecordFront, Batch), BatchError> {
    let front = RecordFront::parse(bytes, salt)?;
    let end = RECORD_HEADER_BYTES + front.batch.total_bytes();
    if bytes.len() < end {
        return Err(BatchError::Short);
    }
    let batch = Batch::parse(bytes.slice(RECORD_HEADER_BYTES..end))?;
    Ok((front, batch))
}

fn front_crc(salt: Salt, flushed: &[u8], batch_header: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, flushed), batch_header)
}
