mod exactly_once;

use std::time::Duration;

use bytes::Bytes;
use kv_common::command::{Command, PutCondition, Reply};
use kv_common::id::{Epoch, Position, Seq, SessionId};
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;

use super::Dispatcher;
use crate::door::{Effect, Failure, Input, LinkId, RequestToken};
use crate::fixture::{address, map};
use crate::sessions::SESSION_IN_FLIGHT_MAX;

const START: Monotonic = Monotonic(1_000);

fn put(key: u64) -> Command {
    Command::Put {
        key: Bytes::from(key.to_string()),
        value: Bytes::from_static(b"v"),
        expiry: None,
        condition: PutCondition::Always,
    }
}

fn get() -> Command {
    Command::Get {
        key: Bytes::from_static(b"k"),
    }
}

fn session(number: u64) -> SessionId {
    SessionId(Position {
        epoch: Epoch(1),
        seq: Seq(number),
    })
}

/// A dispatcher, and the hands that carry out its effects as a test says.
struct Bench {
    core: Dispatcher,
    now: Monotonic,
    link: LinkId,
}

/// A request as it went out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    exchange: u64,
    stamp: Option<SessionStamp>,
    command: Command,
}

impl Bench {
    fn new(with_session: bool) -> Self {
        let mut bench = Self {
            core: Dispatcher::new(Vec::new(), with_session),
            now: START,
            link: LinkId(0),
        };
        bench.tell(Input::Map(map(1, 1)));
        bench
    }

    /// One with a connection and, if it keeps sessions, an open session 1.
    fn connected(with_session: bool) -> Self {
        let mut bench = Self::new(with_session);
        bench.submit(0, put(0));
        bench.expect_connect(1);
        bench.link_up();
        if with_session {
            bench.open_session(1);
        }
        let sent = bench.expect_send();
        bench.answer(sent.exchange, Ok(Reply::Done));
        bench.expect_finish(0, Ok(Reply::Done));
        bench
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
    }

    fn submit(&mut self, token: u64, command: Command) {
        let deadline = self.now.after(Duration::from_secs(5));
        self.tell(Input::Submit {
            token: RequestToken(token),
            command,
            deadline,
        });
    }

    fn link_up(&mut self) {
        let link = self.link;
        self.tell(Input::LinkUp { link });
        assert_eq!(self.effect(), Effect::AskMap { link });
    }

    fn link_down(&mut self) {
        let link = self.link;
        let why = "it broke".to_owned();
        self.tell(Input::LinkDown { link, why });
    }

    fn open_session(&mut self, number: u64) {
        let sent = self.expect_send();
        assert_eq!(sent.command, Command::OpenSession);
        assert_eq!(sent.stamp, None);
        self.answer(sent.exchange, Ok(Reply::SessionOpened(session(number))));
    }

    fn answer(&mut self, exchange: u64, result: Result<Reply, Refusal>) {
        let link = self.link;
        self.tell(Input::Answer {
            link,
            exchange,
            result,
        });
    }

    /// Lets time go on to the next timeout.
    fn jump(&mut self) {
        let until = self
            .core
            .poll_timeout()
            .expect("something waits for a time");
        self.now = self.now.max(until);
        self.core.handle_timeout(self.now);
    }

    fn effect(&mut self) -> Effect {
        self.core.poll_effect().expect("there is something to do")
    }

    fn expect_nothing(&mut self) {
        assert_eq!(self.core.poll_effect(), None);
    }

    fn expect_connect(&mut self, number: u64) {
        let Effect::Connect { link, address: to } = self.effect() else {
            panic!("no connection is asked for");
        };
        assert_eq!(to, address(number));
        self.link = link;
    }

    fn expect_send(&mut self) -> Sent {
        match self.effect() {
            Effect::Send {
                link,
                exchange,
                stamp,
                command,
            } if link == self.link => Sent {
                exchange,
                stamp,
                command,
            },
            other => panic!("nothing is sent, but {other:?}"),
        }
    }

    fn expect_finish(&mut self, number: u64, expected: Result<Reply, Failure>) {
        match self.effect() {
            Effect::Finish { token, result } => {
                assert_eq!((token, result), (RequestToken(number), expected));
            }
            other => panic!("nothing is finished, but {other:?}"),
        }
    }
}

#[test]
fn a_write_takes_a_number_of_a_session_and_a_read_does_not() {
    let mut bench = Bench::new(true);
    bench.submit(1, put(1));
    bench.submit(2, get());
    bench.expect_connect(1);
    bench.expect_nothing();
    bench.link_up();
    let read = bench.expect_send();
    assert_eq!((read.command, read.stamp), (get(), None));
    bench.open_session(9);
    let write = bench.expect_send();
    let stamp = write.stamp.expect("stamped");
    assert_eq!((stamp.id.session, stamp.id.number), (session(9), 1));
    // Answers come in any order.
    bench.answer(write.exchange, Ok(Reply::Done));
    bench.expect_finish(1, Ok(Reply::Done));
    bench.answer(read.exchange, Ok(Reply::Value(None)));
    bench.expect_finish(2, Ok(Reply::Value(None)));
}

