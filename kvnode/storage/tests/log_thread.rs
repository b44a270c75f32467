//! The log thread: what it reports, and when.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use kv_common::history::BaseId;
use kv_common::id::{NodeId, Position, Seq};
use kv_common::message::control::FsyncMode;
use kvnode_core::input::{LinkId, Ticket};
use kvnode_storage::{Log, LogEvent, LogReadRequest, LogThread, StorageOptions};

use support::{DEADLINE, at, batch, options, wait_until};

fn start(dir: &Path, options: &StorageOptions) -> (LogThread, Receiver<LogEvent>) {
    let log = Log::create(dir, BaseId(1), Position::ZERO, options.segment_bytes).expect("creates");
    let (sender, events) = channel();
    let thread = LogThread::spawn(log, options, move |event| {
        // A test that has seen enough no longer listens.
        let _ = sender.send(event);
    });
    (thread.expect("starts"), events)
}

/// Waits for the event that `choose` wants.
fn wait_for<T>(events: &Receiver<LogEvent>, mut choose: impl FnMut(LogEvent) -> Option<T>) -> T {
    loop {
        let event = events.recv_timeout(DEADLINE).expect("an event");
        if let Some(chosen) = choose(event) {
            return chosen;
        }
    }
}

fn wait_flushed(events: &Receiver<LogEvent>, seq: u64) {
    wait_for(events, |event| match event {
        LogEvent::Flushed { through } if through == Seq(seq) => Some(()),
        _ => None,
    });
}

fn last_on_disk(dir: &Path) -> Position {
    let (log, _) = Log::open(dir, options().segment_bytes, Seq::ZERO).expect("opens");
    log.last()
}

#[test]
fn what_is_reported_as_flushed_is_in_the_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let (thread, events) = start(dir.path(), &options());
    let handle = thread.handle();
    for seq in 1..=200 {
        handle.append(batch(1, seq, 1000)).expect("is taken");
    }
    wait_flushed(&events, 200);
    assert_eq!(handle.pulse().durable_seq(), 200);
    assert!(handle.pulse().last_flush_age().is_some());
    assert_eq!(handle.pulse().pending_for(), None);
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).expect("creates");
    for entry in std::fs::read_dir(dir.path()).expect("lists") {
        let path = entry.expect("lists").path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            let name = path.file_name().expect("has a name");
            std::fs::copy(&path, copy.join(name)).expect("copies");
        }
    }
    assert_eq!(last_on_disk(&copy), at(1, 200));
    thread.stop().expect("ends");
}

#[test]
fn orders_keep_their_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let (thread, events) = start(dir.path(), &options());
    let handle = thread.handle();
    for seq in 1..=9 {
        handle.append(batch(1, seq, 10)).expect("is taken");
    }
    handle.cut_after(Seq(4), Ticket(3)).expect("is taken");
    handle.append(batch(2, 5, 10)).expect("is taken");
    let request = LogReadRequest {
        node: NodeId(8),
        link: LinkId(9),
        from: Seq(3),
        max_bytes: usize::MAX,
    };
    handle.read(request).expect("is taken");
    let gone = LogReadRequest {
        from: Seq(6),
        ..request
    };
    handle.read(gone).expect("is taken");
    let mut order = Vec::new();
    wait_for(&events, |event| match event {
        LogEvent::Flushed { through } => {
            order.push(format!("flushed {through}"));
            None
        }
        LogEvent::Cut { ticket } => {
            order.push(format!("cut {}", ticket.0));
            None
        }
        LogEvent::Read { request, batches } if request.from == Seq(3) => {
            let found = batches
                .iter()
                .map(|batch| (batch.epoch().0, batch.first().0));
            assert_eq!(found.collect::<Vec<_>>(), [(1, 3), (1, 4), (2, 5)]);
            None
        }
        LogEvent::Read { request, batches } => {
            assert_eq!((request, batches), (gone, Vec::new()));
            Some(())
        }
        other => panic!("{other:?}"),
    });
    let cut = order
        .iter()
        .position(|event| event == "cut 3")
        .expect("was cut");
    assert_eq!(order[cut - 1], "flushed 9");
    assert_eq!(order[cut + 1..], ["flushed 5"]);
    thread.stop().expect("ends");
    assert_eq!(last_on_disk(dir.path()), at(2, 5));
}

fn everysec() -> StorageOptions {
    StorageOptions {
        fsync: FsyncMode::EverySec,
        ..options()
    }
}

