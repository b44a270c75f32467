//! Retry records.

use bytes::Bytes;
use kv_common::entry::{Entry, EntryBody, RequestRecord};
use kv_common::id::{Epoch, Position, RequestId, Seq, SessionId};
use kv_common::limits::SESSION_WINDOW;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{LookUp, SessionDecodeError, Sessions};

fn entry(seq: u64, body: EntryBody) -> Entry {
    let position = Position {
        epoch: Epoch(1),
        seq: Seq(seq),
    };
    Entry { position, body }
}

fn request(seq: u64, session: SessionId, number: u64, floor: u64) -> Entry {
    let record = RequestRecord {
        id: RequestId { session, number },
        floor,
        reply: Bytes::from(format!("reply {number}")),
    };
    let body = EntryBody::Changes {
        request: Some(record),
        changes: Vec::new(),
    };
    entry(seq, body)
}

fn opened() -> (Sessions, SessionId) {
    let mut sessions = Sessions::new();
    let open = entry(1, EntryBody::OpenSession);
    sessions.apply(&open);
    (sessions, SessionId(open.position))
}

fn look_up(sessions: &Sessions, session: SessionId, number: u64) -> LookUp {
    sessions.look_up(RequestId { session, number }, 0)
}

#[test]
fn a_request_is_found_until_the_floor_passes_it() {
    let (mut sessions, id) = opened();
    assert_eq!(look_up(&sessions, id, 1), LookUp::New);
    assert_eq!(look_up(&sessions, id, 0), LookUp::BelowFloor { floor: 0 });
    sessions.apply(&request(2, id, 1, 0));
    sessions.apply(&request(3, id, 3, 0));
    sessions.apply(&request(4, id, 2, 0));
    for (number, seq) in [(1, 2), (2, 4), (3, 3)] {
        let answered = LookUp::Answered {
            seq: Seq(seq),
            reply: Bytes::from(format!("reply {number}")),
        };
        assert_eq!(look_up(&sessions, id, number), answered);
    }
    sessions.apply(&request(5, id, 4, 2));
    assert_eq!(look_up(&sessions, id, 2), LookUp::BelowFloor { floor: 2 });
    assert!(matches!(look_up(&sessions, id, 3), LookUp::Answered { .. }));
    sessions.apply(&request(6, id, 5, 1));
    let below = LookUp::BelowFloor { floor: 2 };
    assert_eq!(look_up(&sessions, id, 2), below, "a floor never falls");
}

#[test]
fn numbers_may_go_a_window_above_the_floor() {
    let (mut sessions, id) = opened();
    sessions.apply(&request(2, id, 8, 7));
    assert_eq!(look_up(&sessions, id, 7 + SESSION_WINDOW), LookUp::New);
    let beyond = LookUp::BeyondWindow { floor: 7 };
    assert_eq!(look_up(&sessions, id, 8 + SESSION_WINDOW), beyond);
    assert_eq!(look_up(&sessions, id, u64::MAX), beyond);
    let beyond = RequestId {
        session: id,
        number: 8 + SESSION_WINDOW,
    };
    let with_newer_floor = sessions.look_up(beyond, 8);
    assert_eq!(with_newer_floor, LookUp::New, "the client's floor counts");
}

#[test]
fn a_session_that_ended_is_unknown_for_good() {
    let (mut sessions, id) = opened();
    sessions.apply(&entry(2, EntryBody::OpenSession));
    assert_eq!((sessions.len(), sessions.ids().count()), (2, 2));
    sessions.apply(&entry(3, EntryBody::EndSessions(vec![id])));
    sessions.apply(&request(4, id, 1, 0));
    assert_eq!(look_up(&sessions, id, 1), LookUp::Unknown);
    assert_eq!(sessions.encode(id), None);
    assert!(!sessions.contains(id));
    assert_eq!(sessions.len(), 1);
}

#[test]
fn bytes_that_are_no_session_are_refused() {
    let (mut sessions, id) = opened();
    sessions.apply(&request(2, id, 5, 3));
    sessions.apply(&request(3, id, 6, 3));
    let good = sessions.encode(id).expect("it is open").to_vec();
    let load = |bytes: &[u8]| Sessions::new().load(id, bytes);
    for end in 0..good.len() {
        assert_eq!(load(&good[..end]), Err(SessionDecodeError::Short), "{end}");
    }
    let long = [&good[..], b"x"].concat();
    assert_eq!(load(&long), Err(SessionDecodeError::TooLong { left: 1 }));
    let mut newer = good.clone();
    newer[0] = 2;
    let version = SessionDecodeError::UnknownVersion { version: 2 };
    assert_eq!(load(&newer), Err(version));
    let mut disordered = good.clone();
    disordered[1] = 5;
    let order = SessionDecodeError::OutOfOrder { number: 5 };
    assert_eq!(load(&disordered), Err(order));
    let mut endless = good;
    endless[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(load(&endless), Err(SessionDecodeError::Short));
}

proptest! {
    #[test]
    fn a_stored_session_loads_as_it_was(requests in vec((1u64..60, 0u64..60), 0..80)) {
        let (mut sessions, id) = opened();
        for (seq, (number, floor)) in requests.into_iter().enumerate() {
            sessions.apply(&request(seq as u64 + 2, id, number, floor));
        }
        let encoded = sessions.encode(id).expect("it is open");
        let mut loaded = Sessions::new();
        loaded.load(id, &encoded).expect("it was stored so");
        prop_assert_eq!(&loaded, &sessions);
    }

    /// The newest record of each number above the floor, as a plain map has it.
    #[test]
    fn records_are_those_above_the_floor(requests in vec((1u64..40, 0u64..20), 0..80)) {
        let (mut sessions, id) = opened();
        let mut model = std::collections::BTreeMap::new();
        let mut floor = 0;
        for (seq, (number, new_floor)) in (2..).zip(requests) {
            sessions.apply(&request(seq, id, number, new_floor));
            model.insert(number, Seq(seq));
            floor = floor.max(new_floor);
            model.retain(|number, _| *number > floor);
        }
        for number in 1..40 {
            let expected = match model.get(&number) {
                _ if number <= floor => LookUp::BelowFloor { floor },
                None => LookUp::New,
                Some(seq) => LookUp::Answered {
                    seq: *seq,
                    reply: Bytes::from(format!("reply {number}")),
                },
            };
            prop_assert_eq!(look_up(&sessions, id, number), expected);
        }
    }

    #[test]
    fn no_bytes_make_loading_panic(mut bytes in vec(any::<u8>(), 0..100)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let (mut sessions, id) = opened();
        let before = sessions.clone();
        if sessions.load(id, &bytes).is_err() {
            prop_assert!(sessions == before);
        }
    }
}
