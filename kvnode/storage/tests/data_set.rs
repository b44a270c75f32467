//! A node's data through stops, crashes, dumps, imports and copies.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use kv_common::entry::{Change, EntryBody};
use kv_common::history::BaseId;
use kv_common::id::{Position, Seq, SessionId};
use kv_common::message::copy::PrimaryToJoiner;
use kv_common::time::UnixMs;
use kvnode_core::state::State;
use kvnode_storage::{
    CheckpointEvent, CopyError, CopyProgressed, CopyTarget, DataDir, DataSet, Past, StorageOptions,
    open_data_set,
};

use support::node::{Node, apply, assert_same};
use support::{at, batch, changes, copy_dir, delete, options, put, put_expiring, request};

fn importing(file: &Path) -> Past<'_> {
    Past::New {
        import_from: Some(file),
    }
}

fn reopen(path: &Path, options: &StorageOptions) -> DataSet {
    let dir = DataDir::open(path).expect("opens");
    open_data_set(&dir, options, true, Past::NEW).expect("recovers")
}

/// The state with the tail applied.
fn whole(data_set: DataSet) -> State {
    let mut state = data_set.recovered.state;
    for batch in &data_set.recovered.tail {
        apply(&mut state, batch);
    }
    state
}

/// Writes of every kind: rewritten, expiring, deleted keys, long ones, sessions, a clear.
fn write_some(node: &mut Node, epoch: u64, round: u64) {
    let session = Position {
        epoch: kv_common::id::Epoch(epoch),
        seq: node.last().next(),
    };
    node.write(epoch, &[EntryBody::OpenSession]);
    for number in 1..=20 {
        let key = format!("key-{}", (number * 7 + round) % 13);
        let value = vec![u8::try_from(number).expect("small"); 3000];
        node.write(epoch, &[request(session, number, vec![put(&key, &value)])]);
    }
    // The first session of all goes on; its records are older than any copy's start.
    let oldest = [request(at(1, 1), 100 + round, vec![put("oldest", b"x")])];
    node.write(epoch, &oldest);
    let long_key = "long".repeat(700 + usize::try_from(round).expect("small"));
    node.write(
        epoch,
        &[
            changes(vec![put(&long_key, &[7; 40_000]), delete("key-3")]),
            changes(vec![put_expiring("brief", "x", 1_000 + round)]),
            changes(vec![Change::Expire {
                key: Bytes::from_static(b"brief"),
                expires_at: UnixMs(1_000 + round),
            }]),
            changes(vec![put_expiring("lasting", "y", 9_000 + round)]),
            EntryBody::Mark,
        ],
    );
    if round % 3 == 2 {
        let again = put("again", b"after the clear");
        node.write(epoch, &[changes(vec![Change::Clear, again])]);
    }
    if round % 2 == 1 {
        node.write(epoch, &[EntryBody::EndSessions(vec![SessionId(session)])]);
    }
}

#[test]
fn everything_comes_back_however_far_behind_the_checkpoint_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = options();
    options.checkpoint_every_bytes = 40_000;
    let mut model = State::new(options.hash_seed);
    let mut log_from = Seq(1);
    for round in 0..7 {
        let mut node = Node::open(dir.path(), &options);
        assert_same(&node.model, &model);
        // In every other run the checkpoint hears of nothing, as if the node had died at once.
        node.tells_checkpoint = round % 2 == 0;
        write_some(&mut node, 1 + round / 3, round);
        if node.tells_checkpoint {
            node.dump();
        }
        model = node.stop(None);
        let found = reopen(dir.path(), &options).recovered;
        assert_eq!(found.tail.is_empty(), round % 2 == 0, "round {round}");
        log_from = found.log_from;
    }
    assert!(log_from > Seq(1), "the log's head was released");
}

#[test]
fn entries_behind_the_last_commit_mark_are_the_tail() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut found = reopen(dir.path(), &options());
    found
        .log
        .append(&[batch(1, 1, 10), batch(1, 2, 10), batch(2, 3, 10)])
        .expect("appends");
    drop(found);
    let found = reopen(dir.path(), &options()).recovered;
    // Batch 3 says that 2 was committed, and nobody says so of 3.
    assert_eq!(found.state.applied(), at(1, 2));
    assert_eq!(found.history.last(), at(2, 3));
    assert_eq!(found.tail.len(), 1);
    assert_eq!(found.tail[0].first(), Seq(3));
}

