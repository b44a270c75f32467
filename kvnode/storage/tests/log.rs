//! The log through stops, torn writes, cuts and damage.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, OpenOptions};
use std::path::Path;

use kv_common::batch::Batch;
use kv_common::history::BaseId;
use kv_common::id::{Position, Seq};
use kvnode_storage::{Log, LogError, LogOpening, LogReadError};
use proptest::prelude::{any, proptest};
use proptest::test_runner::Config;

use support::{at, batch, overwrite, segments, wait_until};

const SEGMENT: u64 = 64 << 10;

fn create(dir: &Path) -> Log {
    Log::create(dir, BaseId(5), Position::ZERO, SEGMENT).expect("creates")
}

fn open(dir: &Path) -> (Log, LogOpening) {
    Log::open(dir, SEGMENT, Seq::ZERO).expect("opens")
}

/// Batches of one entry each, one append each.
fn fill(log: &mut Log, epoch: u64, first: u64, last: u64, bytes: usize) {
    for seq in first..=last {
        log.append(&[batch(epoch, seq, bytes)]).expect("appends");
    }
}

fn read_all(log: &Log) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut next = log.first_seq();
    while next <= log.last().seq {
        batches.extend(log.reader().read_from(next, 10_000).expect("reads"));
        next = batches.last().expect("one at least").last().next();
    }
    batches
}

/// Where the record of the one entry `seq` begins in its segment.
fn offset_of(path: &Path, seq: u64) -> u64 {
    let bytes = fs::read(path).expect("reads");
    let found = batch(1, seq, 1000);
    let needle = &found.bytes()[..40];
    let index = bytes.windows(40).position(|window| window == needle);
    index.expect("is there") as u64 - 16
}

#[test]
fn what_was_appended_is_read_back_after_a_stop() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 100, 1000);
    log.append(&[batch(2, 101, 10), batch(2, 102, 200_000), batch(3, 103, 0)])
        .expect("appends");
    assert!(segments(dir.path()).len() > 2);
    let written = read_all(&log);
    assert_eq!(written.len(), 103);
    drop(log);
    let (log, opening) = open(dir.path());
    assert_eq!(log.last(), at(3, 103));
    assert_eq!(log.base(), BaseId(5));
    assert_eq!(opening.committed, Seq(102));
    assert_eq!((opening.tail_cut, opening.damage), (None, None));
    assert_eq!(read_all(&log), written);
    let from_within = log.reader().read_from(Seq(50), 1).expect("reads");
    assert_eq!(from_within, written[49..50]);
}

#[test]
fn reading_says_what_is_not_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 200, 1000);
    let first = log.release_below(Seq(150), 0).expect("releases");
    assert!(first > Seq(1) && first <= Seq(150), "{first}");
    let reader = log.reader();
    assert!(matches!(
        reader.read_from(Seq(1), 1),
        Err(LogReadError::Gone { first: has, .. }) if has == first
    ));
    assert!(matches!(
        reader.read_from(Seq(201), 1),
        Err(LogReadError::Beyond { last: Seq(200), .. })
    ));
    assert_eq!(reader.read_from(Seq(150), 1).expect("reads").len(), 1);
    let bounded = reader.read_through(Seq(150), Seq(152), usize::MAX);
    assert_eq!(bounded.expect("reads").len(), 3);
}

#[test]
fn a_batch_that_does_not_follow_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 2, 1, 3, 10);
    for wrong in [batch(2, 3, 10), batch(2, 5, 10), batch(1, 4, 10)] {
        assert!(matches!(log.append(&[wrong]), Err(LogError::Gap { .. })));
    }
    log.append(&[batch(2, 4, 10)]).expect("takes the right one");
}

#[test]
fn the_retention_keeps_old_segments_and_reuses_what_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 300, 1000);
    let count = segments(dir.path()).len();
    assert_eq!(
        log.release_below(Seq(300), 1 << 20).expect("releases"),
        Seq(1)
    );
    let first = log.release_below(Seq(300), 3 * SEGMENT).expect("releases");
    assert!(log.total_bytes() >= 3 * SEGMENT && first > Seq(1));
    assert!(segments(dir.path()).len() < count);
    fill(&mut log, 1, 301, 700, 1000);
    log.release_below(Seq(700), 0).expect("releases");
    fill(&mut log, 1, 701, 720, 1000);
    let written = read_all(&log);
    drop(log);
    let (log, opening) = open(dir.path());
    assert_eq!((opening.tail_cut, opening.damage), (None, None));
    assert_eq!(log.last(), at(1, 720));
    assert_eq!(read_all(&log), written);
}

