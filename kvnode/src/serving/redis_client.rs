//! One Redis client: the state of its connection, and its replies, which go in the order of its
//! requests whatever the order in which they become ready.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kv_resp::{Protocol, Value};
use kvnode_redis::{Connection, Shape};
use tokio::net::tcp::OwnedWriteHalf;

use super::outbox::Outbox;

/// Encoded bytes beyond which a reply waits, and no request is read.
const BUFFER_TARGET_BYTES: usize = 1 << 20;
/// What was published and a client has not taken, beyond which it is given up.
const PUSHED_MAX_BYTES: usize = 32 << 20;
/// What a message costs beside its channel and its payload.
const PUSH_OVERHEAD_BYTES: usize = 128;
/// What the requests of one connection that are not answered yet may weigh together.
const WEIGHT_MAX: usize = 4096;

/// A Redis client's request that is under way.
#[derive(Debug)]
pub(super) struct RedisExchange {
    /// Who asked.
    pub(super) client: Rc<RedisClient>,
    /// The place of its reply.
    pub(super) slot: u64,
    /// What the answer becomes.
    pub(super) shape: Shape,
    /// Whether the command may write.
    pub(super) writes: bool,
    /// What was asked, for the log of slow requests.
    pub(super) arguments: Vec<Bytes>,
    /// When.
    pub(super) began: Monotonic,
}

/// What waits for all Redis clients of a node together, in bytes.
pub(super) type WaitingBytes = Rc<Cell<usize>>;

/// One Redis client.
#[derive(Debug)]
pub(super) struct RedisClient {
    outbox: Outbox,
    pub(super) connection: RefCell<Connection>,
    slots: RefCell<Slots>,
    /// No request is looked at before the reply in this slot is there.
    barrier: Cell<Option<u64>>,
    /// What that waits for may take long, and is not waited for when the client is gone.
    is_held: Cell<bool>,
    /// This slot is answered at this time.
    sleeps: Cell<Option<(u64, Monotonic)>>,
    /// When all replies have gone, the connection is closed.
    is_closing: Cell<bool>,
    /// What of `all_waiting_bytes` waits for this client.
    waiting_bytes: Cell<usize>,
    all_waiting_bytes: WaitingBytes,
}

/// The replies that are to go, in order.
#[derive(Debug, Default)]
struct Slots {
    waiting: VecDeque<Slot>,
    /// The number of the first of them.
    first: u64,
    weight: usize,
    /// What was published and has not gone yet.
    pushed_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    /// None: it is not there yet.
    value: Option<Value>,
    protocol: Protocol,
    is_answered: bool,
    weight: usize,
    pushed_bytes: usize,
}

impl RedisClient {
    pub(super) fn new(
        socket: OwnedWriteHalf,
        connection: Connection,
        all_waiting_bytes: WaitingBytes,
    ) -> Self {
        Self {
            outbox: Outbox::new(socket, 0),
            connection: RefCell::new(connection),
            slots: RefCell::new(Slots::default()),
            barrier: Cell::new(None),
            is_held: Cell::new(false),
            sleeps: Cell::new(None),
            is_closing: Cell::new(false),
            waiting_bytes: Cell::new(0),
            all_waiting_bytes,
        }
    }

    /// Whether a further request may be looked at.
    pub(super) fn takes_requests(&self) -> bool {
        !self.is_closing.get()
            && self.barrier.get().is_none()
            && self.slots.borrow().weight < WEIGHT_MAX
            && self.outbox.buffered_bytes() < BUFFER_TARGET_BYTES
    }

    /// A request begins: its reply has a place from now on.
    pub(super) fn begin(&self, protocol: Protocol, is_answered: bool, weight: usize) -> u64 {
        let mut slots = self.slots.borrow_mut();
        slots.weight += weight;
        slots.waiting.push_back(Slot {
            value: None,
            protocol,
            is_answered,
            weight,
            pushed_bytes: 0,
        });
        slots.first + slots.waiting.len() as u64 - 1
    }

    /// What a publication comes to for this client. One whose patterns take too long is given up.
    pub(super) fn messages(&self, channel: &Bytes, payload: &Bytes) -> Vec<Value> {
        let connection = self.connection.borrow();
        let messages = connection.subscriptions().messages(channel, payload);
        messages.unwrap_or_else(|error| {
            tracing::warn!(%error, "a Redis client is closed");
            self.close();
            Vec::new()
        })
    }

    /// Sends what was published, behind the replies that are to go. A client that does not take it
    /// is given up.
    pub(super) fn push(&self, message: Value, bytes: usize) {
        let protocol = self.connection.borrow().protocol();
        let mut slots = self.slots.borrow_mut();
        let bytes = bytes + PUSH_OVERHEAD_BYTES;
        slots.pushed_bytes += bytes;
        if slots.pushed_bytes > PUSHED_MAX_BYTES {
            tracing::warn!("a Redis client does not take what is published; it is closed");
            drop(slots);
            return self.close();
        }
        slots.waiting.push_back(Slot {
            value: Some(message),
            protocol,
            is_answered: true,
            weight: 0,
            pushed_bytes: bytes,
        });
        drop(slots);
        self.count_waiting();
    }

