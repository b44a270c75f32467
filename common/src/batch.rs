//! Batches: runs of entries of one epoch, encoded once. The same bytes go to the primary's disk,
//! over every link, and to every backup's disk, and are never split or joined afterwards.
//!
//! ```text
//! batch = magic     u32   "KVB1"
//!         length    u32   bytes of the entries behind the header
//!         crc       u32   CRC-32C over everything behind this field, to the batch's end
//!         count     u32   entries
//!         epoch     u64   whose primary wrote them
//!         first     u64   the place of the first entry
//!         committed u64   the last place committed when the batch was closed
//!         entries
//! ```
//!
//! All numbers are little-endian. The commit mark tells a node that starts how much of its log
//! was certainly committed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::entry::{Entry, EntryBody, EntryError};
use crate::id::{Epoch, Position, Seq};
use crate::limits::BATCH_MAX_BYTES;

/// The length of a batch's header.
pub const BATCH_HEADER_BYTES: usize = 40;

const MAGIC: u32 = u32::from_le_bytes(*b"KVB1");
/// Where the checksummed part begins.
const CHECKED_FROM: usize = 12;
/// Entries that room is made for before they are read.
const ROOM_ENTRIES_MAX: usize = 1024;

/// What the header of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of the entries behind the header.
    pub length: usize,
    /// The checksum that the rest of the batch must have.
    pub crc: u32,
    /// How many entries there are; at least one.
    pub count: u32,
    /// The epoch of all of them.
    pub epoch: Epoch,
    /// The place of the first one.
    pub first: Seq,
    /// The last place committed when the batch was closed.
    pub committed: Seq,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. Does not check the checksum.
    ///
    /// # Errors
    /// When the bytes are too few or no header.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < BATCH_HEADER_BYTES {
            return Err(BatchError::Short);
        }
        if bytes.get_u32_le() != MAGIC {
            return Err(BatchError::NotABatch);
        }
        let length = bytes.get_u32_le() as usize;
        let header = Self {
            length,
            crc: bytes.get_u32_le(),
            count: bytes.get_u32_le(),
            epoch: Epoch(bytes.get_u64_le()),
            first: Seq(bytes.get_u64_le()),
            committed: Seq(bytes.get_u64_le()),
        };
        // An entry is at least five bytes long, so a count beyond the length is a lie.
        let plausible = header.count >= 1
            && header.count as usize <= length
            && BATCH_HEADER_BYTES + length <= BATCH_MAX_BYTES
            && header.first >= Seq(1)
            && header
                .first
                .0
                .checked_add(u64::from(header.count))
                .is_some();
        if plausible {
            Ok(header)
        } else {
            Err(BatchError::NotABatch)
        }
    }

    /// The place of the last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.count) - 1)
    }

    /// The whole batch's length, header included.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.length
    }
}

/// A whole batch whose checksum was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes `bytes` for a batch, to the last byte.
    ///
    /// # Errors
    /// When they are not exactly one batch, or the checksum differs.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        if bytes.len() < header.total_bytes() {
            return Err(BatchError::Short);
        }
        if bytes.len() > header.total_bytes() {
            return Err(BatchError::NotABatch);
        }
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        if crc != header.crc {
            return Err(BatchError::Damaged {
                expected: header.crc,
                found: crc,
            });
        }
        Ok(Self { header, bytes })
    }

    /// What the header says.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch as it stands on disk and travels.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The place of the first entry.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.header.first
    }

    /// The place of the last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.header.last()
    }

    /// The epoch of all entries.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    /// The entries, in order. Keys and values are slices of the batch.
    ///
    /// # Errors
    /// When the bytes behind a right checksum are not `count` entries: they come from a program
    /// of another version.
    pub fn entries(&self) -> Result<Vec<Entry>, BatchError> {
        let mut input = self.bytes.slice(BATCH_HEADER_BYTES..);
        // An entry in memory is many times as long as the shortest one in a batch may be.
        let room = (self.header.count as usize).min(ROOM_ENTRIES_MAX);
        let mut entries = Vec::with_capacity(room);
        for index in 0..u64::from(self.header.count) {
            let body = EntryBody::decode(&mut input)?;
            let position = Position {
                epoch: self.header.epoch,
                seq: Seq(self.header.first.0 + index),
            };
            entries.push(Entry { position, body });
        }
        if input.has_remaining() {
            let left = input.remaining();
            return Err(EntryError::TooLong { left }.into());
        }
        Ok(entries)
    }
}