#[test]
fn a_checkpoint_ahead_of_a_log_that_lost_its_tail_is_unfit() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let mut node = Node::open(&path, &options());
    let before = dir.path().join("before");
    write_some(&mut node, 1, 0);
    node.stop(None);
    copy_dir(&path.join("gen-000001/log"), &before);
    let mut node = Node::open(&path, &options());
    write_some(&mut node, 1, 1);
    node.stop(None);
    fs::remove_dir_all(path.join("gen-000001/log")).expect("removes");
    copy_dir(&before, &path.join("gen-000001/log"));
    let found = reopen(&path, &options());
    assert!(found.recovered.unfit.is_some());
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_never_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let mut node = Node::open(&path, &options());
    write_some(&mut node, 1, 0);
    node.stop(None);
    let db = path.join("gen-000001/checkpoint/db");
    let length = fs::metadata(&db).expect("is there").len();
    fs::write(&db, vec![0x5a; usize::try_from(length).expect("small")]).expect("writes");
    for snapshot in fs::read_dir(path.join("gen-000001/checkpoint")).expect("lists") {
        let snapshot = snapshot.expect("lists").path();
        if snapshot
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("snap."))
        {
            fs::remove_file(snapshot).expect("removes");
        }
    }
    for start in 0..2 {
        let found = reopen(&path, &options()).recovered;
        assert!(found.unfit.is_some(), "start {start}");
        assert_eq!(found.history.last(), Position::ZERO);
    }
    assert!(path.join("set-aside-gen-000001/log").is_dir());
}

#[test]
fn a_dump_is_sorted_and_loads_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let mut node = Node::open(&path, &options());
    let pairs = [("m", "13"), ("b", "2"), ("a", "1")];
    node.write(
        1,
        &[changes(
            pairs
                .map(|(key, value)| put(key, value.as_bytes()))
                .to_vec(),
        )],
    );
    assert_eq!(node.dump(), b"a 1\nb 2\nm 13\n%position=1,1\n");
    write_some(&mut node, 1, 0);
    let dumped = node.dump();
    let model = node.stop(Some(path.join("at-stop.txt")));
    assert_eq!(fs::read(path.join("at-stop.txt")).expect("reads"), dumped);

    let other = dir.path().join("other");
    let file = dir.path().join("db.txt");
    fs::write(&file, &dumped).expect("writes");
    let data_dir = DataDir::open(&other).expect("opens");
    let found = open_data_set(&data_dir, &options(), true, importing(&file)).expect("imports");
    let imported = found.imported.expect("was imported");
    assert_eq!(
        (imported.keys, imported.digest),
        (model.keys(), model.digest())
    );
    assert_eq!(found.recovered.history.base(), BaseId(model.digest()));
    assert_eq!(found.recovered.history.last(), Position::ZERO);
    assert!(!file.exists() && dir.path().join("db.txt.imported").exists());
    drop((found, data_dir));

    // At the next start the base is still there, and a file that appears later is none of it.
    fs::write(&file, "x y\n").expect("writes");
    let data_dir = DataDir::open(&other).expect("opens");
    let found = open_data_set(&data_dir, &options(), true, importing(&file)).expect("opens");
    assert_eq!(found.imported, Some(imported));
    assert_eq!(found.recovered.state.digest(), model.digest());
    assert!(file.exists());
}

#[test]
fn an_export_has_no_position_and_leaves_no_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let mut node = Node::open(&path, &options());
    node.write(1, &[changes(vec![put("two words", b"")])]);
    node.handle()
        .export(4, node.last(), node.db_txt())
        .expect("is taken");
    let mut export = node.wait_for(|event| match event {
        CheckpointEvent::Exported { token: 4, outcome } => Some(outcome.expect("exports")),
        _ => None,
    });
    let mut text = String::new();
    export.file.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "%encoding=percent\ntwo%20words %\n");
    assert_eq!(export.summary.keys, 1);
    let names = fs::read_dir(&path).expect("lists");
    let names = names.map(|entry| entry.expect("lists").file_name().into_string());
    assert!(names.flatten().all(|name| !name.contains("export")));
    node.stop(None);
}

