//! A resumable reader of requests.
//!
//! A request is an array of bulk strings, flat by definition: whatever nests is refused at its first
//! byte. What was read of a request is taken out of the input at once, so a request that comes byte by
//! byte is never read twice. Memory is bounded by what the peer has really sent: no length that it
//! announces makes room before the bytes are there.

use bytes::{Buf, Bytes, BytesMut};

use crate::inline::words;
use crate::number::integer;

/// The longest line: a header, or an inline request.
const LINE_MAX_BYTES: usize = 64 << 10;
/// Arguments from this length on share the input's memory; shorter ones are copied out, so that a
/// short one that is kept does not keep a whole buffer.
const SHARED_FROM_BYTES: usize = 16 << 10;
/// What an argument costs beside its bytes.
const ARGUMENT_OVERHEAD_BYTES: usize = 32;
/// Arguments that room is made for before they came.
const RESERVED_ARGUMENTS_MAX: usize = 64;

/// What a request may come to before the client has said the password, as in Redis.
const RESTRICTED: Limits = Limits {
    arguments_max: 10,
    argument_max_bytes: 16 << 10,
    request_max_bytes: 10 * ((16 << 10) + ARGUMENT_OVERHEAD_BYTES),
};

/// What a request may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments, the command's name among them.
    pub arguments_max: usize,
    /// Bytes of one argument.
    pub argument_max_bytes: usize,
    /// Bytes of all arguments, with 32 for each.
    pub request_max_bytes: usize,
}

/// Why a connection cannot go on: where the next request begins is unknown. The texts are those that
/// Redis sends, behind `ERR `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The count of arguments is no number, or too high.
    #[error("Protocol error: invalid multibulk length")]
    ArgumentCount,
    /// The length of an argument is no number, or too high.
    #[error("Protocol error: invalid bulk length")]
    ArgumentLength,
    /// There are more than a client that has not said the password may send.
    #[error("Protocol error: unauthenticated multibulk length")]
    RestrictedCount,
    /// The same of the length of an argument.
    #[error("Protocol error: unauthenticated bulk length")]
    RestrictedLength,
    /// An argument is no bulk string.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.got))]
    NoArgument {
        /// Its first byte.
        got: u8,
    },
    /// A line does not end: a count.
    #[error("Protocol error: too big mbulk count string")]
    CountLine,
    /// A line does not end: a length.
    #[error("Protocol error: too big bulk count string")]
    LengthLine,
    /// A line does not end: an inline request.
    #[error("Protocol error: too big inline request")]
    InlineLine,
    /// A quote in an inline request is not closed.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    /// All arguments together are too long.
    #[error("Protocol error: the request has more than {max} bytes")]
    RequestLength {
        /// The limit.
        max: usize,
    },
}

/// What was taken from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A request; it has at least one argument.
    Request(Vec<Bytes>),
    /// An empty request, which is not answered.
    Nothing,
}

/// Reads requests, one after the other, from bytes that come in any pieces.
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    /// The client has not said the password yet.
    is_restricted: bool,
    state: State,
    arguments: Vec<Bytes>,
    bytes: usize,
    /// Where the search for the end of the line goes on.
    searched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between requests.
    Start,
    /// So many arguments are still to come.
    Length { missing: usize },
    /// The bytes of an argument are to come.
    Argument { missing: usize, length: usize },
    /// It failed; nothing more is read.
    Failed,
}