#[test]
fn a_lost_answer_is_asked_for_under_the_same_number() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    let first = bench.expect_send();
    bench.link_down();
    bench.expect_connect(1);
    bench.link_up();
    let second = bench.expect_send();
    assert_eq!(first, second);
    bench.answer(second.exchange, Ok(Reply::Done));
    bench.expect_finish(1, Ok(Reply::Done));
}

#[test]
fn a_refusal_by_another_node_leads_to_the_primary_under_the_same_number() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    let first = bench.expect_send();
    let not_primary = Refusal::NotPrimary {
        primary: Some(address(3)),
        epoch: Epoch(2),
    };
    bench.answer(first.exchange, Err(not_primary));
    assert!(matches!(bench.effect(), Effect::Disconnect { .. }));
    bench.expect_connect(3);
    bench.link_up();
    assert_eq!(bench.expect_send(), first);
}

#[test]
fn a_new_view_moves_what_is_unanswered_to_the_new_primary() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    let first = bench.expect_send();
    bench.tell(Input::Map(map(2, 2)));
    assert!(matches!(bench.effect(), Effect::Disconnect { .. }));
    bench.expect_connect(2);
    // What the old connection still says is not heard.
    let old = LinkId(bench.link.0 - 1);
    bench.tell(Input::Answer {
        link: old,
        exchange: first.exchange,
        result: Err(Refusal::NotANumber),
    });
    bench.link_up();
    assert_eq!(bench.expect_send(), first);
}

#[test]
fn outside_a_session_a_write_is_sent_once() {
    let mut bench = Bench::connected(false);
    bench.submit(1, put(1));
    bench.submit(2, get());
    let write = bench.expect_send();
    assert_eq!(write.stamp, None);
    let read = bench.expect_send();
    bench.link_down();
    bench.expect_finish(1, Err(Failure::OutcomeUnknown));
    bench.expect_connect(1);
    bench.link_up();
    assert_eq!(bench.expect_send(), read);
    bench.expect_nothing();
}

#[test]
fn outside_a_session_a_write_that_was_not_sent_waits_for_a_connection() {
    let mut bench = Bench::new(false);
    bench.submit(1, put(1));
    for number in 1..=3 {
        bench.expect_connect(number);
        bench.link_down();
    }
    bench.expect_nothing();
    bench.jump();
    bench.expect_connect(1);
    bench.link_up();
    let sent = bench.expect_send();
    bench.answer(sent.exchange, Err(Refusal::OutcomeUnknown));
    bench.expect_finish(1, Err(Failure::OutcomeUnknown));
}

#[test]
fn too_few_copies_are_waited_for_until_the_deadline() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    let refusal = Refusal::TooFewInSync { have: 1, need: 2 };
    let mut attempts = 0;
    let end = loop {
        match bench.core.poll_effect() {
            Some(Effect::Send { exchange, .. }) => {
                attempts += 1;
                bench.answer(exchange, Err(refusal.clone()));
            }
            Some(other) => break other,
            None => bench.jump(),
        }
    };
    let result = Err(Failure::Refused(refusal));
    let token = RequestToken(1);
    assert_eq!(end, Effect::Finish { token, result });
    assert!((10..100).contains(&attempts), "{attempts} attempts");
}

#[test]
fn a_refusal_after_a_lost_attempt_is_an_unknown_outcome() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    bench.expect_send();
    bench.link_down();
    bench.expect_connect(1);
    bench.link_up();
    let second = bench.expect_send();
    bench.answer(second.exchange, Err(Refusal::NotANumber));
    bench.expect_finish(1, Err(Failure::OutcomeUnknown));
}

#[test]
fn an_ended_session_is_replaced_for_what_was_never_tried() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    let first = bench.expect_send();
    let unknown = Refusal::UnknownSession {
        session: session(1),
    };
    bench.answer(first.exchange, Err(unknown));
    bench.open_session(2);
    let second = bench.expect_send();
    let stamp = second.stamp.expect("stamped");
    assert_eq!((stamp.id.session, stamp.id.number), (session(2), 1));
    bench.answer(second.exchange, Ok(Reply::Done));
    bench.expect_finish(1, Ok(Reply::Done));
    // The session that the node forgot is not ended once more.
    bench.expect_nothing();
}