    /// Nothing is looked at before the reply in this slot is there.
    pub(super) fn wait_until(&self, slot: u64) {
        self.barrier.set(Some(slot));
    }

    /// The same for what may take long.
    pub(super) fn hold_until(&self, slot: u64) {
        self.wait_until(slot);
        self.is_held.set(true);
    }

    /// Whether a request holds the connection up that need not be done when the client is gone.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.get()
    }

    /// The reply in this slot is sent at a time, and not before.
    pub(super) fn sleep_until(&self, slot: u64, at: Monotonic) {
        self.sleeps.set(Some((slot, at)));
    }

    /// Until when a reply waits, if one does.
    pub(super) fn sleeps_until(&self) -> Option<Monotonic> {
        self.sleeps.get().map(|(_, at)| at)
    }

    /// The slot whose time has come.
    pub(super) fn wake_up(&self) -> Option<u64> {
        self.sleeps.take().map(|(slot, _)| slot)
    }

    /// The core has answered.
    pub(super) fn finish(
        &self,
        slot: u64,
        shape: &Shape,
        result: Result<Reply, Refusal>,
        writes: bool,
    ) {
        let is_unknown = result == Err(Refusal::OutcomeUnknown);
        let value = self.connection.borrow_mut().finish(shape, result, writes);
        self.put(slot, value);
        if is_unknown {
            // Whoever goes on after this must look again, on a new connection.
            self.close_when_sent();
        }
    }

    /// The reply in this slot is there.
    pub(super) fn put(&self, slot: u64, value: Value) {
        let mut slots = self.slots.borrow_mut();
        let index = slot
            .checked_sub(slots.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(waiting) = index.and_then(|index| slots.waiting.get_mut(index)) {
            waiting.value = Some(value);
        }
        if self.barrier.get() == Some(slot) {
            self.barrier.set(None);
            self.is_held.set(false);
            self.outbox.wake();
        }
    }

    /// Marks the client as touched in this turn. Says whether it was not yet.
    pub(super) fn touch(&self) -> bool {
        self.outbox.touch()
    }

    /// Writes what is ready, as far as the kernel takes it at once.
    pub(super) fn flush(&self) {
        let was_full = !self.takes_requests();
        loop {
            self.encode();
            self.outbox.flush();
            if self.outbox.buffered_bytes() > 0 || !self.is_first_ready() {
                break;
            }
        }
        let is_empty = self.slots.borrow().waiting.is_empty();
        if self.is_closing.get() && is_empty && self.outbox.buffered_bytes() == 0 {
            self.close();
        } else if was_full && self.takes_requests() {
            self.outbox.wake();
        }
        self.count_waiting();
    }

    /// What the client has not taken yet, in bytes, as counted last.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.get()
    }

    fn count_waiting(&self) {
        let waiting = self.outbox.waiting_bytes() + self.slots.borrow().pushed_bytes;
        let before = self.waiting_bytes.replace(waiting);
        let others = self.all_waiting_bytes.get() - before;
        self.all_waiting_bytes.set(others + waiting);
    }

    fn is_first_ready(&self) -> bool {
        let slots = self.slots.borrow();
        slots
            .waiting
            .front()
            .is_some_and(|slot| slot.value.is_some())
    }

    fn encode(&self) {
        let mut slots = self.slots.borrow_mut();
        while self.outbox.buffered_bytes() < BUFFER_TARGET_BYTES
            && let Some(Slot {
                value: Some(value),
                protocol,
                is_answered,
                weight,
                pushed_bytes,
            }) = slots.waiting.front()
        {
            if *is_answered {
                self.outbox
                    .put_with(|buffer| value.write(*protocol, buffer));
            }
            let (weight, pushed_bytes) = (*weight, *pushed_bytes);
            slots.weight -= weight;
            slots.pushed_bytes -= pushed_bytes;
            slots.waiting.pop_front();
            slots.first += 1;
        }
    }

    /// Takes no further request, and closes the connection when the replies have gone.
    pub(super) fn close_when_sent(&self) {
        self.is_closing.set(true);
        self.outbox.wake();
    }

    /// The client sends nothing more, and all that it sent was looked at.
    pub(super) fn end(&self) {
        self.close_when_sent();
        self.flush();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    /// Closes the connection. What waits is dropped.
    pub(super) fn close(&self) {
        self.outbox.close();
        let mut slots = self.slots.borrow_mut();
        slots.first += slots.waiting.len() as u64;
        *slots = Slots {
            first: slots.first,
            ..Slots::default()
        };
        drop(slots);
        self.count_waiting();
    }

    /// As [`Outbox::progress`].
    pub(super) async fn progress(&self) {
        if self.outbox.progress().await {
            self.flush();
        }
    }
}
