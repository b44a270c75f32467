//! The requests that have no end yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kv_common::command::Command;
use kv_common::id::SessionId;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;

use crate::back_off::BackOff;
use crate::door::RequestToken;

const PAUSE_SHORTEST: Duration = Duration::from_millis(2);
const PAUSE_LONGEST: Duration = Duration::from_millis(100);

/// What makes it safe to send a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It changes nothing, or nothing that twice is more than once.
    Harmless,
    /// Its number in a session.
    Numbered,
    /// Nothing: it is sent once.
    Unprotected,
}

/// Who wants to know how a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Caller(RequestToken),
    OpenSession,
    EndSession,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It needs a number of a session first.
    Unnumbered,
    /// It can be sent.
    Ready,
    /// It can be sent at a time.
    Delayed(Monotonic),
    /// It is on the connection that is in use.
    Sent,
}

/// A number that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) session: SessionId,
    pub(crate) number: u64,
}

/// A request that has no end yet.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) origin: Origin,
    pub(crate) command: Command,
    pub(crate) protection: Protection,
    pub(crate) deadline: Monotonic,
    pub(crate) number: Option<Number>,
    /// An attempt may have taken effect, or may yet.
    pub(crate) uncertain: bool,
    /// Why the newest attempt that was answered was refused.
    pub(crate) last_refusal: Option<Refusal>,
    place: Place,
    back_off: BackOff,
}

impl Request {
    pub(crate) fn new(
        origin: Origin,
        command: Command,
        protection: Protection,
        deadline: Monotonic,
    ) -> Self {
        Self {
            origin,
            command,
            protection,
            deadline,
            number: None,
            uncertain: false,
            last_refusal: None,
            place: match protection {
                Protection::Numbered => Place::Unnumbered,
                Protection::Harmless | Protection::Unprotected => Place::Ready,
            },
            back_off: BackOff::new(PAUSE_SHORTEST, PAUSE_LONGEST),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether it may take effect, or have taken effect, if it is given up now.
    pub(crate) fn may_take_effect(&self) -> bool {
        let on_its_way = self.place == Place::Sent && self.protection != Protection::Harmless;
        self.uncertain || on_its_way
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        self.back_off.next_pause()
    }
}

/// All requests that have no end yet, by exchange; older ones have lower numbers. Keeps for each
/// place which requests stand there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    by_exchange: BTreeMap<u64, Request>,
    last_exchange: u64,
    deadlines: BTreeSet<(Monotonic, u64)>,
    unnumbered: BTreeSet<u64>,
    ready: BTreeSet<u64>,
    delayed: BTreeSet<(Monotonic, u64)>,
    sent: BTreeSet<u64>,
}

impl Requests {
    pub(crate) fn add(&mut self, request: Request) -> u64 {
        self.last_exchange += 1;
        let exchange = self.last_exchange;
        self.deadlines.insert((request.deadline, exchange));
        self.enter(exchange, request.place);
        self.by_exchange.insert(exchange, request);
        exchange
    }

    pub(crate) fn remove(&mut self, exchange: u64) -> Option<Request> {
        let request = self.by_exchange.remove(&exchange)?;
        self.deadlines.remove(&(request.deadline, exchange));
        self.leave(exchange, request.place);
        Some(request)
    }

    pub(crate) fn get(&self, exchange: u64) -> Option<&Request> {
        self.by_exchange.get(&exchange)
    }

    /// For changes of anything but the place and the deadline.
    pub(crate) fn get_mut(&mut self, exchange: u64) -> Option<&mut Request> {
        self.by_exchange.get_mut(&exchange)
    }

    pub(crate) fn move_to(&mut self, exchange: u64, place: Place) {
        let Some(request) = self.by_exchange.get_mut(&exchange) else {
            return;
        };
        let before = std::mem::replace(&mut request.place, place);
        self.leave(exchange, before);
        self.enter(exchange, place);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_exchange.len()
    }

    /// Whether a connection is of use.
    pub(crate) fn wait_for_a_link(&self) -> bool {
        !self.ready.is_empty() || !self.unnumbered.is_empty()
    }

    pub(crate) fn first_ready(&self) -> Option<u64> {
        self.ready.first().copied()
    }

    pub(crate) fn first_unnumbered(&self) -> Option<u64> {
        self.unnumbered.first().copied()
    }

    pub(crate) fn unnumbered(&self) -> Vec<u64> {
        self.unnumbered.iter().copied().collect()
    }

    pub(crate) fn sent(&self) -> Vec<u64> {
        self.sent.iter().copied().collect()
    }

    pub(crate) fn any_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// A delayed request whose time has come.
    pub(crate) fn due(&self, now: Monotonic) -> Option<u64> {
        let (at, exchange) = *self.delayed.first()?;
        (at <= now).then_some(exchange)
    }

    /// A request whose deadline has come.
    pub(crate) fn overdue(&self, now: Monotonic) -> Option<u64> {
        let (at, exchange) = *self.deadlines.first()?;
        (at <= now).then_some(exchange)
    }

    pub(crate) fn next_timeout(&self) -> Option<Monotonic> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let delayed = self.delayed.first().map(|(at, _)| *at);
        deadline.into_iter().chain(delayed).min()
    }

    fn enter(&mut self, exchange: u64, place: Place) {
        match place {
            Place::Unnumbered => self.unnumbered.insert(exchange),
            Place::Ready => self.ready.insert(exchange),
            Place::Delayed(until) => self.delayed.insert((until, exchange)),
            Place::Sent => self.sent.insert(exchange),
        };
    }

    fn leave(&mut self, exchange: u64, place: Place) {
        match place {
            Place::Unnumbered => self.unnumbered.remove(&exchange),
            Place::Ready => self.ready.remove(&exchange),
            Place::Delayed(until) => self.delayed.remove(&(until, exchange)),
            Place::Sent => self.sent.remove(&exchange),
        };
    }
}
