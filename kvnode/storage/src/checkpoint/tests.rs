use std::path::Path;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::history::{BaseId, History};
use kv_common::id::{Epoch, Position, Seq};
use kv_store::{Fault, MemoryStore};
use kvnode_core::state::State;

use super::{BATCH_RECORDS, Checkpoint};
use crate::log::Log;
use crate::pace::Pace;

fn put(number: usize, value: &str) -> Change {
    Change::Put {
        key: Bytes::from(format!("key-{number:06}")),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expires_at: None,
    }
}

fn batch(first: u64, changes: Vec<Change>) -> Batch {
    let mut builder = BatchBuilder::new(Epoch(1), Seq(first));
    builder.push(&EntryBody::OpenSession);
    builder.push(&EntryBody::Changes {
        request: None,
        changes,
    });
    builder.close(Seq(first - 1))
}

/// Enough for several batches to the store, a clear in the middle, and a smaller end.
fn batches() -> Vec<Batch> {
    let many = |value: &str| {
        (0..3 * BATCH_RECORDS)
            .map(|number| put(number, value))
            .collect()
    };
    let mut cleared = vec![Change::Clear];
    cleared.extend((0..BATCH_RECORDS + 9).map(|number| put(2 * number, "after the clear")));
    vec![
        batch(1, many("first")),
        batch(3, cleared),
        batch(5, vec![put(1, "last"), put(2, "last")]),
    ]
}

fn log_in(dir: &Path) -> Log {
    let mut log = Log::create(dir, BaseId::default(), Position::ZERO, 1 << 20).expect("creates");
    log.append(&batches()).expect("appends");
    log
}

fn open(map: &MemoryStore) -> Checkpoint {
    Checkpoint::over(Box::new(map.reopened())).expect("opens")
}

/// What a start makes of the checkpoint and the log: at least up to where keys may be ahead.
fn recovered(map: &MemoryStore, log: &Log, through: Seq) -> State {
    let mut checkpoint = open(map);
    let mut state = State::new(7);
    checkpoint.load(&mut state).expect("loads");
    let through = checkpoint.mark().ahead.unwrap_or_default().max(through);
    for batch in log.reader().read_from(Seq(1), usize::MAX).expect("reads") {
        for entry in batch.entries().expect("decodes") {
            let seq = entry.position.seq;
            if seq > state.applied().seq && seq <= through {
                state.apply(&entry);
            }
        }
    }
    state
}

fn model(through: Seq) -> State {
    let mut state = State::new(7);
    for batch in batches() {
        for entry in batch.entries().expect("decodes") {
            if entry.position.seq <= through {
                state.apply(&entry);
            }
        }
    }
    state
}

#[test]
fn a_crash_at_any_batch_of_a_round_leaves_an_exact_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let steps = [Seq(2), Seq(4), Seq(6)];
    let mut met_ahead = 0;
    for fault in [Fault::LoseAndFail, Fault::KeepAndFail] {
        for fail_after in 0..40 {
            let map = MemoryStore::new();
            let created = Checkpoint::create(Box::new(map.reopened()), History::default());
            let mut checkpoint = created.expect("creates");
            map.fail_after(fail_after, fault);
            let mut done = Seq::ZERO;
            for through in steps {
                if checkpoint
                    .advance(&log.reader(), through, Pace::AtOnce)
                    .is_err()
                {
                    break;
                }
                done = through;
            }
            met_ahead += usize::from(open(&map).mark().ahead.is_some());
            let state = recovered(&map, &log, done);
            let expected = model(state.applied().seq);
            assert!(state.applied().seq >= done);
            assert_eq!(
                state.digest(),
                expected.digest(),
                "{fault:?} after {fail_after}"
            );
            assert_eq!(state.sessions(), expected.sessions());
            // A later run brings it to the end.
            let mut checkpoint = open(&map);
            checkpoint
                .advance(&log.reader(), Seq(6), Pace::AtOnce)
                .expect("advances");
            assert_eq!(
                recovered(&map, &log, Seq(6)).digest(),
                model(Seq(6)).digest()
            );
        }
    }
    assert!(met_ahead > 10, "rounds were hardly ever cut");
}

#[test]
fn a_round_through_the_middle_of_a_batch_is_exact() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let map = MemoryStore::new();
    let created = Checkpoint::create(Box::new(map.reopened()), History::default());
    let mut checkpoint = created.expect("creates");
    checkpoint
        .advance(&log.reader(), Seq(3), Pace::AtOnce)
        .expect("advances");
    assert_eq!(checkpoint.applied().seq, Seq(3));
    let state = recovered(&map, &log, Seq(3));
    assert_eq!(state.digest(), model(Seq(3)).digest());
    assert_eq!(state.sessions(), model(Seq(3)).sessions());
}