/// Gathers entries until the batch is closed.
#[derive(Debug)]
pub struct BatchBuilder {
    epoch: Epoch,
    first: Seq,
    count: u32,
    bytes: BytesMut,
}

impl BatchBuilder {
    /// An empty batch whose first entry will stand at `first`.
    #[must_use]
    pub fn new(epoch: Epoch, first: Seq) -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        bytes.put_bytes(0, BATCH_HEADER_BYTES);
        Self {
            epoch,
            first,
            count: 0,
            bytes,
        }
    }

    /// Adds an entry and says where it stands.
    pub fn push(&mut self, body: &EntryBody) -> Position {
        body.encode(&mut self.bytes);
        let seq = Seq(self.first.0 + u64::from(self.count));
        self.count += 1;
        Position {
            epoch: self.epoch,
            seq,
        }
    }

    /// Whether no entry was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The length so far, header included.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Closes the batch.
    ///
    /// # Panics
    /// When it is empty.
    #[must_use]
    pub fn close(mut self, committed: Seq) -> Batch {
        assert!(self.count > 0, "an empty batch has no place in the log");
        let length = self.bytes.len() - BATCH_HEADER_BYTES;
        let mut head = &mut self.bytes[..BATCH_HEADER_BYTES];
        head.put_u32_le(MAGIC);
        head.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        head.put_u32_le(0);
        head.put_u32_le(self.count);
        head.put_u64_le(self.epoch.0);
        head.put_u64_le(self.first.0);
        head.put_u64_le(committed.0);
        let crc = crc32c::crc32c(&self.bytes[CHECKED_FROM..]);
        self.bytes[8..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        Batch {
            header: BatchHeader {
                length,
                crc,
                count: self.count,
                epoch: self.epoch,
                first: self.first,
                committed,
            },
            bytes: self.bytes.freeze(),
        }
    }
}

/// Bytes that are not a whole and sound batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end within a batch.
    #[error("a batch ends early")]
    Short,
    /// No batch begins here.
    #[error("no batch begins here")]
    NotABatch,
    /// The checksum differs.
    #[error("a batch is damaged: checksum {found:#010x}, should be {expected:#010x}")]
    Damaged {
        /// What the header says.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// The checksum is right, the entries are not.
    #[error("a batch of another version: {0}")]
    Entry(#[from] EntryError),
}

#[cfg(test)]
mod tests {
    use super::{Batch, BatchBuilder, BatchError, BatchHeader};
    use crate::entry::EntryBody;
    use crate::id::{Epoch, Seq};
    use bytes::Bytes;

    fn sample() -> Batch {
        let mut builder = BatchBuilder::new(Epoch(4), Seq(10));
        assert_eq!(builder.push(&EntryBody::OpenSession).seq, Seq(10));
        assert_eq!(builder.push(&EntryBody::Mark).seq, Seq(11));
        builder.close(Seq(9))
    }

    #[test]
    fn a_closed_batch_parses_to_itself() {
        let batch = sample();
        let again = Batch::parse(batch.bytes().clone()).expect("parses");
        assert_eq!(again, batch);
        assert_eq!((again.first(), again.last()), (Seq(10), Seq(11)));
        assert_eq!(again.header().committed, Seq(9));
        let entries = again.entries().expect("decodes");
        assert_eq!(entries[1].body, EntryBody::Mark);
        assert_eq!(entries[1].position.seq, Seq(11));
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let good = sample().bytes().to_vec();
        for index in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                let parsed = Batch::parse(Bytes::from(bad));
                assert!(parsed.is_err(), "byte {index}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_cut_batch_is_short() {
        let good = sample().bytes().clone();
        for end in 0..good.len() {
            assert_eq!(Batch::parse(good.slice(..end)), Err(BatchError::Short));
        }
        assert_eq!(
            BatchHeader::parse(&[0; 64]),
            Err(BatchError::NotABatch),
            "zeros, as in a segment filled ahead, are no batch"
        );
    }
}
