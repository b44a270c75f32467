//! The file of a backup: a `db.txt` in parts that are checked.
//!
//! ```text
//! file   = header part* end
//! header = magic   8 bytes  "KVBACKUP"
//!          crc     u32      CRC-32C over what follows
//!          version u32
//!          epoch   u64      the position that the backup stands for
//!          seq     u64
//!          pairs   u64
//!          bytes   u64      of all parts together
//! part   = length  u32      at most 1 MiB, not 0
//!          crc     u32      CRC-32C over the part's number, u64 from 0, and its bytes
//!          bytes
//! end    = zero    u32
//!          crc     u32      as of a part, over the number of parts and no bytes
//! ```
//!
//! All numbers are little-endian. A part that is missing, doubled or out of place has another number
//! than its checksum, and a file without its end is cut off.

use std::io::{self, BufRead, Read, Write};

use bytes::{Buf, BufMut};
use kv_common::id::{Epoch, Position, Seq};

const MAGIC: &[u8; 8] = b"KVBACKUP";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
const PART_BYTES_MAX: usize = 1 << 20;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackupHeader {
    /// The position that it stands for.
    pub(crate) at: Position,
    /// How many pairs.
    pub(crate) pairs: u64,
    /// How many bytes of text.
    pub(crate) bytes: u64,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no backup")]
    NotABackup,
    /// It is of a newer version.
    #[error("a newer version of this program wrote this backup (format {version}); use that one")]
    Newer { version: u32 },
    /// A checksum is wrong.
    #[error("the backup is damaged: {what} has a wrong checksum")]
    Damaged { what: String },
    /// It has no end.
    #[error("the backup was cut off: it ends within {what}")]
    CutOff { what: String },
    /// It goes on behind its end.
    #[error("the backup is damaged: something follows its end")]
    Longer,
    /// Parts and header do not agree.
    #[error("the backup is damaged: it holds {found} bytes of text and says that it holds {said}")]
    OtherLength { found: u64, said: u64 },
}

impl BackupHeader {
    fn encode(&self) -> Vec<u8> {
        let mut checked = Vec::with_capacity(HEADER_BYTES);
        checked.put_u32_le(VERSION);
        checked.put_u64_le(self.at.epoch.0);
        checked.put_u64_le(self.at.seq.0);
        checked.put_u64_le(self.pairs);
        checked.put_u64_le(self.bytes);
        let mut header = MAGIC.to_vec();
        header.put_u32_le(crc32c::crc32c(&checked));
        header.put_slice(&checked);
        header
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BackupError> {
        let (magic, mut rest) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        let crc = rest.get_u32_le();
        if crc32c::crc32c(rest) != crc {
            let what = "its header".to_owned();
            return Err(BackupError::Damaged { what });
        }
        let version = rest.get_u32_le();
        if version != VERSION {
            return Err(BackupError::Newer { version });
        }
        let at = Position {
            epoch: Epoch(rest.get_u64_le()),
            seq: Seq(rest.get_u64_le()),
        };
        Ok(Self {
            at,
            pairs: rest.get_u64_le(),
            bytes: rest.get_u64_le(),
        })
    }
}

/// Writes a backup.
pub(crate) struct BackupWriter<W> {
    out: W,
    parts: u64,
}

impl<W: Write> BackupWriter<W> {
    pub(crate) fn begin(mut out: W, header: &BackupHeader) -> io::Result<Self> {
        out.write_all(&header.encode())?;
        Ok(Self { out, parts: 0 })
    }

    /// Writes text of any length.
    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        for part in text.chunks(PART_BYTES_MAX) {
            self.write_part(part)?;
            self.parts += 1;
        }
        Ok(())
    }

    /// Writes the end.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.write_part(&[])?;
        self.out.flush()
    }

    fn write_part(&mut self, part: &[u8]) -> io::Result<()> {
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        let crc = part_crc(self.parts, part);
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(part)
    }
}

fn part_crc(number: u64, part: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), part)
}

/// Gives the text of a backup, each part after it was checked. What is wrong comes as an
/// [`io::Error`] that holds a [`BackupError`].
pub(crate) struct BackupReader<R> {
    input: R,
    header: BackupHeader,
    part: Vec<u8>,
    /// How much of the part was given.
    given: usize,
    parts: u64,
    bytes: u64,
    ended: bool,
}

impl<R: Read> BackupReader<R> {
    pub(crate) fn begin(mut input: R) -> Result<Self, BackupError> {
        let mut bytes = [0; HEADER_BYTES];
        read_exact(&mut input, &mut bytes, || "its header".to_owned())?;
        Ok(Self {
            header: BackupHeader::decode(&bytes)?,
            input,
            part: Vec::new(),
            given: 0,
            parts: 0,
            bytes: 0,
            ended: false,
        })
    }

