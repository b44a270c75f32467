//! What waits to be written to one socket. Messages are encoded into it during a turn; at the turn's
//! end one system call writes them all. Only if the kernel takes no more does the connection's task
//! wait for the socket.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kv_net::encode_frame;
use serde::Serialize;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A reader that takes nothing for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(60);
/// A buffer that grew beyond this is not kept once it is empty.
const KEPT_BYTES: usize = 64 << 10;

/// What waits to be written to one socket.
#[derive(Debug)]
pub(super) struct Outbox {
    /// None: closed.
    socket: RefCell<Option<Rc<OwnedWriteHalf>>>,
    buffer: RefCell<BytesMut>,
    /// What the buffer takes of the memory; of a part that was written nothing is given back at once.
    allocated_bytes: Cell<usize>,
    frame_max_bytes: usize,
    /// For the connection's task: there is something to wait for, or it is over.
    changed: Notify,
    touched: Cell<bool>,
}

impl Outbox {
    pub(super) fn new(socket: OwnedWriteHalf, frame_max_bytes: usize) -> Self {
        Self {
            socket: RefCell::new(Some(Rc::new(socket))),
            buffer: RefCell::new(BytesMut::new()),
            allocated_bytes: Cell::new(0),
            frame_max_bytes,
            changed: Notify::new(),
            touched: Cell::new(false),
        }
    }

    /// Puts a message behind what waits. One that cannot be sent closes the connection: the other
    /// side would wait for it for ever.
    pub(super) fn put<M: Serialize>(&self, message: &M) {
        if self.is_closed() {
            return;
        }
        let put = encode_frame(message, self.frame_max_bytes, &mut self.buffer.borrow_mut());
        if let Err(error) = put {
            tracing::warn!(%error, "a connection is closed");
            self.close();
        }
    }

    /// Puts bytes behind what waits.
    pub(super) fn put_with(&self, write: impl FnOnce(&mut BytesMut)) {
        if !self.is_closed() {
            let mut buffer = self.buffer.borrow_mut();
            write(&mut buffer);
            let allocated = self.allocated_bytes.get().max(buffer.capacity());
            self.allocated_bytes.set(allocated);
        }
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.borrow().len()
    }

    /// What that which waits takes of the memory. Counts what was put with [`Self::put_with`].
    pub(super) fn waiting_bytes(&self) -> usize {
        match self.buffered_bytes() {
            0 => 0,
            _ => self.allocated_bytes.get(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.socket.borrow().is_none()
    }

    /// Marks the outbox as touched in this turn. Says whether it was not yet.
    pub(super) fn touch(&self) -> bool {
        !self.touched.replace(true)
    }

    /// Writes what the kernel takes at once.
    pub(super) fn flush(&self) {
        self.touched.set(false);
        let socket = self.socket.borrow().clone();
        let Some(socket) = socket else {
            return;
        };
        let mut buffer = self.buffer.borrow_mut();
        while !buffer.is_empty() {
            match socket.try_write(&buffer) {
                Ok(0) => break,
                Ok(written) => buffer.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.changed.notify_one();
                    self.shrink(&mut buffer);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection broke");
                    drop(buffer);
                    self.close();
                    return;
                }
            }
        }
        self.shrink(&mut buffer);
    }

    /// A large buffer of which little is left gives its memory back: a reader that stops before the end
    /// must not keep all of it.
    fn shrink(&self, buffer: &mut BytesMut) {
        let allocated = self.allocated_bytes.get().max(buffer.capacity());
        if allocated > KEPT_BYTES && buffer.len() < allocated / 2 {
            *buffer = BytesMut::from(&buffer[..]);
        }
        if buffer.len() < allocated / 2 {
            self.allocated_bytes.set(buffer.capacity());
        }
    }

    /// Closes the connection. What waits is dropped.
    pub(super) fn close(&self) {
        self.socket.borrow_mut().take();
        *self.buffer.borrow_mut() = BytesMut::new();
        self.allocated_bytes.set(0);
        self.changed.notify_one();
    }

    /// Has the connection's task look again.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until something changed: bytes were written that had to wait, the connection was
    /// closed, or [`Self::wake`] was called. Says whether bytes were written. May be dropped while
    /// it waits.
    pub(super) async fn progress(&self) -> bool {
        let socket = self.socket.borrow().clone();
        let Some(socket) = socket else {
            return false;
        };
        if self.buffered_bytes() == 0 {
            drop(socket);
            self.changed.notified().await;
            return false;
        }
        tokio::select! {
            () = self.changed.notified() => false,
            writable = timeout(STALL_MAX, socket.writable()) => match writable {
                Ok(Ok(())) => {
                    self.flush();
                    true
                }
                Ok(Err(_)) => {
                    self.close();
                    false
                }
                Err(_) => {
                    let waited_s = STALL_MAX.as_secs();
                    tracing::warn!(waited_s, "a reader took nothing; its connection is closed");
                    self.close();
                    false
                }
            }
        }
    }
}
