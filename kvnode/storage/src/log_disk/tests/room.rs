//! What the log does without while its disk has little room.

use std::fs;

use super::*;

/// More than what any log here holds.
const ROOM_BYTES: u64 = 240_000;

fn options() -> StorageOptions {
    StorageOptions {
        disk_room_bytes: ROOM_BYTES,
        ..StorageOptions::default()
    }
}

/// A log of several segments, on a thread.
fn several_segments(run: &mut Run) -> (LogThread, Receiver<LogEvent>) {
    let seqs: Vec<u64> = (1..=100).collect();
    for some in seqs.chunks(10) {
        run.append(1, some).expect("appends");
    }
    run.spawn(&options())
}

fn spares(dir: &Path) -> usize {
    let names = fs::read_dir(dir).expect("lists").flatten();
    let names = names.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"spare-"));
    names.count()
}

/// The log begins before `needed_from`, close to it, and has everything from there on.
fn expect_only_what_is_needed(run: &Run, log_from: Seq, needed_from: u64) {
    assert!(log_from <= Seq(needed_from), "{log_from}");
    assert!(log_from.0 + 25 > needed_from, "{log_from}");
    // One of those that were let go, and one that was under way.
    assert!(spares(run.dir.path()) <= 2, "they take room, too");
    let found = open_image(run.dir.path());
    let needed = run.acknowledged.range(needed_from..);
    expect_holds(
        &found,
        &needed.map(|(seq, batch)| (*seq, batch.clone())).collect(),
    );
}

fn released(events: &Receiver<LogEvent>) -> Seq {
    match events.recv_timeout(DEADLINE).expect("an event") {
        LogEvent::Released { log_from } => log_from,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_log_only_retains_goes_when_the_disk_has_little_room() {
    let mut run = Run::begin();
    let (thread, events) = several_segments(&mut run);
    let handle = thread.handle();
    run.faulty.leave(ROOM_BYTES);
    handle.release_below(Seq(80)).expect("is taken");
    handle.append(batch(1, 101)).expect("is taken");
    wait_flushed(&events, Seq(101));
    assert_eq!(handle.reader().first_seq(), Seq(1), "there was room");
    run.faulty.leave(0);
    handle.release_below(Seq(80)).expect("is taken");
    let log_from = released(&events);
    thread.stop().expect("ends");
    run.acknowledged.insert(101, batch(1, 101));
    expect_only_what_is_needed(&run, log_from, 80);
}

#[test]
fn a_log_that_met_a_full_disk_gives_up_what_it_only_retains() {
    let mut run = Run::begin();
    let (thread, events) = several_segments(&mut run);
    let handle = thread.handle();
    handle.release_below(Seq(80)).expect("is taken");
    handle.append(batch(1, 101)).expect("is taken");
    wait_flushed(&events, Seq(101));
    run.acknowledged.insert(101, batch(1, 101));
    run.faulty.leave(0);
    run.faulty.fail_spare(Fault::Full);
    run.faulty.fail_at(0, Fault::Full);
    for seq in 102..=200 {
        handle.append(batch(1, seq)).expect("is taken");
    }
    let mut log_from = None;
    loop {
        match events.recv_timeout(DEADLINE).expect("an event") {
            LogEvent::Flushed { through } => {
                run.acknowledged.insert(through.0, batch(1, through.0));
            }
            LogEvent::Released { log_from: from } => log_from = Some(from),
            LogEvent::Failed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    thread.stop().expect("ends");
    expect_only_what_is_needed(&run, log_from.expect("was let go"), 80);
}

#[test]
fn appending_slows_down_while_the_checkpoint_is_behind_and_the_disk_has_little_room() {
    let mut run = Run::begin();
    run.faulty.leave(ROOM_BYTES / 2 - 1);
    let (thread, events) = run.spawn(&options());
    let handle = thread.handle();
    handle.release_below(Seq(1)).expect("is taken");
    for seq in 1..=40 {
        handle.append(batch(1, seq)).expect("is taken");
        wait_flushed(&events, Seq(seq));
        let slowed_down = handle.pulse().slowed_down();
        assert!(!slowed_down || seq > 13, "too early: {seq}");
    }
    assert!(handle.pulse().slowed_down());
    run.faulty.leave(ROOM_BYTES / 2);
    handle.release_below(Seq(1)).expect("is taken");
    handle.append(batch(1, 41)).expect("is taken");
    wait_flushed(&events, Seq(41));
    assert!(!handle.pulse().slowed_down(), "there is room again");
    thread.stop().expect("ends");
}
