//! A second copy of the meta record, in a file of its own.
//!
//! ```text
//! file = slot slot          64 KiB each; a record goes into the one that does not hold the last
//! slot = magic   8 bytes    "KVMETA01"
//!        crc     u32        CRC-32C over what follows
//!        length  u32        of the record
//!        count   u64        how many records were stored before and with this one
//!        record             MessagePack
//! ```
//!
//! All numbers are little-endian. A database whose file was damaged at its end opens as it was some
//! writes ago, and nothing in it tells: a seal would be forgotten. The copy knows of the later ones.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};
use kv_store::file::{dir_of, sync_dir};

use crate::log_disk::LogDisk;
use crate::segment::create_zeroed;

const MAGIC: &[u8; 8] = b"KVMETA01";
const SLOT_BYTES: usize = 64 << 10;
const FRONT_BYTES: usize = 24;
/// The longest record.
const RECORD_MAX_BYTES: usize = SLOT_BYTES - FRONT_BYTES;

/// The file.
#[derive(Debug)]
pub(crate) struct MetaCopy {
    path: PathBuf,
    file: File,
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FoundCopy {
    /// Nothing was stored in it.
    Empty,
    /// The last record that can be read.
    Record {
        /// Its number.
        count: u64,
        /// The record.
        record: Vec<u8>,
    },
    /// Something was stored, and no record can be read.
    Damaged,
}

impl MetaCopy {
    /// Opens the file at `path`, or makes it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = match OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = create_zeroed(&LogDisk::default(), path, 2 * SLOT_BYTES as u64)?;
                sync_dir(dir_of(path))?;
                file
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Stores the record with the number `count`, durably.
    pub(crate) fn store(&self, count: u64, record: &[u8]) -> io::Result<()> {
        if record.len() > RECORD_MAX_BYTES {
            let what = format!("a meta record of {} bytes is too long", record.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut checked = Vec::with_capacity(FRONT_BYTES + record.len());
        checked.put_u32_le(u32::try_from(record.len()).unwrap_or(u32::MAX));
        checked.put_u64_le(count);
        checked.put_slice(record);
        let mut slot = Vec::with_capacity(FRONT_BYTES + record.len());
        slot.put_slice(MAGIC);
        slot.put_u32_le(crc32c::crc32c(&checked));
        slot.put_slice(&checked);
        let offset = (count % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, offset)?;
        rustix::fs::fdatasync(&self.file)?;
        Ok(())
    }
}

/// What the file at `path` holds. Changes nothing.
pub(crate) fn look(path: &Path) -> io::Result<FoundCopy> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FoundCopy::Empty),
        Err(error) => return Err(error),
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(FoundCopy::Empty);
    }
    let newest = bytes.chunks(SLOT_BYTES).filter_map(parse).max();
    Ok(match newest {
        Some((count, record)) => FoundCopy::Record { count, record },
        None => FoundCopy::Damaged,
    })
}

fn parse(mut slot: &[u8]) -> Option<(u64, Vec<u8>)> {
    let magic = slot.split_off(..MAGIC.len())?;
    let crc = slot.try_get_u32_le().ok()?;
    let mut rest = slot;
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let count = rest.try_get_u64_le().ok()?;
    let record = rest.get(..length)?;
    let checked = slot.get(..slot.len() - rest.len() + length)?;
    (magic == MAGIC && crc32c::crc32c(checked) == crc).then(|| (count, record.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::{FoundCopy, MetaCopy, SLOT_BYTES, look};
    use std::fs;

    fn record(count: u64, record: &[u8]) -> FoundCopy {
        let record = record.to_vec();
        FoundCopy::Record { count, record }
    }

    #[test]
    fn the_last_record_that_can_be_read_counts() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("copy");
        assert_eq!(look(&path).expect("looks"), FoundCopy::Empty);
        let copy = MetaCopy::open(&path).expect("makes it");
        assert_eq!(look(&path).expect("looks"), FoundCopy::Empty);
        copy.store(1, b"one").expect("stores");
        copy.store(2, b"two").expect("stores");
        assert_eq!(look(&path).expect("looks"), record(2, b"two"));
        MetaCopy::open(&path)
            .expect("opens")
            .store(3, b"three")
            .expect("stores");
        assert_eq!(look(&path).expect("looks"), record(3, b"three"));
        let mut bytes = fs::read(&path).expect("reads");
        bytes[SLOT_BYTES + 20] ^= 1;
        fs::write(&path, &bytes).expect("writes");
        assert_eq!(look(&path).expect("looks"), record(2, b"two"));
        bytes[20] ^= 1;
        fs::write(&path, &bytes).expect("writes");
        assert_eq!(look(&path).expect("looks"), FoundCopy::Damaged);
        fs::write(&path, b"x").expect("writes");
        assert_eq!(look(&path).expect("looks"), FoundCopy::Damaged);
    }

    #[test]
    fn a_record_that_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let copy = MetaCopy::open(&dir.path().join("copy")).expect("makes it");
        assert!(copy.store(1, &vec![0; SLOT_BYTES]).is_err());
    }
}
