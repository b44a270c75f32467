//! Single cases, each stated in full.

use bytes::Bytes;
use kv_common::command::{Command, Expiry, PutCondition, Reply};
use kv_common::entry::Change;
use kv_common::id::Seq;
use kv_common::limits::{KEY_MAX_BYTES, VALUE_MAX_BYTES};
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;

use super::{changes, put};
use crate::state::{Execution, Overlay, State, execute};

fn state(held: Vec<Change>) -> State {
    let mut state = State::new(1);
    state.apply(&changes(1, held));
    state
}

fn overlay(pending: &[(u64, Change)]) -> Overlay {
    let mut overlay = Overlay::new();
    for (seq, change) in pending {
        overlay.note(Seq(*seq), std::slice::from_ref(change));
    }
    overlay
}

fn run(state: &State, overlay: &Overlay, command: &Command, unix: u64) -> Execution {
    execute(state, overlay, command, UnixMs(unix)).expect("it is in order")
}

fn get(key: &'static str) -> Command {
    let key = Bytes::from(key);
    Command::Get { key }
}

fn expire(key: &'static str, at: u64) -> Change {
    Change::Expire {
        key: Bytes::from(key),
        expires_at: UnixMs(at),
    }
}

#[test]
fn a_read_waits_for_the_newest_pending_value_that_it_shows() {
    let state = state(vec![put("a", "old", None), put("c", "1", None)]);
    let overlay = overlay(&[
        (2, put("a", "new", None)),
        (3, put("b", "1", None)),
        (4, put("a", "newest", None)),
    ]);
    let got = run(&state, &overlay, &get("a"), 0);
    assert_eq!(got.reply, Reply::Value(Some(Bytes::from("newest"))));
    assert_eq!((got.waits_for, got.changes), (Some(Seq(4)), vec![]));
    let got = run(&state, &overlay, &get("c"), 0);
    assert_eq!(got.waits_for, None, "untouched");
    let keys = ["a", "b", "a"].map(Bytes::from).to_vec();
    let exists = run(&state, &overlay, &Command::Exists { keys }, 0);
    assert_eq!(
        (exists.reply, exists.waits_for),
        (Reply::Count(3), Some(Seq(4)))
    );
}

#[test]
fn a_pending_clear_hides_the_table_and_what_came_before_it() {
    let state = state(vec![put("a", "1", None), put("b", "1", None)]);
    let mut overlay = overlay(&[
        (2, put("c", "1", None)),
        (3, Change::Clear),
        (4, put("d", "1", None)),
    ]);
    for (key, value, waits_for) in [("a", None, 3), ("c", None, 3), ("d", Some("1"), 4)] {
        let got = run(&state, &overlay, &get(key), 0);
        assert_eq!(got.reply, Reply::Value(value.map(Bytes::from)), "{key}");
        assert_eq!(got.waits_for, Some(Seq(waits_for)), "{key}");
    }
    let count = run(&state, &overlay, &Command::CountKeys, 0);
    assert_eq!(
        (count.reply, count.waits_for),
        (Reply::Count(1), Some(Seq(4)))
    );
    overlay.settle(Seq(2));
    assert_eq!(run(&state, &overlay, &get("a"), 0).waits_for, Some(Seq(3)));
    overlay.settle(Seq(4));
    assert!(overlay.is_empty());
    assert_eq!(run(&state, &overlay, &get("a"), 0).waits_for, None);
}

#[test]
fn a_key_whose_time_has_come_is_absent_once_its_deletion_is_logged() {
    let state = state(vec![put("a", "1", Some(50))]);
    let mut overlay = Overlay::new();
    let got = run(&state, &overlay, &get("a"), 49);
    assert_eq!(
        (got.reply, got.changes),
        (Reply::Value(Some("1".into())), vec![])
    );
    let got = run(&state, &overlay, &get("a"), 50);
    assert_eq!(
        (&got.reply, &got.changes),
        (&Reply::Value(None), &vec![expire("a", 50)])
    );
    overlay.note(Seq(2), &got.changes);
    let again = run(&state, &overlay, &get("a"), 40);
    assert_eq!((again.reply, again.changes), (Reply::Value(None), vec![]));
    assert_eq!(again.waits_for, Some(Seq(2)));
}

