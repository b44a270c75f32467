//! The files of a log.
//!
//! ```text
//! header = magic  8 bytes  "KVSEG001"
//!          crc        u32  CRC-32C over what follows, but for the zeros
//!          version    u32
//!          base       u128 the base state that the log builds on
//!          first      u64  the first entry
//!          before     u64  the epoch of the entry before it
//!          length     u64  of the file
//!          salt       u64  a random number, one for all segments of a log
//!          zeros           up to 4096 bytes
//! ```
//!
//! All numbers are little-endian. A segment is full of zeros, or of what a former life left,
//! before anything is written to it, so that a write changes nothing but data, and one `fdatasync`
//! is one disk write. Its name is given after its header is durable.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut};
use kv_common::history::BaseId;
use kv_common::id::{Epoch, Seq};
use rustix::fs::OFlags;

use crate::log_disk::LogDisk;
use crate::log_error::LogError;
use crate::record::Salt;
use kv_store::file::sync_dir;

/// The length of a segment's header; records begin behind it.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;
/// The length of a segment, if nothing longer has to go into it.
pub const SEGMENT_BYTES: u64 = 16 << 20;

const MAGIC: &[u8; 8] = b"KVSEG001";
const VERSION: u32 = 2;
const EXTENSION: &str = ".seg";
const NAME_DIGITS: usize = 20;
/// Version and fields.
const CHECKED_BYTES: usize = 52;
static ZEROS: Aligned = Aligned([0; 1 << 18]);

/// Writes past the page cache come from aligned memory.
#[repr(align(4096))]
struct Aligned([u8; 1 << 18]);

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The base state that the log builds on.
    pub(crate) base: BaseId,
    /// The first entry.
    pub(crate) first: Seq,
    /// The epoch of the entry before it.
    pub(crate) epoch_before: Epoch,
    /// The length of the file. One that is shorter has lost its end.
    pub(crate) length: u64,
    /// The log's salt.
    pub(crate) salt: Salt,
}

impl SegmentHeader {
    fn encode(&self) -> Vec<u8> {
        let mut checked = Vec::with_capacity(CHECKED_BYTES);
        checked.put_u32_le(VERSION);
        checked.put_u128_le(self.base.0);
        checked.put_u64_le(self.first.0);
        checked.put_u64_le(self.epoch_before.0);
        checked.put_u64_le(self.length);
        checked.put_u64_le(self.salt.0);
        let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        header.put_slice(MAGIC);
        header.put_u32_le(crc32c::crc32c(&checked));
        header.put_slice(&checked);
        header.resize(SEGMENT_HEADER_BYTES as usize, 0);
        header
    }

    fn decode(mut bytes: &[u8]) -> Option<Result<Self, NewerVersion>> {
        let magic = bytes.split_off(..MAGIC.len())?;
        let crc = bytes.try_get_u32_le().ok()?;
        let checked = bytes.get(..CHECKED_BYTES)?;
        if magic != MAGIC || crc32c::crc32c(checked) != crc {
            return None;
        }
        if bytes.get_u32_le() > VERSION {
            return Some(Err(NewerVersion));
        }
        Some(Ok(Self {
            base: BaseId(bytes.get_u128_le()),
            first: Seq(bytes.get_u64_le()),
            epoch_before: Epoch(bytes.get_u64_le()),
            length: bytes.get_u64_le(),
            salt: Salt(bytes.get_u64_le()),
        }))
    }
}

/// A header that a newer program wrote.
struct NewerVersion;

/// The name of the segment that begins with `first`.
pub(crate) fn segment_path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{:0NAME_DIGITS$}{EXTENSION}", first.0))
}