#[test]
fn a_flush_in_the_background_counts_for_what_was_there_when_it_began() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    log.begin_sync().expect("nothing to do");
    assert!(!log.is_syncing());
    log.append_unsynced(&[batch(1, 1, 10)]).expect("appends");
    log.begin_sync().expect("begins");
    log.append_unsynced(&[batch(1, 2, 10)]).expect("appends");
    log.begin_sync().expect("is under way");
    wait_until("it is over", || {
        log.end_sync().expect("ends");
        !log.is_syncing()
    });
    assert_eq!(log.flushed(), Seq(1));
    log.begin_sync().expect("begins");
    log.append_unsynced(&[batch(1, 3, 10)]).expect("appends");
    log.sync()
        .expect("waits for the other and flushes the rest");
    assert_eq!((log.flushed(), log.is_syncing()), (Seq(3), false));
}

#[test]
fn a_segment_too_short_for_its_first_record_is_replaced_and_not_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 1, 100_000);
    fill(&mut log, 1, 2, 3, 1000);
    assert_eq!(segments(dir.path()).len(), 2);
    assert_eq!(log.release_below(Seq(1), 0).expect("releases"), Seq(1));
    assert_eq!(
        read_all(&log).len(),
        3,
        "nothing that counts was taken away"
    );
    assert_eq!(log.release_below(Seq(4), 0).expect("releases"), Seq(2));
    assert_eq!(read_all(&log).len(), 2);
    drop(log);
    assert_eq!(read_all(&open(dir.path()).0).len(), 2);
}

#[test]
fn a_cut_is_for_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 60, 1000);
    fill(&mut log, 2, 61, 200, 1000);
    log.cut_after(Seq(60)).expect("cuts");
    assert_eq!(log.last(), at(1, 60));
    // The same length as what was cut off, of an epoch before it.
    fill(&mut log, 1, 61, 61, 1000);
    drop(log);
    let (mut log, opening) = open(dir.path());
    assert_eq!(
        log.last(),
        at(1, 61),
        "nothing of the former tail came back"
    );
    assert_eq!((opening.tail_cut, opening.damage), (None, None));
    fill(&mut log, 3, 62, 70, 10);
    log.cut_after(Seq(0)).expect("cuts everything");
    assert_eq!(log.last(), Position::ZERO);
    fill(&mut log, 4, 1, 5, 10);
    drop(log);
    assert_eq!(open(dir.path()).0.last(), at(4, 5));
}

#[test]
fn a_cut_within_a_batch_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    let two = support::batch_of(
        1,
        1,
        0,
        &[support::changes(vec![]), support::changes(vec![])],
    );
    log.append(&[two]).expect("appends");
    assert!(matches!(
        log.cut_after(Seq(1)),
        Err(LogError::CutInsideBatch { after: Seq(1) })
    ));
    assert_eq!(log.last(), at(1, 2));
    log.append(&[batch(1, 3, 10)]).expect("goes on");
}

#[test]
fn a_tail_torn_in_the_middle_is_cut_and_not_taken_for_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 5, 1000);
    let group: Vec<Batch> = (6..=9).map(|seq| batch(1, seq, 1000)).collect();
    log.append_unsynced(&group).expect("appends");
    drop(log);
    let path = &segments(dir.path())[0];
    // The disk wrote the last records of the group and lost one before them.
    overwrite(path, offset_of(path, 7), &[0; 900]);
    let (mut log, opening) = open(dir.path());
    assert_eq!(log.last(), at(1, 6));
    assert_eq!(opening.damage, None);
    assert_eq!(opening.tail_cut.expect("is reported").last, Seq(6));
    // What the torn group left must not follow what is written now.
    log.append(&[batch(1, 7, 1000)]).expect("appends");
    drop(log);
    assert_eq!(open(dir.path()).0.last(), at(1, 7));
}

