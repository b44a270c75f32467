//! Executing, logging and applying together.

mod commands;
mod key_events;
mod model;
mod serial;
mod transactions;

use bytes::Bytes;
use kv_common::entry::{Change, Entry, EntryBody};
use kv_common::id::{Epoch, Position, Seq, SessionId};
use kv_common::time::UnixMs;

use super::State;

fn position(seq: u64) -> Position {
    Position {
        epoch: Epoch(1),
        seq: Seq(seq),
    }
}

fn entry(seq: u64, body: EntryBody) -> Entry {
    let position = position(seq);
    Entry { position, body }
}

fn changes(seq: u64, changes: Vec<Change>) -> Entry {
    let body = EntryBody::Changes {
        request: None,
        changes,
    };
    entry(seq, body)
}

fn put(key: &'static str, value: &'static str, expires_at: Option<u64>) -> Change {
    Change::Put {
        key: Bytes::from(key),
        value: Bytes::from(value),
        expires_at: expires_at.map(UnixMs),
    }
}

#[test]
fn marks_keep_what_was_held_then() {
    let mut state = State::new(1);
    state.apply(&changes(1, vec![put("a", "1", None)]));
    state.apply(&entry(2, EntryBody::Mark));
    state.apply(&changes(3, vec![put("b", "2", None)]));
    let mark = state.mark_digest(position(2)).expect("it was applied");
    assert_eq!((mark.at, mark.keys), (position(2), 1));
    assert_ne!(mark.digest, state.digest());
    assert_eq!(state.mark_digest(position(3)), None, "no mark");
    for seq in 4..=4 + 63 {
        state.apply(&entry(seq, EntryBody::Mark));
    }
    assert_eq!(state.mark_digest(position(2)), None, "64 newer ones");
    assert!(state.mark_digest(position(4)).is_some());
}

#[test]
fn a_deletion_by_time_moves_the_expiry_clock() {
    let mut state = State::new(1);
    let two = vec![put("a", "1", Some(70)), put("b", "1", Some(50))];
    state.apply(&changes(1, two));
    assert_eq!(state.next_due(), Some(UnixMs(50)));
    assert_eq!(state.due(UnixMs(49), 9), []);
    assert_eq!(
        state.due(UnixMs(70), 9),
        [
            (Bytes::from("b"), UnixMs(50)),
            (Bytes::from("a"), UnixMs(70))
        ]
    );
    assert_eq!(state.due(UnixMs(70), 1).len(), 1);
    let expire = Change::Expire {
        key: Bytes::from("a"),
        expires_at: UnixMs(70),
    };
    state.apply(&changes(2, vec![expire]));
    assert_eq!(state.expiry_clock(), UnixMs(70));
    // A clock that is behind does not bring the other key back.
    assert_eq!(state.due(UnixMs(0), 9).len(), 1);
}

#[test]
fn a_loaded_state_goes_on_where_it_was_stored() {
    let mut state = State::new(1);
    state.apply(&entry(1, EntryBody::OpenSession));
    state.apply(&changes(
        2,
        vec![put("a", "1", None), put("b", "2", Some(9))],
    ));
    let id = SessionId(position(1));
    let session = state.sessions().encode(id).expect("it is open");

    let mut loaded = State::new(2);
    loaded.load_value(b"b", b"2", Some(UnixMs(9)));
    loaded.load_value(b"a", b"1", None);
    loaded.load_session(id, &session).expect("it was stored so");
    assert!(loaded.load_session(id, b"").is_err());
    loaded.finish_loading(state.applied(), UnixMs(7));
    assert_eq!(loaded.digest(), state.digest());
    assert_eq!(loaded.sessions(), state.sessions());
    assert_eq!(loaded.expiry_clock(), UnixMs(7));
    loaded.apply(&changes(3, vec![Change::Clear]));
    assert_eq!((loaded.keys(), loaded.digest()), (0, 0));
}

#[test]
#[should_panic(expected = "entry 1.3 does not follow 1.1")]
fn an_entry_that_does_not_follow_is_not_applied() {
    let mut state = State::new(1);
    state.apply(&entry(1, EntryBody::Mark));
    state.apply(&entry(3, EntryBody::Mark));
}