#[test]
fn an_import_that_was_cut_off_starts_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("db.txt");
    fs::write(&file, "%encoding=percent\na 1\nb %zz\n").expect("writes");
    let path = dir.path().join("node");
    let data_dir = DataDir::open(&path).expect("opens");
    let failed = open_data_set(&data_dir, &options(), true, importing(&file)).expect_err("fails");
    assert!(failed.to_string().contains("line 3"), "{failed}");
    assert!(file.exists() && !path.join("CURRENT").exists());
    fs::write(&file, "a 2 c 3\nodd\n").expect("writes");
    let found = open_data_set(&data_dir, &options(), true, importing(&file)).expect("imports");
    assert_eq!(found.imported.expect("was imported").keys, 2);
}

/// Fetches a copy, with `between` called after each message.
fn fetch(node: &mut Node, target: &mut CopyTarget, mut between: impl FnMut(&mut Node)) -> Seq {
    node.handle().begin_copy(8).expect("is taken");
    loop {
        let message = node.wait_for(|event| match event {
            CheckpointEvent::CopyMessage { copy: 8, message } => Some(message),
            _ => None,
        });
        let end = match &message {
            PrimaryToJoiner::Ends { history } => history.last().seq,
            _ => Seq::ZERO,
        };
        match target.take(message).expect("takes") {
            CopyProgressed::Begun => {}
            CopyProgressed::Taken { parts } => {
                between(node);
                node.handle().copy_taken(8, parts).expect("is taken");
            }
            CopyProgressed::Whole => return end,
        }
    }
}

#[test]
fn a_copy_taken_while_writes_and_checkpoints_go_on_is_exact() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = options();
    options.checkpoint_every_bytes = 30_000;
    let mut node = Node::open(&dir.path().join("source"), &options);
    for round in 0..4 {
        write_some(&mut node, 1, round);
    }
    // More than one window of parts.
    for number in 0..80 {
        node.write(
            1,
            &[changes(vec![put(&format!("bulk-{number}"), &[3; 200_000])])],
        );
    }
    node.dump();

    let joiner = DataDir::open(&dir.path().join("joiner")).expect("opens");
    drop(open_data_set(&joiner, &options, true, Past::NEW).expect("opens"));
    let mut target = CopyTarget::begin(&joiner, &options).expect("begins");
    let mut round = 4;
    let end = fetch(&mut node, &mut target, |node| {
        if round < 12 {
            write_some(node, 2, round);
            round += 1;
        }
    });
    assert_eq!(round, 12, "the copy was over before the writes");
    let (done, total) = target.progress();
    assert!(done > 1_000_000 && total >= done, "{done} of {total}");
    let copied = target.finish().expect("finishes");
    assert_eq!(copied.recovered.history.last().seq, end);
    assert_eq!(copied.recovered.log_from, end.next());
    assert_eq!(copied.recovered.tail.len(), 0);

    // The joiner goes on by the source's log, and holds the same.
    let mut joined = Node::over(joiner, &options, copied);
    let reader = node.log.handle().reader().clone();
    let mut next = end.next();
    while next <= node.last() {
        for batch in reader.read_from(next, 1 << 20).expect("reads") {
            next = batch.last().next();
            apply(&mut joined.model, &batch);
            joined.log.handle().append(batch).expect("is taken");
        }
    }
    assert_same(&joined.model, &node.model);
    node.stop(None);
    let path = joined.dir.path().to_owned();
    let model = joined.stop(None);
    let found = reopen(&path, &options);
    assert_same(&whole(found), &model);
    assert!(path.join("gen-000002").is_dir() && !path.join("gen-000001").exists());
}