#[test]
fn a_durable_record_that_is_gone_is_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 9, 1000);
    drop(log);
    let path = &segments(dir.path())[0];
    overwrite(path, offset_of(path, 7), &[0; 900]);
    let before = fs::read(path).expect("reads");
    let (mut log, opening) = open(dir.path());
    assert_eq!(opening.damage.expect("is found").missing, Seq(7));
    assert_eq!(read_all(&log).len(), 6);
    assert!(matches!(
        log.append(&[batch(1, 7, 10)]),
        Err(LogError::Damaged(_))
    ));
    assert!(matches!(log.cut_after(Seq(3)), Err(LogError::Damaged(_))));
    assert_eq!(fs::read(path).expect("reads"), before, "nothing is touched");
}

#[test]
fn a_lost_segment_or_header_is_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 200, 1000);
    drop(log);
    let paths = segments(dir.path());
    let lost = dir.path().join("lost");
    fs::rename(&paths[1], &lost).expect("moves away");
    let (log, opening) = open(dir.path());
    assert_eq!(
        opening.damage.expect("is found").missing,
        log.last().seq.next()
    );
    fs::rename(&lost, &paths[1]).expect("moves back");
    assert_eq!(open(dir.path()).1.damage, None);
    overwrite(&paths[1], 20, &[0xff; 4]);
    assert!(open(dir.path()).1.damage.is_some());
}

#[test]
fn a_log_that_does_not_reach_what_is_known_to_have_been_in_it_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 3, 1000);
    drop(log);
    let path = &segments(dir.path())[0];
    overwrite(path, offset_of(path, 3) + 300, &[0xff; 4]);
    let before = fs::read(path).expect("reads");
    let (_, opening) = Log::open(dir.path(), SEGMENT, Seq(3)).expect("opens");
    assert_eq!(opening.damage.expect("is found").missing, Seq(3));
    assert!(fs::read(path).expect("reads") == before);
    let (log, opening) = open(dir.path());
    assert!(opening.damage.is_none() && opening.tail_cut.is_some());
    assert_eq!(log.last(), at(1, 2));
}

#[test]
fn a_segment_that_is_shorter_than_it_was_is_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    fill(&mut log, 1, 1, 3, 1000);
    drop(log);
    let path = &segments(dir.path())[0];
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.set_len(offset_of(path, 2)).expect("cuts");
    let (_, opening) = open(dir.path());
    assert_eq!(opening.damage.expect("is found").missing, Seq(2));
}

#[test]
fn a_segment_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(create(dir.path()));
    let path = &segments(dir.path())[0];
    overwrite(path, 12, &9_u32.to_le_bytes());
    let header = fs::read(path).expect("reads");
    overwrite(path, 8, &crc32c::crc32c(&header[12..64]).to_le_bytes());
    assert!(matches!(
        Log::open(dir.path(), SEGMENT, Seq::ZERO),
        Err(LogError::NewerFormat { .. })
    ));
}

proptest! {
    #![proptest_config(Config { cases: 60, ..Config::default() })]

    /// Whatever a disk does to the bytes of a log, what is read is a prefix of what was written,
    /// and if something durable is missing behind which there is more, it is called damage.
    #[test]
    fn damage_never_changes_what_is_read(
        at_permille in 0_u64..1000,
        length in 1_usize..3000,
        flip in any::<u8>(),
        cut_file in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = create(dir.path());
        fill(&mut log, 1, 1, 90, 1000);
        let written = read_all(&log);
        drop(log);
        let paths = segments(dir.path());
        let used = 4096 + 1080 * 90_u64;
        let target = used * at_permille / 1000;
        let path = &paths[usize::try_from(target / SEGMENT).expect("small") % paths.len()];
        let offset = target % SEGMENT;
        if cut_file {
            let file = OpenOptions::new().write(true).open(path).expect("opens");
            file.set_len(offset).expect("cuts");
        } else {
            let mut bytes = fs::read(path).expect("reads");
            let start = usize::try_from(offset).expect("small");
            let end = (start + length).min(bytes.len());
            bytes[start..end].iter_mut().for_each(|byte| *byte ^= flip | 1);
            fs::write(path, bytes).expect("writes");
        }
        match Log::open(dir.path(), SEGMENT, Seq::ZERO) {
            Ok((log, opening)) => {
                let read = read_all(&log);
                assert_eq!(read[..], written[..read.len()], "a prefix");
                let lost_before_the_end = read.len() < written.len() - 1;
                if lost_before_the_end && (cut_file || length < 900) {
                    assert!(opening.damage.is_some(), "{} of 90, {opening:?}", read.len());
                }
            }
            Err(error) => assert!(
                matches!(error, LogError::NoSegment { .. }),
                "{error}"
            ),
        }
    }
}
