//! A store against a model of it, through reopening, and with what it must refuse.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use kv_store::{
    DurableMap, Fault, MemoryStore, Record, SHORT_KEY_MAX_BYTES, ScanLimit, Store, StoreError,
    StoreOptions, WriteBatch, scan_all,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

fn open(path: &Path) -> Store {
    Store::open(path, StoreOptions::default()).expect("opens")
}

fn all(map: &dyn DurableMap, prefix: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    scan_all(map, prefix, |record| {
        records.push(record);
        Ok::<(), StoreError>(())
    })
    .expect("scans");
    records
}

fn put(map: &mut dyn DurableMap, key: &[u8], value: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    map.apply(batch).expect("applies");
}

/// A key whose length is at or around the border between short and long, of few kinds, so that
/// keys meet.
fn key() -> impl Strategy<Value = Bytes> {
    let length = prop_oneof![
        Just(0),
        1_usize..4,
        SHORT_KEY_MAX_BYTES - 1..SHORT_KEY_MAX_BYTES + 3,
        Just(20_000)
    ];
    (length, 0_u8..3, 0_u8..3).prop_map(|(length, first, last)| {
        let mut key = vec![7; length];
        if let Some(byte) = key.first_mut() {
            *byte = first;
        }
        if let Some(byte) = key.last_mut() {
            *byte = last;
        }
        Bytes::from(key)
    })
}

fn value() -> impl Strategy<Value = Bytes> {
    let length = prop_oneof![0_usize..20, 15_300..16_500_usize, Just(40_000)];
    (length, any::<u8>()).prop_map(|(length, fill)| Bytes::from(vec![fill; length]))
}

fn change() -> impl Strategy<Value = (Bytes, Option<Bytes>)> {
    (key(), proptest::option::weighted(0.7, value()))
}

fn check_against_model(
    map: &mut dyn DurableMap,
    model: &mut BTreeMap<Bytes, Bytes>,
    changes: &[(Bytes, Option<Bytes>)],
) {
    let mut batch = WriteBatch::new();
    for (key, value) in changes {
        match value {
            Some(value) => {
                model.insert(key.clone(), value.clone());
                batch.put(key.clone(), value.clone());
            }
            None => {
                model.remove(key);
                batch.delete(key.clone());
            }
        }
    }
    map.apply(batch).expect("applies");
    for (key, _) in changes {
        assert_eq!(map.get(key).expect("reads").as_ref(), model.get(key));
    }
    let expected: Vec<Record> = model
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(all(map, b""), expected);
    for prefix in [&b"\x01"[..], b"\x01\x07", &[0_u8]] {
        let mut within = expected.clone();
        within.retain(|(key, _)| key.starts_with(prefix));
        assert_eq!(all(map, prefix), within);
    }
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn a_store_is_an_ordered_map(
        batches in proptest::collection::vec(proptest::collection::vec(change(), 1..8), 1..8),
        reopen_after in 0_usize..8,
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("store");
        let mut store = open(&path);
        let mut memory = MemoryStore::new();
        let mut model = BTreeMap::new();
        for (index, changes) in batches.iter().enumerate() {
            let mut memory_model = model.clone();
            check_against_model(&mut memory, &mut memory_model, changes);
            check_against_model(&mut store, &mut model, changes);
            if index == reopen_after {
                drop(store);
                store = open(&path);
            }
        }
    }
}

#[test]
fn many_long_keys_with_one_beginning_come_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = open(&dir.path().join("store"));
    let start = vec![b'k'; SHORT_KEY_MAX_BYTES];
    let mut expected = vec![Bytes::from(start.clone())];
    expected.extend((0..700_u32).map(|number| {
        let mut key = start.clone();
        key.extend_from_slice(&number.to_be_bytes());
        Bytes::from(key)
    }));
    let mut batch = WriteBatch::new();
    for key in &expected {
        batch.put(key.clone(), key.slice(SHORT_KEY_MAX_BYTES..));
    }
    store.apply(batch).expect("applies");
    let keys: Vec<Bytes> = all(&store, b"").into_iter().map(|(key, _)| key).collect();
    assert!(keys == expected, "order or completeness differs");
    // A page may end in the middle of the group, and a prefix may be longer than its beginning.
    let limit = ScanLimit {
        records: 5,
        bytes: usize::MAX,
    };
    let page = store.scan(b"", Some(&expected[300]), limit).expect("scans");
    let page: Vec<Bytes> = page.into_iter().map(|(key, _)| key).collect();
    assert!(page == expected[301..306]);
    let mut prefix = start.clone();
    prefix.extend_from_slice(&[0, 0, 2]);
    assert_eq!(all(&store, &prefix).len(), 700 - 512);
}

#[test]
fn a_shorter_value_leaves_no_pieces_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("store");
    let mut store = open(&path);
    put(&mut store, b"k", &vec![1; 200_000]);
    put(&mut store, b"k", b"short");
    assert_eq!(store.get(b"k").expect("reads"), Some(Bytes::from("short")));
    drop(store);
    let db = sled_records(&path);
    assert_eq!(db, 1, "one cell for one short record");
}