#[test]
fn data_that_the_copy_does_not_have_is_set_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Node::open(&dir.path().join("source"), &options());
    write_some(&mut source, 5, 0);
    let file = dir.path().join("db.txt");
    fs::write(&file, "own data\n").expect("writes");
    let joiner = DataDir::open(&dir.path().join("joiner")).expect("opens");
    drop(open_data_set(&joiner, &options(), true, importing(&file)).expect("imports"));
    let mut target = CopyTarget::begin(&joiner, &options()).expect("begins");
    fetch(&mut source, &mut target, |_| {});
    let copied = target.finish().expect("finishes");
    assert_same(&copied.recovered.state, &source.stop(None));
    assert!(
        joiner
            .path()
            .join("set-aside-gen-000001/checkpoint")
            .is_dir()
    );
    assert_eq!(copied.imported, None);
}

#[test]
fn a_log_that_the_copy_does_not_have_is_set_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Node::open(&dir.path().join("source"), &options());
    write_some(&mut source, 5, 0);
    let path = dir.path().join("joiner");
    let mut former = Node::open(&path, &options());
    // Its entries are in the log, and in no checkpoint.
    former.tells_checkpoint = false;
    write_some(&mut former, 4, 0);
    former.stop(None);
    let joiner = DataDir::open(&path).expect("opens");
    let mut target = CopyTarget::begin(&joiner, &options()).expect("begins");
    fetch(&mut source, &mut target, |_| {});
    drop(target.finish().expect("finishes"));
    assert!(path.join("set-aside-gen-000001/log").is_dir());
}

#[test]
fn a_copy_that_was_cut_off_leaves_the_former_data() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Node::open(&dir.path().join("source"), &options());
    write_some(&mut source, 1, 0);
    source.dump();
    let path = dir.path().join("joiner");
    let mut joiner = Node::open(&path, &options());
    joiner.write(1, &[changes(vec![put("former", b"data")])]);
    let former = joiner.stop(None);
    let data_dir = DataDir::open(&path).expect("opens");
    let mut target = CopyTarget::begin(&data_dir, &options()).expect("begins");
    source.handle().begin_copy(1).expect("is taken");
    let mut taken = 0;
    while taken < 2 {
        let message = source.wait_for(|event| match event {
            CheckpointEvent::CopyMessage { message, .. } => Some(message),
            _ => None,
        });
        target.take(message).expect("takes");
        taken += 1;
    }
    assert!(matches!(target.finish(), Err(CopyError::Unexpected { .. })));
    drop(data_dir);
    let found = reopen(&path, &options());
    assert_same(&whole(found), &former);
    assert!(!path.join("gen-000002").exists());
    source.stop(None);
}

#[test]
fn a_copy_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let joiner = DataDir::open(dir.path()).expect("opens");
    drop(open_data_set(&joiner, &options(), true, Past::NEW).expect("opens"));
    let begun = || {
        let mut target = CopyTarget::begin(&joiner, &options()).expect("begins");
        let begins = PrimaryToJoiner::Begins {
            from: Seq(4),
            bytes_total: 0,
        };
        target.take(begins).expect("takes");
        target
    };
    let records = |key: &'static str, record: &'static [u8]| PrimaryToJoiner::Records {
        records: vec![(Bytes::from(key), Bytes::from_static(record))],
    };
    let batch_at = |seq| PrimaryToJoiner::Batch {
        bytes: batch(1, seq, 10).bytes().clone(),
    };
    assert!(begun().take(records("dkey", b"\x00value")).is_ok());
    assert!(begun().take(records("dkey", b"\x07value")).is_err());
    assert!(
        begun().take(records("m", b"\x80")).is_err(),
        "the mark is ours"
    );
    assert!(begun().take(records("sshort", b"")).is_err());
    assert!(begun().take(batch_at(5)).is_ok());
    assert!(begun().take(batch_at(6)).is_err(), "a gap");
    assert!(
        begun()
            .take(PrimaryToJoiner::Batch {
                bytes: Bytes::new()
            })
            .is_err()
    );
    let history = kv_common::history::History::default();
    assert!(
        begun().take(PrimaryToJoiner::Ends { history }).is_err(),
        "too early"
    );
    let mut target = begun();
    target.take(batch_at(5)).expect("takes");
    assert!(
        target.take(records("dkey", b"\x00value")).is_err(),
        "too late"
    );
}
