//! The requests of one client, and the connection that they go over.

mod link;
mod session;

use std::collections::VecDeque;

use kv_common::command::{Command, Reply};
use kv_common::id::Address;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kv_common::view::ClusterMap;

use self::link::Link;
use self::session::SessionBook;
use crate::door::{Effect, Failure, Input, LinkId, RequestToken};
use crate::request::{Origin, Place, Protection, Request, Requests};
use crate::retry::{Decision, decide};
use crate::routes::Routes;

/// The requests of one client, and the connection that they go over. A value: its shell hands in
/// what happens and the time, and carries out the effects.
///
/// Call [`Self::handle`] and [`Self::handle_timeout`] as things happen, then drain
/// [`Self::poll_effect`], then wait until [`Self::poll_timeout`] at the longest.
#[derive(Debug)]
pub struct Dispatcher {
    routes: Routes,
    link: Link,
    last_link: LinkId,
    requests: Requests,
    /// None: writes are sent outside a session, and never twice.
    sessions: Option<SessionBook>,
    last_trouble: Option<String>,
    effects: VecDeque<Effect>,
}

impl Dispatcher {
    /// A dispatcher that knows `nodes` until a map tells it more. `with_session`: whether writes
    /// are numbered, so that they can be sent again; without, a write whose answer is lost is
    /// reported as [`Failure::OutcomeUnknown`].
    #[must_use]
    pub fn new(nodes: Vec<Address>, with_session: bool) -> Self {
        Self {
            routes: Routes::new(nodes),
            link: Link::None,
            last_link: LinkId(0),
            requests: Requests::default(),
            sessions: with_session.then(SessionBook::default),
            last_trouble: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Monotonic, input: Input) {
        match input {
            Input::Submit {
                token,
                command,
                deadline,
            } => self.submit(token, command, deadline),
            Input::Map(map) => self.take_map(map),
            Input::LinkUp { link } => self.link_up(link),
            Input::LinkDown { link, why } => self.link_down(link, why),
            Input::Answer {
                link,
                exchange,
                result,
            } => self.answer(now, link, exchange, result),
            Input::Retire { deadline } => self.retire(deadline),
        }
        self.advance(now);
    }

    /// To be called when the time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        self.link_timeout(now);
        while let Some(exchange) = self.requests.overdue(now) {
            self.give_up(exchange);
        }
        while let Some(exchange) = self.requests.due(now) {
            self.requests.move_to(exchange, Place::Ready);
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        let requests = self.requests.next_timeout();
        requests.into_iter().chain(self.link.timeout()).min()
    }

    /// How many requests have no end yet.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// The newest map.
    #[must_use]
    pub fn map(&self) -> Option<&ClusterMap> {
        self.routes.map()
    }

    fn submit(&mut self, token: RequestToken, command: Command, deadline: Monotonic) {
        if let Err(refusal) = command.check_limits() {
            let result = Err(Failure::Refused(refusal));
            return self.effects.push_back(Effect::Finish { token, result });
        }
        let protection = self.protection_of(&command);
        let origin = Origin::Caller(token);
        self.requests
            .add(Request::new(origin, command, protection, deadline));
    }

    fn protection_of(&self, command: &Command) -> Protection {
        let harmless = match command {
            // A session or a mark too many does no harm, and an ended session has ended.
            Command::OpenSession | Command::EndSession { .. } | Command::Mark => true,
            command => !command.is_write(),
        };
        match (harmless, &self.sessions) {
            (true, _) => Protection::Harmless,
            (false, Some(_)) => Protection::Numbered,
            (false, None) => Protection::Unprotected,
        }
    }

    fn take_map(&mut self, map: ClusterMap) {
        if self.routes.note_map(map) {
            self.follow_new_primary();
        }
    }

    fn answer(
        &mut self,
        now: Monotonic,
        link: LinkId,
        exchange: u64,
        result: Result<Reply, Refusal>,
    ) {
        let sent = |request: &Request| request.place() == Place::Sent;
        if !self.link.is(link) || !self.requests.get(exchange).is_some_and(sent) {
            return;
        }
        match result {
            Ok(reply) => {
                self.link_answered();
                self.succeed(now, exchange, reply);
            }
            Err(refusal) => self.refuse(now, exchange, refusal),
        }
        self.leave_if_all_is_answered();
    }

    fn succeed(&mut self, now: Monotonic, exchange: u64, reply: Reply) {
        let opens = self.requests.get(exchange).map(|request| request.origin);
        if opens == Some(Origin::OpenSession) {
            match (reply, self.sessions.as_mut()) {
                (Reply::SessionOpened(session), Some(book)) => book.opened(session),
                _ => return self.again_after_pause(now, exchange),
            }
            self.requests.remove(exchange);
        } else {
            self.finish(exchange, Ok(reply));
        }
    }

    fn refuse(&mut self, now: Monotonic, exchange: u64, refusal: Refusal) {
        let Some(request) = self.requests.get_mut(exchange) else {
            return;
        };
        let decision = decide(&refusal, request.protection, request.uncertain);
        request.last_refusal = Some(refusal.clone());
        if request.origin == Origin::OpenSession
            && let Some(book) = &mut self.sessions
        {
            book.refused(refusal.clone());
        }
        if decision != Decision::Elsewhere {
            self.link_answered();
        }
        match decision {
            Decision::Elsewhere => {
                self.requests.move_to(exchange, Place::Ready);
                self.link_is_not_primary(now, &refusal);
            }
            Decision::Again => self.again_after_pause(now, exchange),
            Decision::AgainUncertain => {
                self.mark_uncertain(exchange);
                self.again_after_pause(now, exchange);
            }
            Decision::InNewSession => self.renew_session(exchange, &refusal),
            Decision::Refused => self.finish(exchange, Err(Failure::Refused(refusal))),
            Decision::OutcomeUnknown => self.finish(exchange, Err(Failure::OutcomeUnknown)),
        }
    }

    fn again_after_pause(&mut self, now: Monotonic, exchange: u64) {
        if let Some(request) = self.requests.get_mut(exchange) {
            let until = now.after(request.next_pause());
            self.requests.move_to(exchange, Place::Delayed(until));
        }
    }

    fn mark_uncertain(&mut self, exchange: u64) {
        if let Some(request) = self.requests.get_mut(exchange) {
            request.uncertain = true;
        }
    }

    /// The deadline has come.
    fn give_up(&mut self, exchange: u64) {
        let Some(request) = self.requests.get(exchange) else {
            return;
        };
        let failure = self.failure_of(request);
        self.finish(exchange, Err(failure));
    }

    fn failure_of(&self, request: &Request) -> Failure {
        if request.may_take_effect() {
            return Failure::OutcomeUnknown;
        }
        if request.place() == Place::Sent
            && let Some(address) = self.link.address()
        {
            let address = address.clone();
            return Failure::NoAnswer { address };
        }
        let of_session = self.sessions.as_ref().and_then(SessionBook::refusal);
        let refusal = match request.place() {
            Place::Unnumbered => request.last_refusal.as_ref().or(of_session),
            _ => request.last_refusal.as_ref(),
        };
        match refusal {
            Some(refusal) => Failure::at_deadline(refusal.clone()),
            None => self.silence(request),
        }
    }

    /// Nobody said anything: a primary that was asked for a session, or nobody was there.
    fn silence(&self, request: &Request) -> Failure {
        match self.link.address() {
            Some(address) if self.link.is_up() && request.place() == Place::Unnumbered => {
                let address = address.clone();
                Failure::NoAnswer { address }
            }
            _ => Failure::NobodyToAsk {
                why: self.last_trouble.clone(),
            },
        }
    }

    fn finish(&mut self, exchange: u64, result: Result<Reply, Failure>) {
        let Some(request) = self.requests.remove(exchange) else {
            return;
        };
        if let Some(number) = request.number {
            self.end_number(number, request.deadline);
        }
        match request.origin {
            Origin::Caller(token) => self.effects.push_back(Effect::Finish { token, result }),
            Origin::OpenSession => self.session_not_opened(result),
            Origin::EndSession => {}
        }
    }

    /// Connects if that is of use, and sends what can be sent.
    fn advance(&mut self, now: Monotonic) {
        if self.requests.wait_for_a_link() {
            self.connect(now);
        }
        if !self.link.is_up() {
            return;
        }
        self.number_requests();
        while let Some(exchange) = self.requests.first_ready() {
            self.send(exchange);
        }
    }

    fn send(&mut self, exchange: u64) {
        let (Some(link), Some(request)) = (self.link.id(), self.requests.get(exchange)) else {
            return;
        };
        let book = self.sessions.as_ref();
        let stamp = request
            .number
            .and_then(|number| book.and_then(|book| book.stamp(number)));
        self.effects.push_back(Effect::Send {
            link,
            exchange,
            stamp,
            command: request.command.clone(),
        });
        self.requests.move_to(exchange, Place::Sent);
    }
}

#[cfg(test)]
mod tests;