/// The segments in `dir` by their names, in order.
pub(crate) fn list_segments(dir: &Path) -> io::Result<Vec<(Seq, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_suffix(EXTENSION))
            .filter(|digits| digits.len() == NAME_DIGITS)
            .and_then(|digits| digits.parse().ok());
        if let Some(first) = first {
            segments.push((Seq(first), entry.path()));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Reads the header of a segment; nothing when it is damaged.
pub(crate) fn read_header(file: &File, path: &Path) -> Result<Option<SegmentHeader>, LogError> {
    let mut bytes = [0; MAGIC.len() + 4 + CHECKED_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(LogError::io(path, error)),
    }
    match SegmentHeader::decode(&bytes) {
        None => Ok(None),
        Some(Ok(header)) => Ok(Some(header)),
        Some(Err(NewerVersion)) => Err(LogError::NewerFormat {
            path: path.to_owned(),
        }),
    }
}

/// Creates a file of `length` zeros at `path`, written and not merely reserved. A file that does
/// not get its length is removed: on a full disk it would only take what is left.
pub(crate) fn create_zeroed(disk: &LogDisk, path: &Path, length: u64) -> io::Result<File> {
    let created = try_create_zeroed(disk, path, length);
    if created.is_err() {
        let _ = fs::remove_file(path);
    }
    created
}

fn try_create_zeroed(disk: &LogDisk, path: &Path, length: u64) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    zero(disk, &file, 0, length)?;
    disk.sync_all(&file)?;
    Ok(file)
}

/// As [`create_zeroed`], a piece at a time and past the page cache where the file system can do that: what
/// waits in the cache would go to the device with the first flush, and every other flush would wait for it.
/// `between_pieces` is told how long a piece took, and may wait.
pub(crate) fn create_zeroed_in_pieces(
    disk: &LogDisk,
    path: &Path,
    length: u64,
    between_pieces: impl FnMut(Duration),
) -> io::Result<File> {
    match try_create_in_pieces(disk, path, length, between_pieces) {
        // Its blocks are larger than what was written.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            create_zeroed(disk, path, length)
        }
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
        created => created,
    }
}

fn try_create_in_pieces(
    disk: &LogDisk,
    path: &Path,
    length: u64,
    mut between_pieces: impl FnMut(Duration),
) -> io::Result<File> {
    let file = create_uncached(path)?;
    let mut at = 0;
    while at < length {
        let begun = Instant::now();
        let next = length.min(at + ZEROS.0.len() as u64);
        zero(disk, &file, at, next)?;
        at = next;
        between_pieces(begun.elapsed());
    }
    disk.sync_all(&file)?;
    Ok(file)
}

fn create_uncached(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    options
        .clone()
        .custom_flags(direct)
        .open(path)
        .or_else(|_| options.open(path))
}

/// Overwrites a part of a file with zeros.
pub(crate) fn zero(disk: &LogDisk, file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let step = ZEROS
            .0
            .len()
            .min(usize::try_from(to - at).unwrap_or(usize::MAX));
        disk.write_all_at(file, &ZEROS.0[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

/// Turns the file at `spare` into the segment that `header` describes, durably.
pub(crate) fn put_in_place(
    disk: &LogDisk,
    dir: &Path,
    spare: &Path,
    file: &File,
    header: &SegmentHeader,
) -> io::Result<PathBuf> {
    disk.write_all_at(file, &header.encode(), 0)?;
    disk.sync_data(file)?;
    let path = segment_path(dir, header.first);
    fs::rename(spare, &path)?;
    sync_dir(dir)?;
    Ok(path)
}

/// Writes a part of a file once more as it is read, so that a flush has to bring it to the disk: what a read
/// gives may stand in memory alone, and after a failed flush even a further one would leave it there.
pub(crate) fn write_again(disk: &LogDisk, file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut block = vec![0; ZEROS.0.len()];
    let mut at = from;
    while at < to {
        let step = block
            .len()
            .min(usize::try_from(to - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut block[..step], at)?;
        disk.write_all_at(file, &block[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LogDisk, ZEROS, create_zeroed_in_pieces};

    #[test]
    fn a_file_of_any_length_is_made_of_zeros_with_a_rest_between_its_pieces() {
        let dir = tempfile::tempdir().expect("there is room");
        let piece = ZEROS.0.len() as u64;
        for (length, pieces) in [(0, 0), (piece, 1), (3 * piece, 3), (piece + 1000, 2)] {
            let path = dir.path().join(length.to_string());
            let mut rests = 0;
            create_zeroed_in_pieces(&LogDisk::default(), &path, length, |_| rests += 1)
                .expect("there is room");
            let content = std::fs::read(&path).expect("is there");
            assert_eq!(content.len() as u64, length);
            assert!(content.iter().all(|byte| *byte == 0));
            let whole_pieces = usize::from(length % 4096 == 0) * pieces;
            assert!(rests >= whole_pieces, "{rests} of {pieces}");
        }
    }
}