    pub(crate) fn header(&self) -> BackupHeader {
        self.header
    }

    fn next_part(&mut self) -> Result<(), BackupError> {
        let number = self.parts;
        let what = || format!("part {}", number + 1);
        let mut front = [0; 8];
        read_exact(&mut self.input, &mut front, what)?;
        let mut front = &front[..];
        let length = usize::try_from(front.get_u32_le()).unwrap_or(usize::MAX);
        let crc = front.get_u32_le();
        let damaged = || BackupError::Damaged { what: what() };
        if length > PART_BYTES_MAX {
            return Err(damaged());
        }
        self.part.resize(length, 0);
        self.given = 0;
        read_exact(&mut self.input, &mut self.part, what)?;
        if part_crc(number, &self.part) != crc {
            return Err(damaged());
        }
        self.parts += 1;
        self.bytes += length as u64;
        if length == 0 {
            self.ended = true;
            return self.check_end();
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), BackupError> {
        let (found, said) = (self.bytes, self.header.bytes);
        if found != said {
            return Err(BackupError::OtherLength { found, said });
        }
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(BackupError::Longer),
        }
    }
}

fn read_exact(
    input: &mut impl Read,
    bytes: &mut [u8],
    what: impl FnOnce() -> String,
) -> Result<(), BackupError> {
    match input.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(BackupError::CutOff { what: what() })
        }
        other => Ok(other?),
    }
}

impl<R: Read> Read for BackupReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for BackupReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given == self.part.len() && !self.ended {
            self.next_part().map_err(|error| match error {
                BackupError::Io(error) => error,
                error => io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
        }
        Ok(&self.part[self.given..])
    }

    fn consume(&mut self, count: usize) {
        self.given += count;
    }
}

#[cfg(test)]
mod tests {
    use super::{BackupError, BackupHeader, BackupReader, BackupWriter, HEADER_BYTES};
    use kv_common::id::{Epoch, Position, Seq};
    use std::io::Read;

    fn header(bytes: usize) -> BackupHeader {
        BackupHeader {
            at: Position {
                epoch: Epoch(3),
                seq: Seq(70),
            },
            pairs: 7,
            bytes: bytes as u64,
        }
    }

    /// A backup of three parts.
    fn backup() -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = BackupWriter::begin(&mut file, &header(9)).expect("begins");
        for text in ["abc", "def", "ghi"] {
            writer.write(text.as_bytes()).expect("writes");
        }
        writer.finish().expect("ends");
        file
    }

    fn read(file: &[u8]) -> Result<Vec<u8>, String> {
        let mut reader = BackupReader::begin(file).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        let read = reader.read_to_end(&mut text);
        read.map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn what_was_written_is_read() {
        let file = backup();
        assert_eq!(read(&file).expect("reads"), b"abcdefghi");
        let found = BackupReader::begin(&file[..]).expect("reads").header();
        assert_eq!(found, header(9));
    }

    #[test]
    fn long_text_is_parted() {
        let text = vec![b'x'; 5 << 20];
        let mut file = Vec::new();
        let mut writer = BackupWriter::begin(&mut file, &header(text.len())).expect("begins");
        writer.write(&text).expect("writes");
        writer.finish().expect("ends");
        assert!(read(&file).expect("reads") == text);
    }

    #[test]
    fn no_bit_can_be_changed_and_no_end_cut_off() {
        let file = backup();
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            read(&changed).expect_err("a changed bit");
        }
        for length in 0..file.len() {
            read(&file[..length]).expect_err("a cut file");
        }
        let mut longer = file;
        longer.push(0);
        assert!(
            read(&longer)
                .expect_err("a longer file")
                .contains("follows")
        );
    }

    #[test]
    fn parts_cannot_be_left_out_doubled_or_exchanged() {
        let file = backup();
        let part = |number: usize| &file[HEADER_BYTES + number * 11..][..11];
        let front = &file[..HEADER_BYTES];
        let end = &file[HEADER_BYTES + 33..];
        for order in [vec![0, 1], vec![0, 0, 1, 2], vec![1, 0, 2], vec![0, 1, 1]] {
            let parts: Vec<u8> = order
                .iter()
                .flat_map(|number| part(*number).to_vec())
                .collect();
            let error = read(&[front, &parts, end].concat()).expect_err("another order");
            assert!(error.contains("damaged"), "{order:?}: {error}");
        }
        let whole = [front, part(0), part(1), part(2), end].concat();
        assert!(read(&whole).is_ok(), "the pieces are the right ones");
    }

    #[test]
    fn something_else_is_no_backup() {
        let text = b"a n\n".repeat(20);
        let error = BackupReader::begin(&text[..]).err().expect("refused");
        assert!(matches!(error, BackupError::NotABackup));
    }
}
