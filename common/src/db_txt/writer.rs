//! Writing a `db.txt`.

use std::borrow::Cow;
use std::io::{self, Write};

use super::token::{self, ENCODING, EXPIRES, POSITION};
use crate::id::Position;
use crate::time::UnixMs;

/// How the tokens of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    #[default]
    Plain,
    /// Percent-encoded.
    Percent,
}

/// Finds out which encoding a file needs: it has to see every pair before the first one is
/// written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodingScan {
    encoding: Encoding,
}

impl EncodingScan {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a pair.
    pub fn note(&mut self, key: &[u8], value: &[u8]) {
        if !token::is_plain(key) || !token::is_plain(value) || token::looks_special(key) {
            self.encoding = Encoding::Percent;
        }
    }

    /// What all pairs so far can be written in.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }
}

/// Writes a `db.txt`, pair by pair. The caller sorts.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    encoding: Encoding,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file. `encoding` is what an [`EncodingScan`] of all its pairs came to.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(out: W, encoding: Encoding) -> io::Result<Self> {
        let mut writer = Self {
            out,
            encoding,
            bytes: 0,
        };
        if encoding == Encoding::Percent {
            writer.line(&[ENCODING])?;
        }
        Ok(writer)
    }

    /// Writes a pair.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn pair(&mut self, key: &[u8], value: &[u8], expires_at: Option<UnixMs>) -> io::Result<()> {
        let key = self.token(key);
        let value = self.token(value);
        self.line(&[&key, b" ", &value])?;
        match expires_at {
            Some(at) => self.line(&[EXPIRES, at.to_string().as_bytes(), b",", &key]),
            None => Ok(()),
        }
    }

    /// Writes the position that the file stands for, as its last line.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn position(&mut self, position: Position) -> io::Result<()> {
        let numbers = format!("{},{}", position.epoch, position.seq);
        self.line(&[POSITION, numbers.as_bytes()])
    }

    /// Flushes what was written, and says how many bytes that were.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.out.flush()?;
        Ok((self.out, self.bytes))
    }

    fn token<'bytes>(&self, bytes: &'bytes [u8]) -> Cow<'bytes, [u8]> {
        match self.encoding {
            Encoding::Plain => Cow::Borrowed(bytes),
            Encoding::Percent => token::encode(bytes),
        }
    }

    fn line(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts.iter().chain([&&b"\n"[..]]) {
            self.out.write_all(part)?;
            self.bytes += part.len() as u64;
        }
        Ok(())
    }
}
