//! What a node's core does for an operation, as a primary without backups, in turns of different lengths.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kv_common::command::Command;
use pieces_bench::{KEYS, PrimaryAlone, Scattered, get, put};

fn turns(criterion: &mut Criterion) {
    let mut primary = PrimaryAlone::new();
    for first in (0..KEYS).step_by(1024) {
        primary.turn((first..first + 1024).map(put));
    }
    let mut group = criterion.benchmark_group("core");
    for (name, command) in [("put", put as fn(u64) -> Command), ("get", get)] {
        for requests in [1_usize, 16, 128] {
            let mut numbers = Scattered::default();
            group.throughput(Throughput::Elements(requests as u64));
            group.bench_function(BenchmarkId::new(name, requests), |bencher| {
                bencher.iter(|| primary.turn(numbers.by_ref().take(requests).map(command)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
