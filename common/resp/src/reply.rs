//! A resumable reader of replies, for who asks a Redis.
//!
//! What comes is handed out in pieces: of a list its length, then its items. So nothing nests, and no more
//! than one piece is held. A bulk string that is too long is passed over as it comes, and only its beginning
//! is kept, so that a peer cannot make its reader run out of memory and the one that asked can go on.

use bytes::{Buf, Bytes, BytesMut};

use crate::number::{integer, unsigned};

/// The longest line: a header, a status or an error.
const LINE_MAX_BYTES: usize = 64 << 10;
/// What is kept of a bulk string that is passed over.
const BEGINNING_BYTES: usize = 64;
/// Bulk strings from this length on share the input's memory; shorter ones are copied out.
const SHARED_FROM_BYTES: usize = 16 << 10;

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A short word, such as `OK`.
    Status(String),
    /// An error: its code, a space, and the text.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// More bytes than the reader takes.
    TooLong {
        /// How many there were.
        bytes: u64,
        /// The first of them.
        beginning: Bytes,
    },
    /// Nothing.
    Null,
    /// A list; so many items follow, each a piece or more.
    Array(u64),
}

/// What came is no reply in RESP2; where the next one begins is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The first byte of a reply says what it is.
    #[error("a reply begins with byte {got:#04x}; that is no Redis protocol")]
    Kind {
        /// The byte.
        got: u8,
    },
    /// A number or a length is none.
    #[error("a reply has a number or length that is none")]
    Number,
    /// A line does not end.
    #[error("a reply has a line of more than {LINE_MAX_BYTES} bytes")]
    Line,
    /// A bulk string does not end where it should.
    #[error("a reply does not end where it says")]
    End,
}

/// Reads replies, one piece after the other, from bytes that come in any pieces.
#[derive(Debug)]
pub struct ReplyReader {
    bulk_max_bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between pieces.
    Line,
    /// The bytes of a bulk string are to come.
    Bulk { length: usize },
    /// So many bytes of one that is too long are still to come, its end line among them.
    Skip {
        bytes: u64,
        missing: u64,
        beginning: BytesMut,
    },
}

impl ReplyReader {
    /// A reader at the beginning of a connection that takes bulk strings up to `bulk_max_bytes`.
    #[must_use]
    pub fn new(bulk_max_bytes: usize) -> Self {
        Self {
            bulk_max_bytes,
            state: State::Line,
        }
    }

    /// Takes the next piece out of `input`; none: more bytes are needed.
    ///
    /// # Errors
    /// When what came is no reply. The connection is of no use then.
    pub fn take(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, ReplyError> {
        loop {
            match &mut self.state {
                State::Line => {
                    let Some(line) = take_line(input)? else {
                        return Ok(None);
                    };
                    if let Some(piece) = self.line(&line)? {
                        return Ok(Some(piece));
                    }
                }
                State::Bulk { length } => {
                    let length = *length;
                    if input.len() < length + 2 {
                        return Ok(None);
                    }
                    if &input[length..length + 2] != b"\r\n" {
                        return Err(ReplyError::End);
                    }
                    let bytes = cut(input, length);
                    input.advance(2);
                    self.state = State::Line;
                    return Ok(Some(Piece::Bulk(bytes)));
                }
                State::Skip {
                    bytes,
                    missing,
                    beginning,
                } => {
                    let room = BEGINNING_BYTES - beginning.len();
                    beginning.extend_from_slice(&input[..room.min(input.len())]);
                    let here = (input.len() as u64).min(*missing);
                    input.advance(usize::try_from(here).unwrap_or(input.len()));
                    *missing -= here;
                    if *missing > 0 {
                        return Ok(None);
                    }
                    let beginning = std::mem::take(beginning).freeze();
                    let bytes = *bytes;
                    self.state = State::Line;
                    return Ok(Some(Piece::TooLong { bytes, beginning }));
                }
            }
        }
    }

    /// The piece that a line is; none: it is the header of a bulk string.
    fn line(&mut self, line: &[u8]) -> Result<Option<Piece>, ReplyError> {
        let (kind, rest) = line.split_first().ok_or(ReplyError::Kind { got: b'\r' })?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        let count = || unsigned(rest).ok_or(ReplyError::Number);
        Ok(Some(match kind {
            b'+' => Piece::Status(text()),
            b'-' => Piece::Error(text()),
            b':' => Piece::Integer(integer(rest).ok_or(ReplyError::Number)?),
            b'$' | b'*' if rest == b"-1" => Piece::Null,
            b'*' => Piece::Array(count()?),
            b'$' => {
                self.bulk(count()?)?;
                return Ok(None);
            }
            got => return Err(ReplyError::Kind { got: *got }),
        }))
    }

    fn bulk(&mut self, bytes: u64) -> Result<(), ReplyError> {
        self.state = match usize::try_from(bytes) {
            Ok(length) if length <= self.bulk_max_bytes => State::Bulk { length },
            _ => State::Skip {
                bytes,
                missing: bytes.checked_add(2).ok_or(ReplyError::Number)?,
                beginning: BytesMut::new(),
            },
        };
        Ok(())
    }
}

/// The next line without its end.
fn take_line(input: &mut BytesMut) -> Result<Option<BytesMut>, ReplyError> {
    let searched = &input[..input.len().min(LINE_MAX_BYTES)];
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() > LINE_MAX_BYTES {
            Err(ReplyError::Line)
        } else {
            Ok(None)
        };
    };
    let line = input.split_to(end);
    input.advance(2);
    Ok(Some(line))
}

