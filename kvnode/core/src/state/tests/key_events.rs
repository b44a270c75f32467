//! What a command did to keys, as it is told.

use bytes::Bytes;
use kv_common::command::{Command, Expiry, PutCondition};
use kv_common::edit::{Edit, ExpiryEdit, Fingerprint, Guard};
use kv_common::entry::Change;
use kv_common::key_event::KeyEventKind::{self, Delete, Expire, Expired, Increment, Set};
use kv_common::time::UnixMs;

use super::{changes, put};
use crate::state::{Overlay, State, execute, key_events};

fn told(held: Vec<Change>, command: &Command) -> Vec<(KeyEventKind, String)> {
    let mut state = State::new(1);
    state.apply(&changes(1, held));
    let execution = execute(&state, &Overlay::new(), command, UnixMs(10)).expect("it is in order");
    let events = key_events(command, &execution).into_iter();
    let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
    events.map(|event| (event.kind, text(&event.key))).collect()
}

fn incr(key: &'static str) -> Command {
    let key = Bytes::from(key);
    Command::Incr { key, by: 1 }
}

fn delete(keys: &[&'static str]) -> Command {
    let keys = keys.iter().map(|key| Bytes::from(*key)).collect();
    Command::Delete { keys }
}

fn named(events: &[(KeyEventKind, &str)]) -> Vec<(KeyEventKind, String)> {
    let events = events.iter();
    events
        .map(|(kind, key)| (*kind, (*key).to_owned()))
        .collect()
}

#[test]
fn each_command_of_a_transaction_is_told_under_its_own_name() {
    let commands = vec![
        incr("a"),
        incr("text"),
        delete(&["a", "absent", "text"]),
        Command::Put {
            key: Bytes::from("b"),
            value: Bytes::new(),
            expiry: Some(Expiry::AfterMs(5)),
            condition: PutCondition::Always,
        },
    ];
    let transaction = |guards| Command::Transaction {
        guards,
        commands: commands.clone(),
    };
    let held = || vec![put("text", "x", None), put("old", "x", Some(5))];
    let expected = [
        (Increment, "a"),
        (Delete, "a"),
        (Delete, "text"),
        (Set, "b"),
        (Expire, "b"),
    ];
    assert_eq!(told(held(), &transaction(vec![])), named(&expected));
    let guard = |fingerprint| Guard {
        key: Bytes::from("old"),
        fingerprint: Fingerprint(fingerprint),
    };
    let failed = told(held(), &transaction(vec![guard(1)]));
    assert_eq!(failed, named(&[(Expired, "old")]), "nothing else was done");
    let done = told(held(), &transaction(vec![guard(0)]));
    let expected = [&[(Expired, "old")][..], &expected].concat();
    assert_eq!(done, named(&expected));
}

#[test]
fn a_key_whose_time_has_come_is_told_even_by_a_read() {
    let held = vec![put("k", "x", Some(5))];
    let key = Bytes::from("k");
    let get = Command::Get { key: key.clone() };
    assert_eq!(told(held.clone(), &get), named(&[(Expired, "k")]));
    let events = [(Expired, "k"), (Increment, "k")];
    assert_eq!(told(held, &incr("k")), named(&events));
    let edit = Edit::GetAndExpire(ExpiryEdit::Drop);
    let edit = Command::Edit { key, edit };
    let persist = [(KeyEventKind::Persist, "k")];
    assert_eq!(told(vec![put("k", "x", Some(50))], &edit), named(&persist));
    assert_eq!(told(vec![put("k", "x", None)], &edit), named(&[]));
}
