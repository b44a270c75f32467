//! A connection whose hello is through.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::frame::{encode_frame, take_frame};

/// How much is read from a socket at once, at least.
const READ_BYTES: usize = 64 << 10;

/// What goes wrong on an open connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The other side closed in the middle of a frame.
    #[error("the other side closed in the middle of a frame")]
    CutFrame,
    /// A frame is larger than this connection allows.
    #[error("a frame of {bytes} bytes; at most {max} are allowed here")]
    FrameTooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A frame is no message of this protocol.
    #[error("a frame is no message of this protocol: {cause}")]
    Unreadable {
        /// What the decoder said.
        cause: String,
    },
    /// A message cannot be encoded.
    #[error("a message cannot be encoded: {cause}")]
    Unencodable {
        /// What the encoder said.
        cause: String,
    },
}

/// A connection whose hello is through.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    input: BytesMut,
    frame_max_bytes: usize,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        input: BytesMut,
        frame_max_bytes: usize,
    ) -> Self {
        Self {
            stream,
            peer,
            input,
            frame_max_bytes,
        }
    }

    /// The other side.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When it is too large or the connection breaks.
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), LinkError> {
        let mut out = BytesMut::new();
        encode_frame(message, self.frame_max_bytes, &mut out)?;
        self.stream.write_all(&out).await?;
        Ok(())
    }

    /// The next message; none when the other side closed between frames. May be dropped while it
    /// waits without losing anything.
    ///
    /// # Errors
    /// When the connection breaks or what comes is no message.
    pub async fn receive<M: DeserializeOwned>(&mut self) -> Result<Option<M>, LinkError> {
        loop {
            if let Some(message) = take_frame(&mut self.input, self.frame_max_bytes)? {
                return Ok(Some(message));
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return end_of_stream(&self.input);
            }
        }
    }

    /// Both directions, to be used side by side.
    #[must_use]
    pub fn split(self) -> (FrameReceiver, FrameSender) {
        let (read, write) = self.stream.into_split();
        let receiver = FrameReceiver {
            read,
            input: self.input,
            frame_max_bytes: self.frame_max_bytes,
        };
        let sender = FrameSender {
            write,
            output: BytesMut::new(),
            frame_max_bytes: self.frame_max_bytes,
        };
        (receiver, sender)
    }

    /// The socket, the bytes that were read from it already, and the largest frame: for a shell
    /// that reads and writes by itself.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, BytesMut, usize) {
        (self.stream, self.input, self.frame_max_bytes)
    }
}

/// The incoming direction of a connection.
#[derive(Debug)]
pub struct FrameReceiver {
    read: OwnedReadHalf,
    input: BytesMut,
    frame_max_bytes: usize,
}

impl FrameReceiver {
    /// As [`Connection::receive`].
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub async fn receive<M: DeserializeOwned>(&mut self) -> Result<Option<M>, LinkError> {
        loop {
            if let Some(message) = self.receive_buffered()? {
                return Ok(Some(message));
            }
            self.input.reserve(READ_BYTES);
            if self.read.read_buf(&mut self.input).await? == 0 {
                return end_of_stream(&self.input);
            }
        }
    }

    /// A message that is already here, without waiting for one.
    ///
    /// # Errors
    /// When what came is no message.
    pub fn receive_buffered<M: DeserializeOwned>(&mut self) -> Result<Option<M>, LinkError> {
        take_frame(&mut self.input, self.frame_max_bytes)
    }
}

/// The outgoing direction of a connection.
#[derive(Debug)]
pub struct FrameSender {
    write: OwnedWriteHalf,
    output: BytesMut,
    frame_max_bytes: usize,
}

impl FrameSender {
    /// Puts a message behind those that wait for [`Self::flush`].
    ///
    /// # Errors
    /// When it is too large.
    pub fn feed<M: Serialize>(&mut self, message: &M) -> Result<(), LinkError> {
        encode_frame(message, self.frame_max_bytes, &mut self.output)
    }

    /// Sends what waits. May be dropped while it waits: the rest goes with the next flush.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        while !self.output.is_empty() {
            if self.write.write_buf(&mut self.output).await? == 0 {
                return Err(LinkError::Io(io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(())
    }

    /// Sends one message and all that waits before it.
    ///
    /// # Errors
    /// When it is too large or the connection breaks.
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), LinkError> {
        self.feed(message)?;
        self.flush().await
    }

    /// How much waits.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.output.len()
    }
}

fn end_of_stream<M>(input: &BytesMut) -> Result<Option<M>, LinkError> {
    if input.is_empty() {
        Ok(None)
    } else {
        Err(LinkError::CutFrame)
    }
}
