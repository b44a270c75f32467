//! With entries pending for any length of time, every reply is the one that executing one command
//! after the other gives.

use bytes::Bytes;
use kv_common::command::{Command, Expiry, PutCondition, Reply};
use kv_common::entry::{Change, Entry};
use kv_common::id::Seq;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;
use kv_common::value_digest::value_digest;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::changes;
use super::model::Model;
use crate::state::{Execution, Overlay, State, execute, expire_due};

#[derive(Clone, Debug)]
enum Step {
    Execute(Command, UnixMs),
    /// Commits so many of the pending entries.
    Commit(usize),
    ExpireDue(UnixMs),
    /// The role is lost: what is pending goes.
    Drop,
}

fn key() -> impl Strategy<Value = Bytes> {
    select(&["", "a", "b", "c", "d"][..]).prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => select(&["", "0", "-3", "07", "9223372036854775807", "text"][..]).prop_map(Bytes::from),
        1 => Just(Bytes::from(vec![b'x'; 17_000])),
    ]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        (0u64..20).prop_map(Expiry::AfterMs),
        (0u64..60).prop_map(|at| Expiry::At(UnixMs(at))),
    ]
}

fn condition() -> impl Strategy<Value = PutCondition> {
    prop_oneof![
        3 => Just(PutCondition::Always),
        1 => Just(PutCondition::IfAbsent),
        1 => Just(PutCondition::IfPresent),
        1 => value().prop_map(PutCondition::IfEquals),
        1 => value().prop_map(PutCondition::IfDiffers),
        1 => value().prop_map(|value| PutCondition::IfDigestEquals(value_digest(&value))),
        1 => value().prop_map(|value| PutCondition::IfDigestDiffers(value_digest(&value))),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let scan = Command::Scan {
        cursor: 0,
        limit: 1000,
        pattern: None,
    };
    let transaction = vec(within_transaction(), 0..6).prop_map(|commands| Command::Transaction {
        guards: Vec::new(),
        commands,
    });
    prop_oneof![
        30 => within_transaction(),
        2 => Just(scan),
        6 => transaction,
    ]
}

fn several_keys() -> impl Strategy<Value = Command> {
    let put_many = (vec((key(), value()), 0..4), any::<bool>())
        .prop_map(|(pairs, if_absent)| Command::PutMany { pairs, if_absent });
    let copy =
        (key(), key(), any::<bool>(), any::<bool>()).prop_map(|(from, to, replaces, moves)| {
            Command::Copy {
                from,
                to,
                replaces,
                moves,
            }
        });
    prop_oneof![
        vec(key(), 0..6).prop_map(|keys| Command::GetMany { keys }),
        put_many,
        copy,
    ]
}

fn within_transaction() -> impl Strategy<Value = Command> {
    let put = (key(), value(), proptest::option::of(expiry()), condition()).prop_map(
        |(key, value, expiry, condition)| Command::Put {
            key,
            value,
            expiry,
            condition,
        },
    );
    prop_oneof![
        8 => put,
        3 => key().prop_map(|key| Command::Get { key }),
        3 => vec(key(), 0..6).prop_map(|keys| Command::Delete { keys }),
        2 => vec(key(), 0..6).prop_map(|keys| Command::Exists { keys }),
        3 => (key(), -3i64..4).prop_map(|(key, by)| Command::Incr { key, by }),
        2 => key().prop_map(|key| Command::Ttl { key }),
        3 => (key(), expiry()).prop_map(|(key, expiry)| Command::Expire { key, expiry }),
        2 => key().prop_map(|key| Command::Persist { key }),
        4 => several_keys(),
        2 => Just(Command::CountKeys),
        1 => Just(Command::Clear),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let unix = || (0u64..60).prop_map(UnixMs);
    prop_oneof![
        30 => (command(), unix()).prop_map(|(command, unix)| Step::Execute(command, unix)),
        10 => (0usize..6).prop_map(Step::Commit),
        2 => unix().prop_map(Step::ExpireDue),
        1 => Just(Step::Drop),
    ]
}

/// A primary, reduced to what is tested here, with the model beside it.
struct Primary {
    state: State,
    overlay: Overlay,
    /// Entries that are logged and not committed, each with the model behind it.
    pending: Vec<(Entry, Model)>,
    committed: Model,
    newest: Model,
    next_seq: u64,
}

impl Primary {
    fn new() -> Self {
        Self {
            state: State::new(3),
            overlay: Overlay::with_seed(3),
            pending: Vec::new(),
            committed: Model::default(),
            newest: Model::default(),
            next_seq: 1,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Execute(command, unix) => self.execute(command, *unix),
            Step::Commit(count) => self.commit(*count),
            Step::ExpireDue(unix) => self.expire_due(*unix),
            Step::Drop => {
                self.pending.clear();
                self.overlay.clear();
                self.newest = self.committed.clone();
                self.next_seq = self.state.applied().seq.0 + 1;
            }
        }
        self.check();
    }

    fn clock(&self, unix: UnixMs) -> UnixMs {
        unix.max(self.committed.expiry_clock)
    }

    fn execute(&mut self, command: &Command, unix: UnixMs) {
        let clock = self.clock(unix);
        let expected = match command {
            Command::Scan { .. } => Ok(self.scan_model(clock)),
            other => self.newest.execute(other, clock),
        };
        let outcome = execute(&self.state, &self.overlay, command, unix);
        let Execution {
            changes,
            parts: _,
            mut reply,
            waits_for,
        } = match outcome {
            Ok(execution) => execution,
            Err(refusal) => {
                assert_eq!(Err(refusal), expected, "{command:?}");
                return;
            }
        };
        if let Reply::Page { keys, .. } = &mut reply {
            keys.sort();
        }
        assert_eq!(Ok(&reply), expected.as_ref(), "{command:?}");
        if let Some(seq) = waits_for {
            assert!(seq > self.state.applied().seq && seq.0 < self.next_seq);
        }
        if waits_for.is_none() && changes.is_empty() {
            let mut now =
                execute(&self.state, &Overlay::new(), command, unix).expect("it succeeded before");
            if let Reply::Page { keys, .. } = &mut now.reply {
                keys.sort();
            }
            assert_eq!(
                now.reply, reply,
                "an answer at once shows what is committed"
            );
        }
        self.log(changes);
    }

    /// A scan goes over what is committed; only keys whose time has come are seen as they will be.
    fn scan_model(&mut self, clock: UnixMs) -> Reply {
        let committed = self.committed.clone();
        let mut keys: Vec<_> = committed.keys.keys().cloned().collect();
        keys.retain(|key| !committed.is_due(key, clock) || self.newest.find(key, clock).is_some());
        Reply::Page { cursor: 0, keys }
    }

    fn expire_due(&mut self, unix: UnixMs) {
        let due = expire_due(&self.state, &self.overlay, unix, 100);
        let clock = self.clock(unix);
        for change in &due {
            let Change::Expire { key, .. } = change else {
                panic!("no deletion by time: {change:?}");
            };
            assert!(self.newest.is_due(key, clock), "{key:?}");
            self.newest.find(key, clock);
        }
        if self.pending.is_empty() {
            let left = self
                .newest
                .keys
                .keys()
                .filter(|key| self.newest.is_due(key, clock));
            assert_eq!(left.count(), 0, "all that is due goes");
        }
        self.log(due);
    }

    fn log(&mut self, logged: Vec<Change>) {
        if logged.is_empty() {
            return;
        }
        self.overlay.note(Seq(self.next_seq), &logged);
        let entry = changes(self.next_seq, logged);
        self.pending.push((entry, self.newest.clone()));
        self.next_seq += 1;
    }

    fn commit(&mut self, count: usize) {
        let count = count.min(self.pending.len());
        for (entry, model) in self.pending.drain(..count) {
            self.state.apply(&entry);
            self.committed = model;
        }
        self.overlay.settle(self.state.applied().seq);
        assert_eq!(self.overlay.is_empty(), self.pending.is_empty());
    }

    /// The table holds what the model held behind the last committed entry.
    fn check(&self) {
        let mut again = State::new(9);
        for (key, (value, at)) in &self.committed.keys {
            again.load_value(key, value, *at);
        }
        assert_eq!(self.state.keys(), again.keys());
        assert_eq!(self.state.digest(), again.digest());
        assert_eq!(self.state.expiry_clock(), self.committed.expiry_clock);
        let next_due = self.committed.keys.values().filter_map(|(_, at)| *at).min();
        assert_eq!(self.state.next_due(), next_due);
    }
}

proptest! {
    #[test]
    fn replies_are_those_of_one_command_after_the_other(steps in vec(step(), 0..60)) {
        let mut primary = Primary::new();
        for step in &steps {
            primary.take(step);
        }
        primary.commit(usize::MAX);
        primary.check();
        assert!(primary.overlay.is_empty());
    }

    /// Whatever the numbers, they are kept in the form in which they are read again.
    #[test]
    fn counting_twice_is_adding(first in any::<i64>(), second in any::<i64>()) {
        let mut primary = Primary::new();
        let incr = |by| Command::Incr { key: Bytes::from("n"), by };
        primary.execute(&incr(first), UnixMs(0));
        let outcome = execute(&primary.state, &primary.overlay, &incr(second), UnixMs(0));
        let reply = outcome.map(|execution| execution.reply);
        let sum = first.checked_add(second).map(Reply::Integer);
        assert_eq!(reply, sum.ok_or(Refusal::Overflow));
    }
}
