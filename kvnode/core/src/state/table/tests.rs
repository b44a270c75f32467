//! The table against a plain map, and what walks promise.

use std::collections::{BTreeMap, BTreeSet};

use kv_common::time::UnixMs;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Glob, PAGE_BYTES_MAX, PAGE_KEYS_MAX, Table};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>, Option<UnixMs>),
    Remove(Vec<u8>),
    Clear,
    Free,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u16..300).prop_map(|number| number.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..100),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        20 => vec(any::<u8>(), 0..4),
        1 => any::<u8>().prop_map(|byte| vec![byte; 17_000]),
    ];
    let expiry = proptest::option::of((0u64..50).prop_map(UnixMs));
    prop_oneof![
        60 => (key(), value, expiry).prop_map(|(key, value, at)| Step::Put(key, value, at)),
        30 => key().prop_map(Step::Remove),
        1 => Just(Step::Clear),
        5 => Just(Step::Free),
    ]
}

fn take(step: &Step, table: &mut Table, model: &mut Model) {
    match step {
        Step::Put(key, value, at) => {
            table.put(key, value, *at);
            model.insert(key.clone(), (value.clone(), *at));
        }
        Step::Remove(key) => {
            assert_eq!(table.remove(key), model.remove(key).is_some());
        }
        Step::Clear => {
            table.clear();
            model.clear();
        }
        Step::Free => {
            table.free_some();
        }
    }
}

fn assert_same(table: &Table, model: &Model) {
    assert_eq!(table.keys(), model.len() as u64);
    for (key, (value, at)) in model {
        let record = table.get(key).expect("the model has it");
        assert_eq!((record.key(), record.value()), (&key[..], &value[..]));
        assert_eq!(record.expires_at(), *at);
    }
    let mut by_time: Vec<_> = model
        .iter()
        .filter_map(|(key, (_, at))| at.map(|at| (at, key.clone())))
        .collect();
    by_time.sort();
    let due = table.expiry().due(UnixMs(u64::MAX));
    let due: Vec<_> = due.map(|(key, at)| (at, key.to_vec())).collect();
    assert_eq!(due, by_time);

    let mut again = Table::new(77);
    for (key, (value, at)) in model.iter().rev() {
        again.put(key, value, *at);
    }
    assert_eq!(again.digest(), table.digest());
}

/// One page, as the keys in it and the cursor for the next.
fn page(table: &Table, cursor: u64, limit: u32) -> (Vec<Vec<u8>>, u64) {
    let page = table.scan(cursor, limit, None);
    let keys = page.records.iter().map(|record| record.key().to_vec());
    (keys.collect(), page.cursor)
}

proptest! {
    #[test]
    fn the_table_is_a_map(steps in vec(step(), 0..400)) {
        let (mut table, mut model) = (Table::new(1), Model::new());
        for step in &steps {
            take(step, &mut table, &mut model);
        }
        assert_same(&table, &model);
    }

    /// Every key that is there from the first page to the last is met once, whatever else happens
    /// between pages, and even if the pages come from two copies that were filled differently.
    #[test]
    fn a_walk_meets_what_stays(
        before in vec(step(), 0..400),
        during in vec(vec(step(), 0..20), 1..20),
        limit in 1u32..60,
    ) {
        let (mut first, mut model) = (Table::new(5), Model::new());
        for step in &before {
            take(step, &mut first, &mut model);
        }
        let mut second = Table::new(5);
        for (key, (value, at)) in model.iter().rev() {
            second.put(key, value, *at);
        }
        let mut stays: BTreeSet<_> = model.keys().cloned().collect();
        let mut ever = stays.clone();
        let mut met = Vec::new();
        let mut cursor = 0;
        for steps in during.iter().cycle() {
            let (keys, next) = page(&first, cursor, limit);
            met.extend(keys);
            cursor = next;
            if cursor == 0 {
                break;
            }
            for step in steps {
                take(step, &mut first, &mut model.clone());
                take(step, &mut second, &mut model);
                stays.retain(|key| model.contains_key(key));
            }
            ever.extend(model.keys().cloned());
            std::mem::swap(&mut first, &mut second);
        }
        for key in &stays {
            let times = met.iter().filter(|other| *other == key).count();
            prop_assert_eq!(times, 1, "{:?}", key);
        }
        prop_assert!(met.iter().all(|key| ever.contains(key)));
    }

    #[test]
    fn any_cursor_is_taken(cursor in any::<u64>(), limit in any::<u32>()) {
        let mut table = Table::new(9);
        for number in 0..100u8 {
            table.put(&[number], b"", None);
        }
        let (keys, next) = page(&table, cursor, limit);
        prop_assert!(keys.len() <= 100);
        prop_assert!(next == 0 || next > cursor);
    }
}

#[test]
fn a_page_is_bounded_in_keys_and_bytes() {
    let mut table = Table::new(3);
    for number in 0..PAGE_KEYS_MAX as u32 + 500 {
        table.put(&number.to_le_bytes(), b"", None);
    }
    let (keys, next) = page(&table, 0, u32::MAX);
    assert_eq!(keys.len(), PAGE_KEYS_MAX);
    let (keys, next) = page(&table, next, u32::MAX);
    assert_eq!((keys.len(), next), (500, 0));
    assert_eq!(page(&table, 0, 0).0.len(), 1, "a walk with limit 0 goes on");

    table.clear();
    for number in 0..40u8 {
        table.put(&[number; 60_000], b"", None);
    }
    let (keys, next) = page(&table, 0, u32::MAX);
    assert_eq!(keys.len(), PAGE_BYTES_MAX.div_ceil(60_000));
    assert_ne!(next, 0);
}

#[test]
fn a_page_ends_when_matching_takes_too_long() {
    let mut table = Table::new(3);
    for number in 0..100u8 {
        let mut key = vec![b'a'; 20_000];
        key.push(number);
        table.put(&key, b"", None);
    }
    let slow = Glob::parse(&[&b"*"[..], &[b'a'; 200], b"!"].concat()).expect("parses");
    let page = table.scan(0, u32::MAX, Some(&slow));
    assert!(page.records.is_empty());
    assert_ne!(page.cursor, 0);
}

#[test]
fn what_was_cleared_is_freed_in_steps() {
    let mut table = Table::new(3);
    for number in 0..1000u32 {
        let at = Some(UnixMs(u64::from(number)));
        table.put(&number.to_le_bytes(), b"", at);
    }
    table.clear();
    table.put(b"after", b"", None);
    assert_eq!((table.keys(), table.expiry().next()), (1, None));
    assert!(table.free_some());
    let steps = 1 + (0..10_000).take_while(|_| table.free_some()).count();
    assert!(steps > 100, "{steps} steps");
    assert!(table.get(b"after").is_some());
}