#[test]
fn the_expiry_clock_stands_in_for_a_clock_that_is_behind() {
    let mut state = state(vec![put("a", "1", Some(50)), put("b", "1", Some(60))]);
    state.apply(&changes(2, vec![expire("b", 60)]));
    let got = run(&state, &Overlay::new(), &get("a"), 10);
    assert_eq!(
        (got.reply, got.changes),
        (Reply::Value(None), vec![expire("a", 50)])
    );
    let put = Command::Put {
        key: Bytes::from("c"),
        value: Bytes::from("1"),
        expiry: Some(Expiry::AfterMs(5)),
        condition: PutCondition::Always,
    };
    let done = run(&state, &Overlay::new(), &put, 10);
    assert_eq!(done.changes, [super::put("c", "1", Some(65))]);
}

#[test]
fn a_scan_shows_what_is_committed() {
    let state = state(vec![
        put("stays", "1", None),
        put("goes", "1", None),
        put("late", "1", Some(9)),
        put("renewed", "1", Some(9)),
    ]);
    let goes = Change::Delete { key: "goes".into() };
    let overlay = overlay(&[
        (2, put("new", "1", None)),
        (3, goes),
        (4, put("renewed", "1", None)),
    ]);
    let scan = |pattern: Option<&'static str>| Command::Scan {
        cursor: 0,
        limit: 100,
        pattern: pattern.map(Bytes::from),
    };
    let page = |keys: &[&'static str]| Reply::Page {
        cursor: 0,
        keys: keys.iter().copied().map(Bytes::from).collect(),
    };
    let early = run(&state, &overlay, &scan(Some("g*")), 8);
    assert_eq!((early.reply, early.waits_for), (page(&["goes"]), None));
    let late = run(&state, &overlay, &scan(Some("l*")), 9);
    assert_eq!(
        (late.reply, late.changes),
        (page(&[]), vec![expire("late", 9)])
    );
    let renewed = run(&state, &overlay, &scan(Some("r*")), 9);
    assert_eq!(
        (renewed.reply, renewed.waits_for),
        (page(&["renewed"]), Some(Seq(4)))
    );
    assert_eq!(run(&state, &overlay, &scan(Some("n*")), 9).reply, page(&[]));
}

#[test]
fn a_pattern_that_takes_too_long_for_all_keys_is_refused() {
    let long = |number: usize| format!("{number:04}{}", "a".repeat(60_000)).leak() as &str;
    let held = (0..10).map(|number| put(long(number), "1", None)).collect();
    let state = state(held);
    let keys = |pattern: String| {
        let pattern = Bytes::from(pattern);
        let command = Command::Keys { pattern };
        execute(&state, &Overlay::new(), &command, UnixMs(0)).map(|done| done.reply)
    };
    let found = keys("000?a*".to_owned()).expect("it takes no time");
    assert!(matches!(found, Reply::Page { keys, .. } if keys.len() == 10));
    let slow = keys(format!("*{}b", "a".repeat(1000)));
    assert!(matches!(slow, Err(Refusal::NotAllowed { .. })));
}

#[test]
fn limits_and_foreign_commands_are_refused() {
    let (state, overlay) = (State::new(1), Overlay::new());
    let refusal = |command| execute(&state, &overlay, &command, UnixMs(0)).map(|_| ());
    let put = |key: usize, value: usize| Command::Put {
        key: vec![0; key].into(),
        value: vec![0; value].into(),
        expiry: None,
        condition: PutCondition::Always,
    };
    assert_eq!(refusal(put(KEY_MAX_BYTES, 0)), Ok(()));
    assert!(matches!(
        refusal(put(KEY_MAX_BYTES + 1, 0)),
        Err(Refusal::KeyTooLong { .. })
    ));
    assert!(matches!(
        refusal(put(0, VALUE_MAX_BYTES + 1)),
        Err(Refusal::ValueTooLong { .. })
    ));
    for command in [Command::Mark, Command::OpenSession] {
        assert!(matches!(refusal(command), Err(Refusal::NotAllowed { .. })));
    }
}

#[test]
fn an_expiry_that_is_past_deletes() {
    let state = state(vec![put("a", "1", None)]);
    let delete = vec![Change::Delete { key: "a".into() }];
    for expiry in [Expiry::AfterMs(0), Expiry::At(UnixMs(30))] {
        let put = Command::Put {
            key: "a".into(),
            value: "2".into(),
            expiry: Some(expiry),
            condition: PutCondition::IfPresent,
        };
        let done = run(&state, &Overlay::new(), &put, 30);
        assert_eq!((done.reply, &done.changes), (Reply::Done, &delete));
        let command = Command::Expire {
            key: "a".into(),
            expiry,
        };
        let counted = run(&state, &Overlay::new(), &command, 30);
        assert_eq!(
            (counted.reply, &counted.changes),
            (Reply::Count(1), &delete)
        );
    }
}