#[test]
fn everysec_reports_at_once_and_syncs_by_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let (thread, events) = start(dir.path(), &everysec());
    let handle = thread.handle();
    handle.append(batch(1, 1, 10)).expect("is taken");
    wait_flushed(&events, 1);
    wait_until("the second is over", || handle.pulse().durable_seq() == 1);
    handle.append(batch(1, 2, 10)).expect("is taken");
    thread.stop().expect("ends");
    assert_eq!(
        handle.pulse().durable_seq(),
        2,
        "a stop leaves nothing behind"
    );
}

#[test]
fn everysec_flushes_beside_what_is_appended_and_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let (thread, events) = start(dir.path(), &everysec());
    let handle = thread.handle();
    // Several segments, and more than is left to the second.
    for seq in 1..=80 {
        handle.append(batch(1, seq, 100_000)).expect("is taken");
    }
    wait_flushed(&events, 80);
    handle.cut_after(Seq(79), Ticket(1)).expect("is taken");
    handle.append(batch(2, 80, 100_000)).expect("is taken");
    wait_flushed(&events, 80);
    wait_until("all is on the disk", || handle.pulse().durable_seq() == 80);
    wait_until("no flush is under way", || {
        handle.pulse().pending_for().is_none()
    });
    thread.stop().expect("ends");
    assert_eq!(last_on_disk(dir.path()), at(2, 80));
}

#[test]
fn appending_slows_down_while_the_checkpoint_is_far_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let tight = StorageOptions {
        checkpoint_behind_max_bytes: 200_000,
        ..options()
    };
    let (thread, events) = start(dir.path(), &tight);
    let handle = thread.handle();
    handle.release_below(Seq(1)).expect("is taken");
    for seq in 1..=40 {
        handle.append(batch(1, seq, 10_000)).expect("is taken");
        wait_flushed(&events, seq);
        let slowed_down = handle.pulse().slowed_down();
        assert!(!slowed_down || seq > 12, "too early: {seq}");
    }
    assert!(handle.pulse().slowed_down());
    handle.release_below(Seq(40)).expect("is taken");
    handle.append(batch(1, 41, 10_000)).expect("is taken");
    wait_flushed(&events, 41);
    assert!(!handle.pulse().slowed_down());
    thread.stop().expect("ends");
}

#[test]
fn after_a_failure_nothing_is_reported_as_flushed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log");
    std::fs::create_dir(&path).expect("creates");
    let (thread, events) = start(&path, &options());
    let handle = thread.handle();
    handle.append(batch(1, 1, 10)).expect("is taken");
    wait_flushed(&events, 1);
    // No segment can be begun in a folder that is gone.
    std::fs::remove_dir_all(&path).expect("removes");
    for seq in 2..=100 {
        handle.append(batch(1, seq, 1000)).expect("is taken");
    }
    handle.append(batch(1, 101, 10)).expect("is taken");
    let failed_after = wait_for(&events, |event| match event {
        LogEvent::Failed(failure) => Some(failure.cause),
        LogEvent::Flushed { through } => {
            assert!(through < Seq(100));
            None
        }
        other => panic!("{other:?}"),
    });
    assert!(failed_after.contains("log"), "{failed_after}");
    assert!(handle.pulse().failed());
    thread.stop().expect("ends");
    assert_eq!(events.iter().count(), 0, "one failure, and then nothing");
}

#[test]
fn a_damaged_log_lets_nothing_go_and_is_no_failed_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let (thread, events) = start(dir.path(), &options());
    for seq in 1..=100 {
        thread
            .handle()
            .append(batch(1, seq, 10_000))
            .expect("is taken");
    }
    wait_flushed(&events, 100);
    thread.stop().expect("ends");
    let segments = std::fs::read_dir(dir.path()).expect("lists");
    let segments = segments.map(|entry| entry.expect("lists").path());
    let first = segments.filter(|path| path.extension().is_some_and(|end| end == "seg"));
    let first = first.min().expect("a segment");
    let file = std::fs::OpenOptions::new().write(true).open(&first);
    file.expect("opens").set_len(20_000).expect("is cut");
    let (log, opening) = Log::open(dir.path(), options().segment_bytes, Seq::ZERO).expect("opens");
    assert!(opening.damage.is_some());
    let (sender, events) = channel();
    let thread = LogThread::spawn(log, &options(), move |event| drop(sender.send(event)));
    let thread = thread.expect("starts");
    thread.handle().release_below(Seq(90)).expect("is taken");
    thread.stop().expect("ends");
    let events: Vec<LogEvent> = events.iter().collect();
    assert!(events.is_empty(), "{events:?}");
    assert!(first.exists());
}
