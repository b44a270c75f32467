//! Transactions: what they see, what keeps them from being done, and what they may come to.

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::edit::{BitOperator, Edit, Fingerprint, Guard};
use kv_common::id::Seq;
use kv_common::limits::VALUE_MAX_BYTES;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;

use super::{changes, put};
use crate::state::{Overlay, State, execute};

fn state() -> State {
    let mut state = State::new(1);
    let held = vec![put("a", "1", None), put("gone", "1", Some(50))];
    state.apply(&changes(1, held));
    state
}

fn fingerprint(state: &State, overlay: &Overlay, key: &'static str, unix: u64) -> Fingerprint {
    let keys = vec![Bytes::from(key)];
    let command = Command::Fingerprints { keys };
    let done = execute(state, overlay, &command, UnixMs(unix)).expect("a read");
    match done.reply {
        Reply::Fingerprints(prints) => prints[0],
        other => panic!("no fingerprint: {other:?}"),
    }
}

fn guarded(key: &'static str, fingerprint: Fingerprint) -> Command {
    let key = Bytes::from(key);
    Command::Transaction {
        guards: vec![Guard { key, fingerprint }],
        commands: vec![Command::Incr {
            key: Bytes::from("n"),
            by: 1,
        }],
    }
}

#[test]
fn a_guard_holds_until_value_or_expiry_change_pending_changes_included() {
    let state = state();
    let mut overlay = Overlay::new();
    let before = fingerprint(&state, &overlay, "a", 0);
    let absent = fingerprint(&state, &overlay, "nowhere", 0);
    let expiring = fingerprint(&state, &overlay, "gone", 0);
    let reply = |overlay: &Overlay, key, print, unix| {
        let command = guarded(key, print);
        execute(&state, overlay, &command, UnixMs(unix))
            .expect("in order")
            .reply
    };
    let done = Reply::Many(vec![Ok(Reply::Integer(1))]);
    assert_eq!(reply(&overlay, "a", before, 0), done);
    assert_eq!(reply(&overlay, "nowhere", absent, 0), done);
    assert_eq!(reply(&overlay, "gone", expiring, 49), done);
    assert_eq!(
        reply(&overlay, "gone", expiring, 50),
        Reply::ConditionFailed
    );
    overlay.note(Seq(2), &[put("a", "1", Some(99)), put("nowhere", "", None)]);
    assert_eq!(reply(&overlay, "a", before, 0), Reply::ConditionFailed);
    assert_eq!(
        reply(&overlay, "nowhere", absent, 0),
        Reply::ConditionFailed
    );
}

#[test]
fn a_guard_that_failed_leaves_nothing_to_be_logged_but_what_time_took() {
    let state = state();
    let overlay = Overlay::new();
    let expiring = fingerprint(&state, &overlay, "gone", 0);
    let outcome = execute(&state, &overlay, &guarded("a", Fingerprint(5)), UnixMs(0));
    assert_eq!(outcome.expect("in order").changes, []);
    let outcome = execute(&state, &overlay, &guarded("gone", expiring), UnixMs(50));
    assert_eq!(outcome.expect("in order").changes.len(), 1, "the deletion");
}

#[test]
fn what_is_too_large_together_is_refused_as_a_whole() {
    let append = |key: &'static str| Command::Edit {
        key: Bytes::from(key),
        edit: Edit::Append(Bytes::from(vec![b'x'; VALUE_MAX_BYTES / 2])),
    };
    for (commands, fits) in [
        (vec![append("x")], true),
        (vec![append("x"), append("y"), append("z")], false),
    ] {
        let guards = Vec::new();
        let command = Command::Transaction { guards, commands };
        let outcome = execute(&state(), &Overlay::new(), &command, UnixMs(0));
        let too_large = matches!(outcome, Err(Refusal::TooLarge { .. }));
        assert_eq!(too_large, !fits);
    }
}

#[test]
fn transactions_are_not_nested_and_hold_no_sessions() {
    let nested = Command::Transaction {
        guards: Vec::new(),
        commands: Vec::new(),
    };
    for command in [nested, Command::OpenSession, Command::Mark] {
        let outer = Command::Transaction {
            guards: Vec::new(),
            commands: vec![command],
        };
        let outcome = execute(&state(), &Overlay::new(), &outer, UnixMs(0));
        assert!(matches!(outcome, Err(Refusal::NotAllowed { .. })));
    }
}

#[test]
fn what_would_take_too_long_in_one_go_is_refused() {
    let mut state = State::new(1);
    let long = "x".repeat(1 << 20).leak();
    state.apply(&changes(1, vec![put("long", long, None)]));
    let combine = |sources: usize| Command::CombineBits {
        operator: BitOperator::Or,
        to: Bytes::from("to"),
        from: vec![Bytes::from("long"); sources],
    };
    let run = |command: &Command| execute(&state, &Overlay::new(), command, UnixMs(0));
    assert!(run(&combine(3)).is_ok());
    assert!(matches!(
        run(&combine(5000)),
        Err(Refusal::NotAllowed { .. })
    ));
    let scan = Command::Scan {
        cursor: 0,
        limit: u32::MAX,
        pattern: None,
    };
    assert!(run(&scan).is_ok());
    let commands = vec![scan; 1000];
    let many = Command::Transaction {
        guards: Vec::new(),
        commands,
    };
    let Reply::Many(replies) = run(&many).expect("it is in order").reply else {
        panic!("one reply for each command");
    };
    let refused = replies.iter().filter(|reply| reply.is_err()).count();
    assert!((1..1000).contains(&refused), "{refused} of them");
}
