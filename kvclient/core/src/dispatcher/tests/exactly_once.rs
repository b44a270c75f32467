//! Whatever goes wrong: no write is done twice, and what the caller is told is true.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::id::{Epoch, SessionId};
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use proptest::prelude::*;

use super::{START, put, session};
use crate::dispatcher::Dispatcher;
use crate::door::{Effect, Failure, Input, LinkId, RequestToken};
use crate::fixture::{address, map};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit,
    LinkUp,
    DialFails,
    /// The connection breaks; so many of the messages on their way still arrive.
    Breaks(usize),
    NodeExecutes,
    NodeRefuses(u8),
    /// The node does or does not execute, and does not know how it ended.
    OutcomeUnknown(bool),
    Answer,
    ForgetSessions,
    NewView,
    Time,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Submit),
        4 => Just(Step::LinkUp),
        1 => Just(Step::DialFails),
        2 => (0_usize..3).prop_map(Step::Breaks),
        8 => Just(Step::NodeExecutes),
        2 => (0_u8..5).prop_map(Step::NodeRefuses),
        1 => any::<bool>().prop_map(Step::OutcomeUnknown),
        8 => Just(Step::Answer),
        1 => Just(Step::ForgetSessions),
        1 => Just(Step::NewView),
        3 => Just(Step::Time),
    ]
}

type Message = (u64, Option<SessionStamp>, Command);

struct World {
    core: Dispatcher,
    now: Monotonic,
    epoch: u64,
    link: Option<(LinkId, bool)>,
    to_node: VecDeque<Message>,
    to_client: VecDeque<(u64, Result<Reply, Refusal>)>,
    sessions: BTreeMap<SessionId, BTreeSet<u64>>,
    last_session: u64,
    submitted: u64,
    /// How often each key was written.
    done: BTreeMap<Bytes, u32>,
    ends: BTreeMap<u64, Result<Reply, Failure>>,
}