fn cut(input: &mut BytesMut, length: usize) -> Bytes {
    if length >= SHARED_FROM_BYTES {
        return input.split_to(length).freeze();
    }
    let bytes = Bytes::copy_from_slice(&input[..length]);
    input.advance(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX_BYTES, Piece, ReplyError, ReplyReader};
    use bytes::{Bytes, BytesMut};

    /// Reads `bytes` in portions of `portion`.
    fn read(bytes: &[u8], portion: usize) -> Result<Vec<Piece>, ReplyError> {
        let mut reader = ReplyReader::new(100);
        let mut input = BytesMut::new();
        let mut pieces = Vec::new();
        for portion in bytes.chunks(portion) {
            input.extend_from_slice(portion);
            while let Some(piece) = reader.take(&mut input)? {
                pieces.push(piece);
            }
            assert!(input.len() <= 102 + portion.len(), "no more is held");
        }
        assert!(input.is_empty());
        Ok(pieces)
    }

    #[test]
    fn replies_are_read_in_any_portions() {
        let long = vec![b'x'; 101];
        let bytes = [
            &b"+OK\r\n-ERR no\r\n:-7\r\n$2\r\n\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n:1\r\n$101\r\n"
                [..],
            &long,
            b"\r\n+behind\r\n",
        ]
        .concat();
        let expected = vec![
            Piece::Status("OK".to_owned()),
            Piece::Error("ERR no".to_owned()),
            Piece::Integer(-7),
            Piece::Bulk(Bytes::from_static(b"\r\n")),
            Piece::Bulk(Bytes::new()),
            Piece::Null,
            Piece::Null,
            Piece::Array(2),
            Piece::Integer(1),
            Piece::TooLong {
                bytes: 101,
                beginning: Bytes::from(vec![b'x'; 64]),
            },
            Piece::Status("behind".to_owned()),
        ];
        for portion in [1, 2, 3, 7, bytes.len()] {
            assert_eq!(read(&bytes, portion), Ok(expected.clone()), "{portion}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for (bytes, error) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                ReplyError::Kind { got: b'H' },
            ),
            (b"\r\n", ReplyError::Kind { got: b'\r' }),
            (b"%1\r\n", ReplyError::Kind { got: b'%' }),
            (b":1.5\r\n", ReplyError::Number),
            (b"$-2\r\n", ReplyError::Number),
            (b"*99999999999999999999\r\n", ReplyError::Number),
            (b"$18446744073709551615\r\n", ReplyError::Number),
            (b"$1\r\nab\r\n", ReplyError::End),
            (&[b'+'; LINE_MAX_BYTES + 1], ReplyError::Line),
        ] {
            assert_eq!(read(bytes, bytes.len()), Err(error));
        }
    }
}
