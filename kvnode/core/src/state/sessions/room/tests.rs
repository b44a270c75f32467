//! Bounds of what sessions keep.

use bytes::Bytes;
use kv_common::entry::{Entry, EntryBody, RequestRecord};
use kv_common::id::{Epoch, Position, RequestId, Seq, SessionId};
use kv_common::refusal::Refusal;
use proptest::collection::vec;
use proptest::prelude::{prop_assert_eq, proptest};

use super::super::{RECORD_MEMORY_BYTES, Sessions};
use super::Room;

const ROOM: Room = Room {
    session_bytes: 10_000,
    shard_bytes: 30_000,
};

fn at(seq: u64) -> Position {
    Position {
        epoch: Epoch(1),
        seq: Seq(seq),
    }
}

/// A request that is answered with so many bytes in all.
fn record(session: SessionId, number: u64, floor: u64, bytes: u64) -> RequestRecord {
    let length = usize::try_from(bytes - RECORD_MEMORY_BYTES).expect("small");
    RequestRecord {
        id: RequestId { session, number },
        floor,
        reply: Bytes::from(vec![7; length]),
    }
}

fn log(sessions: &mut Sessions, seq: u64, record: RequestRecord) {
    sessions.apply(&Entry {
        position: at(seq),
        body: EntryBody::Changes {
            request: Some(record),
            changes: Vec::new(),
        },
    });
}

fn with_sessions(count: u64) -> (Sessions, Vec<SessionId>) {
    let mut sessions = Sessions::new();
    for seq in 1..=count {
        sessions.apply(&Entry {
            position: at(seq),
            body: EntryBody::OpenSession,
        });
    }
    let ids = sessions.ids().collect();
    (sessions, ids)
}

#[test]
fn a_session_keeps_so_many_bytes_until_its_floor_goes_up() {
    let (mut sessions, ids) = with_sessions(1);
    let id = ids[0];
    log(&mut sessions, 2, record(id, 2, 0, 4_000));
    log(&mut sessions, 3, record(id, 3, 0, 4_000));
    let check = |record| sessions.check_room_within(ROOM, &record);
    assert_eq!(check(record(id, 4, 0, 2_000)), Ok(()));
    let full = Refusal::BeyondWindow {
        number: 4,
        floor: 0,
        window: 3,
    };
    assert_eq!(check(record(id, 4, 0, 2_001)), Err(full));
    assert_eq!(check(record(id, 4, 2, 6_000)), Ok(()), "its floor counts");
    // Nothing could ever go on if this one had to wait.
    assert_eq!(check(record(id, 1, 0, 9_000)), Ok(()));
    assert_eq!(check(record(id, 5, 3, 20_000)), Ok(()), "one alone");
}

#[test]
fn all_sessions_together_keep_so_many_bytes() {
    let (mut sessions, ids) = with_sessions(4);
    for (seq, id) in (10..).zip(&ids[..3]) {
        log(&mut sessions, seq, record(*id, 1, 0, 9_000));
    }
    let check = |sessions: &Sessions, record| sessions.check_room_within(ROOM, &record);
    assert_eq!(check(&sessions, record(ids[3], 1, 0, 3_000)), Ok(()));
    let full = Err(Refusal::Overloaded {
        waiting_bytes: 27_000,
    });
    assert_eq!(check(&sessions, record(ids[3], 1, 0, 3_001)), full);
    log(&mut sessions, 20, record(ids[3], 1, 0, 9_000));
    // Above the bound by what was logged at the same time: who frees as much as he takes goes on.
    assert_eq!(check(&sessions, record(ids[0], 2, 1, 9_000)), Ok(()));
    assert!(check(&sessions, record(ids[0], 2, 1, 9_001)).is_err());
    sessions.apply(&Entry {
        position: at(21),
        body: EntryBody::EndSessions(ids[..2].to_vec()),
    });
    assert_eq!(check(&sessions, record(ids[2], 2, 1, 9_001)), Ok(()));
}

proptest! {
    /// The sums are those of a copy that had the same sessions stored and loaded.
    #[test]
    fn what_is_kept_is_counted(requests in vec((0..3_usize, 1..20_u64, 0..20_u64, 0..500_u64, 0..10_u8), 0..60)) {
        let (mut sessions, ids) = with_sessions(3);
        for (seq, (index, number, floor, length, ends)) in (10..).zip(requests) {
            log(&mut sessions, seq, record(ids[index], number, floor, RECORD_MEMORY_BYTES + length));
            if ends == 0 {
                let body = EntryBody::EndSessions(vec![ids[index]]);
                sessions.apply(&Entry { position: at(seq), body });
            }
        }
        let mut loaded = Sessions::new();
        for id in sessions.ids() {
            let encoded = sessions.encode(id).expect("is open");
            // Twice: one takes the place of the other.
            loaded.load(id, &encoded).expect("loads");
            loaded.load(id, &encoded).expect("loads");
        }
        prop_assert_eq!(loaded, sessions);
    }
}