impl World {
    fn new(with_session: bool) -> Self {
        let mut core = Dispatcher::new(Vec::new(), with_session);
        core.handle(START, Input::Map(map(1, 1)));
        Self {
            core,
            now: START,
            epoch: 1,
            link: None,
            to_node: VecDeque::new(),
            to_client: VecDeque::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            submitted: 0,
            done: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Connect { link, .. } => self.link = Some((link, false)),
                // What is on its way to a node that was left still arrives.
                Effect::Disconnect { .. } => self.breaks(usize::MAX),
                Effect::AskMap { .. } => {}
                Effect::Send {
                    exchange,
                    stamp,
                    command,
                    ..
                } => self.to_node.push_back((exchange, stamp, command)),
                Effect::Finish { token, result } => {
                    let before = self.ends.insert(token.0, result);
                    assert!(before.is_none(), "{token:?} ended twice");
                }
            }
        }
    }

    fn breaks(&mut self, arrive: usize) {
        self.link = None;
        self.to_client.clear();
        for message in std::mem::take(&mut self.to_node).into_iter().take(arrive) {
            let _ = self.execute(&message);
        }
    }

    fn execute(&mut self, (_, stamp, command): &Message) -> Result<Reply, Refusal> {
        match command {
            Command::OpenSession => {
                self.last_session += 1;
                let opened = session(self.last_session);
                self.sessions.insert(opened, BTreeSet::new());
                return Ok(Reply::SessionOpened(opened));
            }
            Command::EndSession { session } => {
                self.sessions.remove(session);
                return Ok(Reply::Done);
            }
            _ => {}
        }
        if let Some(stamp) = stamp {
            let session = stamp.id.session;
            let Some(records) = self.sessions.get_mut(&session) else {
                return Err(Refusal::UnknownSession { session });
            };
            if !records.insert(stamp.id.number) {
                return Ok(Reply::Done);
            }
        }
        for key in command.keys() {
            *self.done.entry(key.clone()).or_default() += 1;
        }
        Ok(Reply::Done)
    }

    fn node_answers(&mut self, answer: impl FnOnce(&mut Self, &Message) -> Result<Reply, Refusal>) {
        if let Some(message) = self.to_node.pop_front() {
            let result = answer(self, &message);
            self.to_client.push_back((message.0, result));
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit => {
                self.submitted += 1;
                let command = put(self.submitted);
                let token = RequestToken(self.submitted);
                let deadline = self.now.after(Duration::from_millis(300));
                self.tell(Input::Submit {
                    token,
                    command,
                    deadline,
                });
            }
            Step::LinkUp => {
                if let Some((link, false)) = self.link {
                    self.link = Some((link, true));
                    self.tell(Input::LinkUp { link });
                }
            }
            Step::DialFails => {
                if let Some((link, false)) = self.link.take_if(|(_, up)| !*up) {
                    let why = "refused".to_owned();
                    self.tell(Input::LinkDown { link, why });
                }
            }
            Step::Breaks(arrive) => {
                if let Some((link, true)) = self.link {
                    self.breaks(arrive);
                    let why = "broke".to_owned();
                    self.tell(Input::LinkDown { link, why });
                }
            }
            Step::NodeExecutes => self.node_answers(Self::execute),
            Step::NodeRefuses(kind) => self.node_answers(|_, _| Err(refusal(kind))),
            Step::OutcomeUnknown(done) => self.node_answers(|world, message| {
                if done {
                    let _ = world.execute(message);
                }
                Err(Refusal::OutcomeUnknown)
            }),
            Step::Answer => {
                if let (Some((link, _)), Some((exchange, result))) =
                    (self.link, self.to_client.pop_front())
                {
                    self.tell(Input::Answer {
                        link,
                        exchange,
                        result,
                    });
                }
            }
            Step::ForgetSessions => self.sessions.clear(),
            Step::NewView => {
                self.epoch += 1;
                self.tell(Input::Map(map(self.epoch, self.epoch % 3 + 1)));
            }
            Step::Time => {
                if let Some(until) = self.core.poll_timeout() {
                    self.now = self.now.max(until);
                    self.core.handle_timeout(self.now);
                    self.carry_out();
                }
            }
        }
    }

    fn check(&self) {
        for (key, times) in &self.done {
            assert_eq!(*times, 1, "key {key:?} was written {times} times");
        }
        for (token, end) in &self.ends {
            let done = self.done.contains_key(&Bytes::from(token.to_string()));
            match end {
                Ok(_) => assert!(done, "{token} was acknowledged and never done"),
                Err(
                    Failure::NobodyToAsk { .. } | Failure::NoAnswer { .. } | Failure::Refused(_),
                ) => {
                    assert!(!done, "{token} was done and reported as not: {end:?}");
                }
                Err(Failure::OutcomeUnknown) => {}
            }
        }
    }
}

fn refusal(kind: u8) -> Refusal {
    match kind {
        0 => Refusal::TakingOver { epoch: Epoch(1) },
        1 => Refusal::TooFewInSync { have: 1, need: 2 },
        2 => Refusal::NotANumber,
        3 => Refusal::NotPrimary {
            primary: None,
            epoch: Epoch(1),
        },
        _ => Refusal::NotPrimary {
            primary: Some(address(2)),
            epoch: Epoch(7),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_done_twice_and_what_is_said_is_true(
        with_session in prop::bool::weighted(0.8),
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(with_session);
        for step in steps {
            world.step(step);
        }
        // Messages that are still on their way arrive in the end.
        world.breaks(usize::MAX);
        world.check();
    }

    #[test]
    fn every_request_ends_by_its_deadline(
        with_session in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(with_session);
        for step in steps {
            world.step(step);
        }
        let last = world.now.after(Duration::from_millis(300));
        for _ in 0..10_000 {
            if world.core.open_requests() == 0 {
                break;
            }
            let until = world.core.poll_timeout().expect("open requests have a deadline");
            prop_assert!(until <= last);
            world.step(Step::Time);
        }
        prop_assert_eq!(world.core.open_requests(), 0);
        prop_assert_eq!(world.ends.len() as u64, world.submitted);
    }
}
