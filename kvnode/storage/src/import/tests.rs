//! An import whose runs are short: what belongs together is in different ones.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use kv_common::db_txt::Reader;
use kv_common::time::UnixMs;
use kv_store::{MemoryStore, Record, scan_all};

use super::{Target, data_key, encode_value};
use crate::checkpoint::CheckpointError;

/// The records of a file that is read in runs of at most so many bytes.
fn imported(text: &str, run_max_bytes: usize) -> Vec<Record> {
    let path = Path::new("db.txt");
    let mut target = Target::new(path, Box::new(MemoryStore::new()), run_max_bytes);
    target
        .take_all(Reader::new(text.as_bytes()))
        .expect("is a db.txt");
    let mut records = Vec::new();
    scan_all(&*target.map, b"", |record| {
        records.push(record);
        Ok::<(), CheckpointError>(())
    })
    .expect("scans");
    records
}

fn record(key: &str, value: &str, expires_at: Option<UnixMs>) -> Record {
    (
        data_key(key.as_bytes()),
        encode_value(value.as_bytes(), expires_at),
    )
}

#[test]
fn the_last_value_of_a_key_counts_in_whatever_run_it_stands() {
    let text = "b 1\na 1\nb 2\nc 1\na 2\n";
    let expected = [
        record("a", "2", None),
        record("b", "2", None),
        record("c", "1", None),
    ];
    for run_max_bytes in [1, 400, 1 << 20] {
        assert_eq!(imported(text, run_max_bytes), expected, "{run_max_bytes}");
    }
}

#[test]
fn an_expiry_finds_its_key_in_this_run_and_in_an_earlier_one() {
    let text = "a 1\nb 1\n%expires=17,b\nc 1\n%expires=18,a\n%expires=19,nobody\n";
    let expected = [
        record("a", "1", Some(UnixMs(18))),
        record("b", "1", Some(UnixMs(17))),
        record("c", "1", None),
    ];
    for run_max_bytes in [1, 400, 1 << 20] {
        assert_eq!(imported(text, run_max_bytes), expected, "{run_max_bytes}");
    }
}

#[test]
fn a_value_that_comes_later_has_no_expiry() {
    for run_max_bytes in [1, 1 << 20] {
        let text = "a 1\n%expires=17,a\na 2\n";
        assert_eq!(imported(text, run_max_bytes), [record("a", "2", None)]);
    }
}
