//! A log of any bytes: reading it never panics, never changes what it calls damaged, and what it
//! calls sound is whole batches in order, the same at each opening.
//!
//! An input is one byte of flags, two for where it is split into two segments, and then what stands
//! in them: 64 bytes of header each, and records. Behind a flag the checksums are put right, so that
//! what lies behind them is reached.

#![no_main]

use std::fs;
use std::path::Path;

use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::EntryBody;
use kv_common::id::{Epoch, Seq};
use kvnode_storage::{Log, LogError};
use libfuzzer_sys::fuzz_target;

const FLAG_REPAIR: u8 = 1;
const SEGMENT_HEADER_BYTES: usize = 4096;
/// Of which so many are not always zero.
const HEADER_BYTES: usize = 64;
/// Where in them the salt begins.
const SALT: usize = 56;
const SEGMENT_BYTES: usize = 8192;
const RECORD_HEADER_BYTES: usize = 16;
const BATCH_HEADER_BYTES: usize = 40;
const ALIGNMENT: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, low, high], content)) = input.split_first_chunk() else {
        return;
    };
    let split = usize::from(u16::from_le_bytes([low, high])).min(content.len());
    let dir = tempfile::tempdir().expect("a folder");
    for part in [&content[..split], &content[split..]] {
        write_segment(dir.path(), part, flags & FLAG_REPAIR != 0);
    }
    read(dir.path());
});

/// Writes what is a segment if the bytes are right, under the name that its header asks for.
fn write_segment(dir: &Path, content: &[u8], repair: bool) {
    let header_end = content.len().min(HEADER_BYTES);
    let (header, records) = content.split_at(header_end);
    let mut file = header.to_vec();
    file.resize(SEGMENT_HEADER_BYTES, 0);
    file.extend_from_slice(records);
    file.resize(file.len().max(SEGMENT_BYTES), 0);
    if repair {
        repair_checksums(&mut file);
    }
    let first = u64_at(&file, 32);
    fs::write(dir.join(format!("{first:020}.seg")), file).expect("writes");
}

/// Puts every checksum right that stands where one is expected.
fn repair_checksums(file: &mut [u8]) {
    let crc = crc32c::crc32c(&file[12..HEADER_BYTES]);
    file[8..12].copy_from_slice(&crc.to_le_bytes());
    let mut at = SEGMENT_HEADER_BYTES;
    let front = RECORD_HEADER_BYTES + BATCH_HEADER_BYTES;
    while at + front <= file.len() {
        let batch = at + RECORD_HEADER_BYTES;
        let length = u32_at(file, batch + 4) as usize;
        let Some(end) = (at + front)
            .checked_add(length)
            .filter(|end| *end <= file.len())
        else {
            return;
        };
        let crc = crc32c::crc32c(&file[batch + 12..end]);
        file[batch + 8..batch + 12].copy_from_slice(&crc.to_le_bytes());
        let salt = crc32c::crc32c(&file[SALT..HEADER_BYTES]);
        let crc = crc32c::crc32c_append(salt, &file[at + 8..at + front]);
        file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = end.next_multiple_of(ALIGNMENT);
    }
}

fn u32_at(file: &[u8], at: usize) -> u32 {
    file[at..at + 4]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(file: &[u8], at: usize) -> u64 {
    u64::from(u32_at(file, at)) | u64::from(u32_at(file, at + 4)) << 32
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("reads")))
        .collect();
    files.sort();
    files
}

fn read(dir: &Path) {
    let before = files(dir);
    let (mut log, opening) = match Log::open(dir, SEGMENT_BYTES as u64, Seq::ZERO) {
        Ok(opened) => opened,
        Err(LogError::NoSegment { .. } | LogError::NewerFormat { .. }) => {
            return assert!(files(dir) == before, "a log that is refused is left alone");
        }
        Err(error) => panic!("{error}"),
    };
    let batches = batches_of(&log);
    assert!(opening.committed <= log.last().seq);
    if opening.damage.is_some() {
        assert!(files(dir) == before, "a damaged log is left alone");
        return;
    }
    let last = log.last();
    let Some(next) = last.seq.0.checked_add(1).filter(|next| *next < u64::MAX) else {
        return;
    };
    let mut builder = BatchBuilder::new(Epoch(last.epoch.0), Seq(next));
    builder.push(&EntryBody::OpenSession);
    log.append(&[builder.close(last.seq)])
        .expect("a sound log takes more");
    drop(log);
    let (log, opening) = Log::open(dir, SEGMENT_BYTES as u64, Seq(next)).expect("opens again");
    assert!(
        opening.damage.is_none() && opening.tail_cut.is_none(),
        "{opening:?}"
    );
    let again = batches_of(&log);
    assert!(again.len() == batches.len() + 1 && again.starts_with(&batches));
}

/// All batches, which follow each other from the log's first entry to its last.
fn batches_of(log: &Log) -> Vec<Batch> {
    let reader = log.reader();
    let mut next = log.first_seq();
    let mut batches: Vec<Batch> = Vec::new();
    while next <= log.last().seq {
        for batch in reader
            .read_from(next, 4096)
            .expect("what was found is read")
        {
            let epoch_before = batches.last().map_or(Epoch::ZERO, Batch::epoch);
            assert!(batch.first() == next && batch.epoch() >= epoch_before);
            // Of another version behind a right checksum: an error, and no panic.
            if let Ok(entries) = batch.entries() {
                assert_eq!(entries.len() as u64, batch.last().0 - batch.first().0 + 1);
            }
            next = batch.last().next();
            batches.push(batch);
        }
    }
    batches
}
