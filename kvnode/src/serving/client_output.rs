//! What goes to one client.
//!
//! Replies are encoded as they come, up to a bound of bytes that the kernel did not take yet. Beyond
//! it they wait as they are (a value is shared with the table), and no further request is read.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use kv_common::message::client::NodeToClient;
use kv_net::Limits;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::outbox::Outbox;
use super::redis_client::RedisExchange;

/// Encoded bytes beyond which a reply waits, and no request is read.
const BUFFER_TARGET_BYTES: usize = 1 << 20;
/// Requests of one connection that may be under way.
const IN_FLIGHT_MAX: usize = 4096;

/// A request of a client that the core is asked about.
#[derive(Debug)]
pub(super) enum Exchange {
    /// A command.
    Command {
        /// Who asked.
        output: Rc<ClientOutput>,
        /// The client's number for it.
        id: u64,
    },
    /// The read that an export begins with: it shows that this node may answer one.
    Export {
        /// Who asked.
        output: Rc<ClientOutput>,
        /// The client's number for it.
        id: u64,
    },
    /// A command of a Redis client.
    Redis(RedisExchange),
}

/// What goes to one client.
#[derive(Debug)]
pub(super) struct ClientOutput {
    outbox: Outbox,
    waiting: RefCell<VecDeque<NodeToClient>>,
    in_flight: Cell<usize>,
    /// For who streams: there is room again, or the connection is closed.
    has_room: Notify,
}

impl ClientOutput {
    pub(super) fn new(socket: OwnedWriteHalf) -> Self {
        Self {
            outbox: Outbox::new(socket, Limits::client().frame_max_bytes),
            waiting: RefCell::new(VecDeque::new()),
            in_flight: Cell::new(0),
            has_room: Notify::new(),
        }
    }

    /// Whether a further request may be read.
    pub(super) fn takes_requests(&self) -> bool {
        self.in_flight.get() < IN_FLIGHT_MAX && self.is_roomy()
    }

    /// A request begins.
    pub(super) fn begins(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A request ends with the last of its replies.
    pub(super) fn ends(&self) {
        if self.in_flight.get() == IN_FLIGHT_MAX {
            self.outbox.wake();
        }
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    /// Puts a reply behind those that wait. Says whether this is the first since the last flush.
    pub(super) fn put(&self, message: NodeToClient) -> bool {
        if self.is_closed() {
            return false;
        }
        if self.is_roomy() {
            self.outbox.put(&message);
        } else {
            self.waiting.borrow_mut().push_back(message);
        }
        self.outbox.touch()
    }

    /// Writes what the kernel takes at once.
    pub(super) fn flush(&self) {
        loop {
            self.outbox.flush();
            if self.outbox.buffered_bytes() > 0 || !self.refill() {
                break;
            }
        }
        if self.is_roomy() || self.is_closed() {
            self.has_room.notify_waiters();
        }
    }

    /// Encodes replies that waited. Says whether there were any.
    fn refill(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let mut refilled = false;
        while self.outbox.buffered_bytes() < BUFFER_TARGET_BYTES
            && let Some(message) = waiting.pop_front()
        {
            self.outbox.put(&message);
            refilled = true;
        }
        refilled
    }

    fn is_roomy(&self) -> bool {
        self.outbox.buffered_bytes() < BUFFER_TARGET_BYTES && self.waiting.borrow().is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    /// Closes the connection. What waits is dropped, and what still comes goes nowhere.
    pub(super) fn close(&self) {
        self.outbox.close();
        self.waiting.borrow_mut().clear();
        self.has_room.notify_waiters();
    }

    /// As [`Outbox::progress`].
    pub(super) async fn progress(&self) {
        if self.outbox.progress().await {
            self.flush();
        }
    }

    /// Waits until a further reply would be encoded at once, or the connection is closed.
    pub(super) async fn room(&self) {
        while !self.is_roomy() && !self.is_closed() {
            self.has_room.notified().await;
        }
    }
}