/// How many cells there are in the database.
fn sled_records(path: &Path) -> usize {
    let config = sled::Config::new().path(path).segment_size(4 << 20);
    config.open().expect("opens").len()
}

#[test]
fn remove_prefix_takes_what_begins_so_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = open(&dir.path().join("store"));
    let mut batch = WriteBatch::new();
    for number in 0..3000_u32 {
        batch.put(format!("d{number}"), "x");
    }
    batch.put("c", "stays");
    batch.put("e", "stays");
    store.apply(batch).expect("applies");
    store.remove_prefix(b"d").expect("removes");
    let keys: Vec<Bytes> = all(&store, b"").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["c", "e"]);
}

#[test]
fn a_second_opening_says_that_the_store_is_in_use() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("store");
    let store = open(&path);
    let second = Store::open(&path, StoreOptions::default()).err();
    assert_eq!(second, Some(StoreError::Locked { path: path.clone() }));
    drop(store);
    open(&path);
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("holiday.jpg"), "x").expect("writes");
    let error = Store::open(dir.path(), StoreOptions::default()).err();
    assert!(
        matches!(error, Some(StoreError::Foreign { .. })),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
}

#[test]
fn a_store_of_other_settings_is_foreign() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = sled::Config::new().path(dir.path()).segment_size(1 << 20);
    drop(config.open().expect("opens"));
    let error = Store::open(dir.path(), StoreOptions::default()).err();
    assert!(
        matches!(error, Some(StoreError::Foreign { .. })),
        "{error:?}"
    );
}

#[test]
fn what_a_killed_opening_left_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("store");
    let mut store = open(&path);
    put(&mut store, b"k", b"v");
    drop(store);
    let leftover = path.join("snap.00000000000000FF.generating");
    fs::write(&leftover, "half a snapshot").expect("writes");
    let store = open(&path);
    assert_eq!(store.get(b"k").expect("reads"), Some(Bytes::from("v")));
    assert!(!leftover.exists());
}

#[test]
fn a_damaged_store_is_an_error_and_not_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("store");
    let mut store = open(&path);
    let expected: Vec<Record> = (0..2000_u32)
        .map(|number| (number.to_be_bytes().to_vec().into(), vec![1; 300].into()))
        .collect();
    let mut batch = WriteBatch::new();
    for (key, value) in &expected {
        batch.put(key.clone(), value.clone());
    }
    store.apply(batch).expect("applies");
    drop(store);
    let whole = fs::read(path.join("db")).expect("reads");
    let mut noticed = 0;
    for at in (0..whole.len().min(800_000)).step_by(40_001) {
        let copy = dir.path().join(format!("copy-{at}"));
        fs::create_dir_all(copy.join("blobs")).expect("creates");
        fs::copy(path.join("conf"), copy.join("conf")).expect("copies");
        let mut bytes = whole.clone();
        for byte in &mut bytes[at..(at + 64).min(whole.len())] {
            *byte ^= 0x5a;
        }
        fs::write(copy.join("db"), bytes).expect("writes");
        let Ok(store) = Store::open(&copy, StoreOptions::default()) else {
            noticed += 1;
            continue;
        };
        let mut records = Vec::new();
        let scanned = scan_all(&store, b"", |record| {
            records.push(record);
            Ok::<(), StoreError>(())
        });
        noticed += usize::from(scanned.is_err() || records.len() < expected.len());
        assert!(records.iter().all(|record| expected.contains(record)));
    }
    assert!(noticed > 0, "no damage was ever met");
}

#[test]
fn a_failed_write_is_the_last_one() {
    for (fault, kept) in [
        (Fault::LoseAndFail, None),
        (Fault::Full, None),
        (Fault::KeepAndFail, Some(Bytes::from("2"))),
    ] {
        let mut store = MemoryStore::new();
        store.fail_after(1, fault);
        put(&mut store, b"a", b"1");
        let mut batch = WriteBatch::new();
        batch.put("b", "2");
        let error = store
            .apply(batch.clone())
            .expect_err("a fault was asked for");
        let is_full = matches!(error, StoreError::DiskFull { .. });
        assert_eq!(is_full, fault == Fault::Full, "{error}");
        assert!(matches!(store.apply(batch), Err(StoreError::Failed { .. })));
        let mut reopened = store.reopened();
        assert_eq!(reopened.get(b"b").expect("reads"), kept);
        put(&mut reopened, b"c", b"3");
    }
}

#[test]
fn a_stalled_write_waits_for_the_end_of_the_stall() {
    let store = MemoryStore::new();
    let stall = store.stall();
    let mut writer = store.clone();
    let thread = std::thread::spawn(move || put(&mut writer, b"a", b"1"));
    assert_eq!(store.get(b"a").expect("reads"), None);
    drop(stall);
    thread.join().expect("ends");
    assert_eq!(store.get(b"a").expect("reads"), Some(Bytes::from("1")));
}
