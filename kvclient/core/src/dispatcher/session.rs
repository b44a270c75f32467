//! The session in which a client's writes are numbered.

use std::collections::BTreeMap;

use kv_common::command::{Command, Reply};
use kv_common::id::SessionId;
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;

use super::Dispatcher;
use crate::door::Failure;
use crate::request::{Number, Origin, Place, Protection, Request};
use crate::sessions::SessionNumbers;

/// The session in use, and those before it that still have requests open.
#[derive(Debug, Default)]
pub(super) struct SessionBook {
    current: Option<SessionNumbers>,
    replaced: BTreeMap<SessionId, Replaced>,
    opening: bool,
    /// Why opening was refused last.
    refusal: Option<Refusal>,
}

/// A session that no new requests are numbered in.
#[derive(Debug)]
struct Replaced {
    numbers: SessionNumbers,
    /// The node does not know it any more, so there is nothing to end.
    gone: bool,
}

impl SessionBook {
    pub(super) fn opened(&mut self, session: SessionId) {
        self.opening = false;
        self.refusal = None;
        self.current = Some(SessionNumbers::new(session));
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// What to send with a request; none once its session is forgotten.
    pub(super) fn stamp(&self, number: Number) -> Option<SessionStamp> {
        let numbers = match &self.current {
            Some(current) if current.session() == number.session => current,
            _ => &self.replaced.get(&number.session)?.numbers,
        };
        Some(numbers.stamp(number.number))
    }

    fn take_number(&mut self) -> Option<Number> {
        let current = self.current.as_mut()?;
        let session = current.session();
        let number = current.take()?;
        Some(Number { session, number })
    }

    /// Takes note that a request has its end. Returns the session if it is to be ended now.
    fn end_number(&mut self, number: Number) -> Option<SessionId> {
        match &mut self.current {
            Some(current) if current.session() == number.session => {
                current.end(number.number);
                return None;
            }
            _ => {}
        }
        let replaced = self.replaced.get_mut(&number.session)?;
        replaced.numbers.end(number.number);
        self.take_finished(number.session)
    }

    /// Numbers no more requests in `session`.
    fn replace(&mut self, session: SessionId, gone: bool) {
        if self.current.as_ref().map(SessionNumbers::session) != Some(session) {
            return;
        }
        if let Some(numbers) = self.current.take() {
            self.replaced.insert(session, Replaced { numbers, gone });
        }
    }

    /// Forgets a replaced session that has no open requests. Returns it if the node still knows it.
    fn take_finished(&mut self, session: SessionId) -> Option<SessionId> {
        if !self.replaced.get(&session)?.numbers.is_idle() {
            return None;
        }
        let finished = self.replaced.remove(&session)?;
        (!finished.gone).then_some(session)
    }
}

impl Dispatcher {
    /// Gives numbers to writes that have none, and opens a session if there is none.
    pub(super) fn number_requests(&mut self) {
        let Some(book) = &mut self.sessions else {
            return;
        };
        while let Some(exchange) = self.requests.first_unnumbered() {
            let Some(number) = book.take_number() else {
                break;
            };
            if let Some(request) = self.requests.get_mut(exchange) {
                request.number = Some(number);
            }
            self.requests.move_to(exchange, Place::Ready);
        }
        if book.current.is_some() || book.opening {
            return;
        }
        let waiting = self.requests.unnumbered();
        if waiting.is_empty() {
            return;
        }
        let deadlines = waiting.iter().filter_map(|exchange| {
            let request = self.requests.get(*exchange)?;
            Some(request.deadline)
        });
        let deadline = deadlines.max().unwrap_or_default();
        book.opening = true;
        self.add_harmless(Origin::OpenSession, Command::OpenSession, deadline);
    }

    /// The session of a request cannot be used for it, and the request was never done: it takes a
    /// number of another session.
    pub(super) fn renew_session(&mut self, exchange: u64, refusal: &Refusal) {
        let gone = matches!(refusal, Refusal::UnknownSession { .. });
        let Some(request) = self.requests.get_mut(exchange) else {
            return;
        };
        let deadline = request.deadline;
        let number = request.number.take();
        self.requests.move_to(exchange, Place::Unnumbered);
        let Some(number) = number else {
            return;
        };
        if let Some(book) = &mut self.sessions {
            book.replace(number.session, gone);
        }
        self.end_number(number, deadline);
    }

    pub(super) fn end_number(&mut self, number: Number, deadline: Monotonic) {
        let book = self.sessions.as_mut();
        if let Some(session) = book.and_then(|book| book.end_number(number)) {
            let command = Command::EndSession { session };
            self.add_harmless(Origin::EndSession, command, deadline);
        }
    }

    /// Opening a session came to nothing.
    pub(super) fn session_not_opened(&mut self, result: Result<Reply, Failure>) {
        if let Some(book) = &mut self.sessions {
            book.opening = false;
        }
        // At a deadline each request that waits for the session has its own; a refusal is for all.
        if let Err(Failure::Refused(refusal)) = result
            && !refusal.asks_for_retry()
        {
            for exchange in self.requests.unnumbered() {
                self.finish(exchange, Err(Failure::Refused(refusal.clone())));
            }
        }
    }

    /// Ends the session in use, as far as a connection stands. What is left behind ends by itself.
    pub(super) fn retire(&mut self, deadline: Monotonic) {
        let Some(book) = &mut self.sessions else {
            return;
        };
        let Some(session) = book.current.as_ref().map(SessionNumbers::session) else {
            return;
        };
        book.replace(session, !self.link.is_up());
        if let Some(session) = book.take_finished(session) {
            let command = Command::EndSession { session };
            self.add_harmless(Origin::EndSession, command, deadline);
        }
    }

    fn add_harmless(&mut self, origin: Origin, command: Command, deadline: Monotonic) {
        let request = Request::new(origin, command, Protection::Harmless, deadline);
        self.requests.add(request);
    }
}
