//! What came from another node over one connection. The connection's task reads it when the socket has
//! something. A crowd of clients that are served one after the other would make the task wait for its turn,
//! and the core would take the other node for silent: so a turn that clients keep busy reads it as well.

use std::cell::RefCell;
use std::io;

use bytes::BytesMut;
use kv_net::{LinkError, take_frame};
use serde::de::DeserializeOwned;
use tokio::net::tcp::OwnedReadHalf;

use super::client_connection::make_room;

/// What came from another node over one connection.
#[derive(Debug)]
pub(super) struct PeerInput {
    reader: OwnedReadHalf,
    buffer: RefCell<BytesMut>,
    frame_max_bytes: usize,
}

/// What a look at the socket found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Bytes.
    Some,
    /// Nothing yet.
    Nothing,
    /// The end: the other side says nothing more.
    End,
}

impl PeerInput {
    /// `buffer` has what was read already.
    pub(super) fn new(reader: OwnedReadHalf, buffer: BytesMut, frame_max_bytes: usize) -> Self {
        Self {
            reader,
            buffer: RefCell::new(buffer),
            frame_max_bytes,
        }
    }

    /// Waits until the socket may have something. May be dropped while it waits.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.reader.readable().await
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) fn read(&self) -> io::Result<Found> {
        let mut buffer = self.buffer.borrow_mut();
        make_room(&mut buffer);
        match self.reader.try_read_buf(&mut *buffer) {
            Ok(0) => Ok(Found::End),
            Ok(_) => Ok(Found::Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// The next message of what was read.
    ///
    /// # Errors
    /// When it is none. The connection is of no use then.
    pub(super) fn take<M: DeserializeOwned>(&self) -> Result<Option<M>, LinkError> {
        take_frame(&mut self.buffer.borrow_mut(), self.frame_max_bytes)
    }
}
