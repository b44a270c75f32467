//! The applied state: entries that change keys that are there, and keys that are new.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kv_common::entry::{Change, Entry, EntryBody};
use kv_common::id::{Epoch, Position, Seq};
use kvnode_core::state::{State, WARMED_MAX};
use pieces_bench::{KEYS, Scattered, VALUE, key};

/// Keys that are put into an empty state at once.
const NEW_KEYS: u64 = 1 << 14;

fn entry(seq: u64, number: u64) -> Entry {
    Entry {
        position: Position {
            epoch: Epoch(1),
            seq: Seq(seq),
        },
        body: EntryBody::Changes {
            request: None,
            changes: vec![Change::Put {
                key: key(number),
                value: Bytes::from_static(&VALUE),
                expires_at: None,
            }],
        },
    }
}

fn changed_key(entry: &Entry) -> Option<&[u8]> {
    match &entry.body {
        EntryBody::Changes { changes, .. } => match changes.first()? {
            Change::Put { key, .. } => Some(key),
            _ => None,
        },
        _ => None,
    }
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    let mut state = State::new(1);
    for number in 0..KEYS {
        state.load_value(&key(number), &VALUE, None);
    }
    let (mut numbers, mut seq) = (Scattered::default(), 0);
    group.throughput(Throughput::Elements(1));
    group.bench_function("overwrite", |bencher| {
        let next = || {
            seq += 1;
            entry(seq, numbers.next().unwrap_or(0))
        };
        bencher.iter_batched(next, |entry| state.apply(&entry), BatchSize::SmallInput);
    });
    group.throughput(Throughput::Elements(WARMED_MAX as u64));
    for (name, warms) in [("overwrite-some", false), ("overwrite-some-warmed", true)] {
        group.bench_function(name, |bencher| {
            let next = || -> Vec<Entry> {
                let entries = numbers.by_ref().take(WARMED_MAX);
                let entries = entries.map(|number| {
                    seq += 1;
                    entry(seq, number)
                });
                entries.collect()
            };
            let overwrite = |entries: Vec<Entry>| {
                if warms {
                    state.warm(entries.iter().filter_map(changed_key));
                }
                for entry in &entries {
                    state.apply(entry);
                }
            };
            bencher.iter_batched(next, overwrite, BatchSize::SmallInput);
        });
    }
    group.throughput(Throughput::Elements(NEW_KEYS));
    group.bench_function("fill", |bencher| {
        let keys: Vec<Bytes> = (0..NEW_KEYS).map(key).collect();
        let fill = |mut state: State| {
            for key in &keys {
                state.load_value(black_box(key), &VALUE, None);
            }
            state
        };
        bencher.iter_batched(|| State::new(1), fill, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, changes);
criterion_main!(benches);