#[test]
fn an_ended_session_leaves_the_outcome_of_a_lost_attempt_unknown() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    bench.expect_send();
    bench.link_down();
    bench.expect_connect(1);
    bench.link_up();
    let second = bench.expect_send();
    let unknown = Refusal::UnknownSession {
        session: session(1),
    };
    bench.answer(second.exchange, Err(unknown));
    bench.expect_finish(1, Err(Failure::OutcomeUnknown));
}

#[test]
fn a_session_whose_window_stands_still_is_replaced_and_ended() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    let first = bench.expect_send();
    let beyond = Refusal::BeyondWindow {
        number: 2,
        floor: 0,
        window: 1,
    };
    bench.answer(first.exchange, Err(beyond));
    let ending = bench.expect_send();
    let session = session(1);
    assert_eq!(ending.command, Command::EndSession { session });
    bench.open_session(2);
    let second = bench.expect_send();
    bench.answer(second.exchange, Ok(Reply::Done));
    bench.expect_finish(1, Ok(Reply::Done));
}

#[test]
fn a_session_that_cannot_be_opened_refuses_all_that_wait_for_it() {
    let mut bench = Bench::new(true);
    bench.submit(1, put(1));
    bench.submit(2, put(2));
    bench.expect_connect(1);
    bench.link_up();
    let opening = bench.expect_send();
    let refusal = Refusal::TooManySessions { max: 1 };
    bench.answer(opening.exchange, Err(refusal.clone()));
    bench.expect_finish(1, Err(Failure::Refused(refusal.clone())));
    bench.expect_finish(2, Err(Failure::Refused(refusal)));
}

#[test]
fn a_primary_that_opens_no_session_is_named_at_the_deadline() {
    let mut bench = Bench::new(true);
    bench.submit(1, put(1));
    bench.expect_connect(1);
    bench.link_up();
    bench.expect_send();
    bench.jump();
    let address = address(1);
    bench.expect_finish(1, Err(Failure::NoAnswer { address }));
}

#[test]
fn a_deadline_tells_what_the_caller_must_know() {
    let mut bench = Bench::connected(true);
    bench.submit(1, put(1));
    bench.submit(2, get());
    bench.expect_send();
    bench.expect_send();
    bench.jump();
    bench.expect_finish(1, Err(Failure::OutcomeUnknown));
    let address = address(1);
    bench.expect_finish(2, Err(Failure::NoAnswer { address }));

    let mut nobody = Dispatcher::new(Vec::new(), true);
    let deadline = START.after(Duration::from_millis(1));
    let token = RequestToken(3);
    let command = put(3);
    nobody.handle(
        START,
        Input::Submit {
            token,
            command,
            deadline,
        },
    );
    nobody.handle_timeout(deadline);
    let result = Err(Failure::NobodyToAsk { why: None });
    assert_eq!(nobody.poll_effect(), Some(Effect::Finish { token, result }));
}

#[test]
fn a_key_that_is_too_long_is_refused_without_being_sent() {
    let mut bench = Bench::new(true);
    let key = Bytes::from(vec![b'k'; kv_common::limits::KEY_MAX_BYTES + 1]);
    bench.submit(1, Command::Get { key });
    assert!(matches!(
        bench.effect(),
        Effect::Finish {
            result: Err(Failure::Refused(Refusal::KeyTooLong { .. })),
            ..
        }
    ));
    bench.expect_nothing();
}

#[test]
fn more_writes_than_the_window_holds_wait_for_answers() {
    let mut bench = Bench::connected(true);
    for token in 1..=SESSION_IN_FLIGHT_MAX + 5 {
        bench.submit(token, put(token));
    }
    let mut sent: Vec<_> = (0..SESSION_IN_FLIGHT_MAX)
        .map(|_| bench.expect_send())
        .collect();
    bench.expect_nothing();
    let first = sent.remove(0);
    bench.answer(first.exchange, Ok(Reply::Done));
    bench.expect_finish(1, Ok(Reply::Done));
    let next = bench.expect_send();
    let stamp = next.stamp.expect("stamped");
    assert_eq!(stamp.floor, 2);
    assert_eq!(stamp.id.number, SESSION_IN_FLIGHT_MAX + 2);
}

#[test]
fn retiring_ends_the_session() {
    let mut bench = Bench::connected(true);
    let deadline = bench.now.after(Duration::from_secs(1));
    bench.tell(Input::Retire { deadline });
    let ending = bench.expect_send();
    let session = session(1);
    assert_eq!(ending.command, Command::EndSession { session });
    bench.answer(ending.exchange, Ok(Reply::Done));
    assert_eq!(bench.core.open_requests(), 0);
}

#[test]
fn an_idle_client_neither_connects_nor_wakes_up() {
    let mut bench = Bench::connected(true);
    bench.link_down();
    bench.tell(Input::Map(map(2, 2)));
    bench.expect_nothing();
    assert_eq!(bench.core.poll_timeout(), None);
}
