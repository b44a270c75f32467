//! What an opening makes of values that look like records, and of a cut that was cut off.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use bytes::{BufMut, Bytes};
use kv_common::batch::Batch;
use kv_common::entry::Change;
use kv_common::history::BaseId;
use kv_common::id::{Position, Seq};
use kvnode_storage::{Log, LogOpening};

use support::{batch, batch_of, changes, overwrite, segments};

const SEGMENT: u64 = 64 << 10;
const HEADER_BYTES: u64 = 4096;
const BATCH_HEADER_BYTES: usize = 40;
/// Of a record, before its batch.
const FRONT_BYTES: usize = 16;

fn create(dir: &Path) -> Log {
    Log::create(dir, BaseId(5), Position::ZERO, SEGMENT).expect("creates")
}

fn open(dir: &Path, witnessed: u64) -> (Log, LogOpening) {
    Log::open(dir, SEGMENT, Seq(witnessed)).expect("opens")
}

/// Where the batch is in the segment.
fn offset_of(path: &Path, batch: &Batch) -> usize {
    let bytes = fs::read(path).expect("reads");
    let header = &batch.bytes()[..BATCH_HEADER_BYTES];
    let found = bytes
        .windows(BATCH_HEADER_BYTES)
        .position(|window| window == header);
    found.expect("the batch is there")
}

/// A batch that puts a value which has, wherever records may begin, the front of one that says that
/// everything was durable. Its checksum leaves out what no client knows.
fn batch_with_a_crafted_value(seq: u64) -> Batch {
    let inner = batch_of(9, 1 << 40, 0, &[changes(vec![])]);
    let mut checked = (u64::MAX >> 1).to_le_bytes().to_vec();
    checked.extend(&inner.bytes()[..BATCH_HEADER_BYTES]);
    let mut front = b"KVR1".to_vec();
    front.put_u32_le(crc32c::crc32c(&checked));
    front.extend(checked);
    let mut value = Vec::new();
    for shift in 0..8 {
        while value.len() % 8 != shift {
            value.push(0);
        }
        value.extend(&front);
    }
    value.resize(4000, 7);
    let put = Change::Put {
        key: Bytes::from_static(b"k"),
        value: value.into(),
        expires_at: None,
    };
    batch_of(1, seq, seq - 1, &[changes(vec![put])])
}

#[test]
fn a_value_in_a_torn_tail_is_no_witness() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    log.append(&[batch(1, 1, 100)]).expect("appends");
    let torn = batch_with_a_crafted_value(2);
    log.append_unsynced(std::slice::from_ref(&torn))
        .expect("appends");
    drop(log);
    let path = &segments(dir.path())[0];
    let last_bytes = offset_of(path, &torn) + torn.bytes().len() - 8;
    overwrite(path, last_bytes as u64, &[0xff; 8]);
    let (log, opening) = open(dir.path(), 0);
    assert_eq!((log.last().seq, opening.damage), (Seq(1), None));
}

#[test]
fn a_value_in_a_segment_that_is_used_again_is_no_witness() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    let mut seq = 0;
    while segments(dir.path()).len() < 6 {
        seq += 1;
        log.append(&[batch_with_a_crafted_value(seq)])
            .expect("appends");
    }
    log.release_below(Seq(seq), 0).expect("releases");
    let before = segments(dir.path());
    while segments(dir.path()) == before {
        seq += 1;
        log.append(&[batch(1, seq, 2000)]).expect("appends");
    }
    drop(log);
    let (log, opening) = open(dir.path(), 0);
    assert_eq!((log.last().seq, opening.damage), (Seq(seq), None));
}

/// The note that a cut leaves while it is under way, as ARCHITECTURE.md lays it out.
fn note_a_cut(dir: &Path, segment: u64, offset: u64) {
    let mut fields = Vec::new();
    fields.put_u64_le(segment);
    fields.put_u64_le(offset);
    let mut note = b"KVCUT001".to_vec();
    note.put_u32_le(crc32c::crc32c(&fields));
    note.extend(fields);
    fs::write(dir.join("CUT"), note).expect("writes");
}

/// What a cut after entry 15 of 20 leaves when only a part of its zeros arrived.
fn cut_off_cut(dir: &Path) {
    let mut log = create(dir);
    for seq in 1..=20 {
        log.append(&[batch(1, seq, 1000)]).expect("appends");
    }
    drop(log);
    let path = &segments(dir)[0];
    let end = offset_of(path, &batch(1, 16, 1000)) - FRONT_BYTES;
    let end = end as u64;
    note_a_cut(dir, 1, end);
    overwrite(path, end, &[0; 1100]);
}

#[test]
fn a_cut_that_was_cut_off_is_done_again() {
    let dir = tempfile::tempdir().expect("a folder");
    cut_off_cut(dir.path());
    let (mut log, opening) = open(dir.path(), 15);
    assert_eq!((log.last().seq, opening.damage), (Seq(15), None));
    assert!(!dir.path().join("CUT").exists(), "it is done");
    log.append(&[batch(2, 16, 10)]).expect("appends");
    drop(log);
    let (log, opening) = open(dir.path(), 16);
    assert_eq!((log.last().seq, opening.damage), (Seq(16), None));
}

#[test]
fn without_its_note_a_cut_that_was_cut_off_looks_like_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    cut_off_cut(dir.path());
    fs::remove_file(dir.path().join("CUT")).expect("removes");
    let (_, opening) = open(dir.path(), 15);
    assert!(opening.damage.is_some());
}

#[test]
fn segments_behind_a_cut_that_was_cut_off_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    let mut seq = 0;
    while segments(dir.path()).len() < 4 {
        seq += 1;
        log.append(&[batch(1, seq, 2000)]).expect("appends");
    }
    drop(log);
    note_a_cut(dir.path(), 1, HEADER_BYTES);
    // The last of the segments is gone, and those before it are not yet.
    fs::remove_file(&segments(dir.path())[3]).expect("removes");
    let (mut log, opening) = open(dir.path(), 0);
    assert_eq!((log.last(), opening.damage), (Position::ZERO, None));
    assert_eq!(segments(dir.path()).len(), 1);
    log.append(&[batch(2, 1, 10)]).expect("appends");
    drop(log);
    let (log, _) = open(dir.path(), 1);
    assert_eq!(log.last().seq, Seq(1));
}

#[test]
fn a_finished_cut_leaves_no_note() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = create(dir.path());
    for seq in 1..=20 {
        log.append(&[batch(1, seq, 1000)]).expect("appends");
    }
    log.cut_after(Seq(15)).expect("cuts");
    assert!(!dir.path().join("CUT").exists());
}