impl RequestReader {
    /// A reader at the beginning of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            is_restricted: false,
            state: State::Start,
            arguments: Vec::new(),
            bytes: 0,
            searched: 0,
        }
    }

    /// Whether requests have to be small, because the client has not said the password yet. Counts for
    /// lengths that are read from now on.
    pub fn restrict(&mut self, is_restricted: bool) {
        self.is_restricted = is_restricted;
    }

    fn limits(&self) -> &Limits {
        if self.is_restricted {
            &RESTRICTED
        } else {
            &self.limits
        }
    }

    /// Bytes that were taken out of the input for the request that is being read.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match self.state {
            // Announced, and still in the input or to come.
            State::Argument { length, .. } => self.bytes - length,
            _ => self.bytes,
        }
    }

    /// Takes the next request out of `input`; none: more bytes are needed.
    ///
    /// # Errors
    /// When what came is no request, or a limit is exceeded. Every later call says "none".
    pub fn take(&mut self, input: &mut BytesMut) -> Result<Option<Taken>, ProtocolError> {
        let taken = self.step(input);
        if taken.is_err() {
            self.state = State::Failed;
            self.arguments = Vec::new();
            self.bytes = 0;
        }
        taken
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Option<Taken>, ProtocolError> {
        loop {
            match self.state {
                State::Start => match input.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        if let Some(taken) = self.count(input)? {
                            return Ok(Some(taken));
                        }
                        if self.state == State::Start {
                            return Ok(None);
                        }
                    }
                    Some(_) => return self.inline(input),
                },
                State::Length { missing } => {
                    let Some(length) = self.length(input)? else {
                        return Ok(None);
                    };
                    self.state = State::Argument { missing, length };
                }
                State::Argument { missing, length } => {
                    if input.len() < length + 2 {
                        return Ok(None);
                    }
                    self.arguments.push(cut(input, length));
                    // Redis does not look at the two bytes behind an argument either.
                    input.advance(2);
                    if missing == 1 {
                        return Ok(Some(self.finish()));
                    }
                    self.state = State::Length {
                        missing: missing - 1,
                    };
                }
                State::Failed => return Ok(None),
            }
        }
    }

    /// The header of a request. Empty requests are done with it.
    fn count(&mut self, input: &mut BytesMut) -> Result<Option<Taken>, ProtocolError> {
        let Some(end) = self.line_end(input, b'\r') else {
            return within(input, ProtocolError::CountLine).map(|()| None);
        };
        if end + 1 >= input.len() {
            return Ok(None);
        }
        let count = integer(&input[1..end]).ok_or(ProtocolError::ArgumentCount)?;
        self.line_taken(input, end + 2);
        if count <= 0 {
            return Ok(Some(Taken::Nothing));
        }
        let missing = usize::try_from(count).map_err(|_| ProtocolError::ArgumentCount)?;
        if missing > self.limits.arguments_max {
            return Err(ProtocolError::ArgumentCount);
        }
        if missing > self.limits().arguments_max {
            return Err(ProtocolError::RestrictedCount);
        }
        self.arguments = Vec::with_capacity(missing.min(RESERVED_ARGUMENTS_MAX));
        self.state = State::Length { missing };
        Ok(None)
    }

    /// The header of an argument.
    fn length(&mut self, input: &mut BytesMut) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.line_end(input, b'\r') else {
            return within(input, ProtocolError::LengthLine).map(|()| None);
        };
        if end + 1 >= input.len() {
            return Ok(None);
        }
        if input[0] != b'$' {
            return Err(ProtocolError::NoArgument { got: input[0] });
        }
        let length = integer(&input[1..end])
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length <= self.limits.argument_max_bytes)
            .ok_or(ProtocolError::ArgumentLength)?;
        if length > self.limits().argument_max_bytes {
            return Err(ProtocolError::RestrictedLength);
        }
        self.bytes += length + ARGUMENT_OVERHEAD_BYTES;
        let max = self.limits().request_max_bytes;
        if self.bytes > max {
            return Err(ProtocolError::RequestLength { max });
        }
        self.line_taken(input, end + 2);
        Ok(Some(length))
    }

    fn inline(&mut self, input: &mut BytesMut) -> Result<Option<Taken>, ProtocolError> {
        let Some(end) = self.line_end(input, b'\n') else {
            return within(input, ProtocolError::InlineLine).map(|()| None);
        };
        if end > LINE_MAX_BYTES {
            return Err(ProtocolError::InlineLine);
        }
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let words = words(line).ok_or(ProtocolError::Quotes)?;
        self.line_taken(input, end + 1);
        Ok(Some(if words.is_empty() {
            Taken::Nothing
        } else {
            Taken::Request(words)
        }))
    }

    /// Where the line ends. What was searched is not searched again when more bytes come.
    fn line_end(&mut self, input: &BytesMut, end: u8) -> Option<usize> {
        let from = self.searched.min(input.len());
        let found = input[from..].iter().position(|byte| *byte == end);
        self.searched = found.map_or(input.len(), |found| from + found);
        found.map(|found| from + found)
    }

    fn line_taken(&mut self, input: &mut BytesMut, length: usize) {
        input.advance(length);
        self.searched = 0;
    }

    fn finish(&mut self) -> Taken {
        self.state = State::Start;
        self.bytes = 0;
        Taken::Request(std::mem::take(&mut self.arguments))
    }
}

fn cut(input: &mut BytesMut, length: usize) -> Bytes {
    if length >= SHARED_FROM_BYTES {
        return input.split_to(length).freeze();
    }
    let argument = Bytes::copy_from_slice(&input[..length]);
    input.advance(length);
    argument
}

/// A line that is not whole yet may still become one, if it is not too long already.
fn within(input: &BytesMut, error: ProtocolError) -> Result<(), ProtocolError> {
    if input.len() > LINE_MAX_BYTES {
        Err(error)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
