//! Reading a `db.txt`.

use std::io::{self, BufRead};

use bytes::Bytes;

use super::token::{self, ENCODING, Special};
use crate::id::Position;
use crate::limits::{KEY_MAX_BYTES, VALUE_MAX_BYTES};
use crate::time::UnixMs;

/// What a token may have around the key: `%expires=`, a number, a comma.
const SPECIAL_MAX_BYTES: usize = 64;
/// An encoded byte takes three.
const ENCODED_BYTE: usize = 3;

/// One thing that a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A key has a value, without expiry until further notice.
    Pair {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// A key goes by itself.
    Expires {
        /// The key.
        key: Bytes,
        /// When.
        at: UnixMs,
    },
    /// What the file stands for.
    Position(Position),
    /// An odd last token, which means nothing.
    OddToken {
        /// The line.
        line: u64,
    },
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DbTxtError {
    /// The input fails.
    #[error("line {line} cannot be read: {source}")]
    Io {
        /// The line.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A key is longer than a key may be.
    #[error("line {line}: a key of more than {KEY_MAX_BYTES} bytes")]
    KeyTooLong {
        /// The line.
        line: u64,
    },
    /// A value is longer than a value may be.
    #[error("line {line}: a value of more than {VALUE_MAX_BYTES} bytes")]
    ValueTooLong {
        /// The line.
        line: u64,
    },
    /// A `%` in an encoded file is not followed by two hexadecimal digits.
    #[error("line {line}: '%' must be followed by two hexadecimal digits")]
    BadPercent {
        /// The line.
        line: u64,
    },
}

/// Reads a `db.txt`, item by item. Takes memory for one pair, however long the lines are.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: u64,
    /// Whether a token was taken from the line already.
    within_line: bool,
    encoded: bool,
}

enum Token {
    Word(Vec<u8>),
    EndOfLine,
    EndOfInput,
    TooLong,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: 1,
            within_line: false,
            encoded: false,
        }
    }

    /// The line that is being read.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next item; nothing at the end.
    ///
    /// # Errors
    /// When the input fails or says something that cannot be. Nothing can be read after that.
    pub fn next_item(&mut self) -> Result<Option<Item>, DbTxtError> {
        loop {
            let line = self.line;
            let first_on_line = !self.within_line;
            let key = match self.token(self.longest(KEY_MAX_BYTES) + SPECIAL_MAX_BYTES)? {
                Token::Word(key) => key,
                Token::EndOfLine => continue,
                Token::EndOfInput => return Ok(None),
                Token::TooLong => return Err(DbTxtError::KeyTooLong { line }),
            };
            match self.token(self.longest(VALUE_MAX_BYTES))? {
                Token::Word(value) => return self.pair(line, &key, value).map(Some),
                Token::TooLong => return Err(DbTxtError::ValueTooLong { line }),
                Token::EndOfLine | Token::EndOfInput if first_on_line => {
                    if line == 1 && key == ENCODING {
                        self.encoded = true;
                        continue;
                    }
                    return self.single(line, &key).map(Some);
                }
                Token::EndOfLine | Token::EndOfInput => return Ok(Some(Item::OddToken { line })),
            }
        }
    }

    fn pair(&self, line: u64, key: &[u8], value: Vec<u8>) -> Result<Item, DbTxtError> {
        let key = self.key(line, key)?;
        let value = match self.encoded {
            true => token::decode(&value).ok_or(DbTxtError::BadPercent { line })?,
            false => value,
        };
        if value.len() > VALUE_MAX_BYTES {
            return Err(DbTxtError::ValueTooLong { line });
        }
        let value = Bytes::from(value);
        Ok(Item::Pair { key, value })
    }

    /// A token that stands alone on its line.
    fn single(&self, line: u64, word: &[u8]) -> Result<Item, DbTxtError> {
        match token::parse_special(word) {
            Some(Special::Expires { at, key }) => {
                let key = self.key(line, key)?;
                Ok(Item::Expires { key, at })
            }
            Some(Special::Position(position)) => Ok(Item::Position(position)),
            None => Ok(Item::OddToken { line }),
        }
    }

    fn key(&self, line: u64, word: &[u8]) -> Result<Bytes, DbTxtError> {
        let key = match self.encoded {
            true => token::decode(word).ok_or(DbTxtError::BadPercent { line })?,
            false => word.to_vec(),
        };
        if key.len() > KEY_MAX_BYTES {
            return Err(DbTxtError::KeyTooLong { line });
        }
        Ok(Bytes::from(key))
    }

    /// The longest token for so many bytes.
    fn longest(&self, bytes: usize) -> usize {
        if self.encoded {
            bytes * ENCODED_BYTE
        } else {
            bytes
        }
    }

    /// The next token of the line, or what ends the line.
    fn token(&mut self, max_bytes: usize) -> Result<Token, DbTxtError> {
        let mut word = Vec::new();
        loop {
            let line = self.line;
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(DbTxtError::Io { line, source }),
            };
            if block.is_empty() && word.is_empty() {
                return Ok(Token::EndOfInput);
            }
            let length = block.iter().take_while(|byte| !token::is_space(**byte));
            let length = length.count();
            if word.len() + length > max_bytes {
                return Ok(Token::TooLong);
            }
            word.extend_from_slice(&block[..length]);
            let ends = length < block.len() || block.is_empty();
            let space = block.get(length).copied();
            self.input.consume(length);
            if !ends {
                continue;
            }
            if !word.is_empty() {
                self.within_line = true;
                return Ok(Token::Word(word));
            }
            self.input.consume(1);
            if space == Some(b'\n') {
                self.line += 1;
                self.within_line = false;
                return Ok(Token::EndOfLine);
            }
        }
    }
}
