//! Requests of Redis clients read, and replies written.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kv_resp::{Protocol, RequestReader, Taken, Value};
use kvnode_redis::LIMITS;
use pieces_bench::{VALUE, redis_set};

fn read_all(mut input: BytesMut) -> u64 {
    let mut reader = RequestReader::new(LIMITS);
    let mut requests = 0;
    while let Some(taken) = reader.take(&mut input).expect("requests") {
        requests += u64::from(matches!(taken, Taken::Request(_)));
    }
    requests
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redis request");
    for requests in [1, 16] {
        let bytes: Vec<u8> = (0..requests).flat_map(redis_set).collect();
        assert_eq!(read_all(BytesMut::from(&bytes[..])), requests);
        group.throughput(Throughput::Elements(requests));
        group.bench_function(BenchmarkId::new("read", requests), |bencher| {
            let arrived = || BytesMut::from(black_box(&bytes[..]));
            bencher.iter_batched(arrived, read_all, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redis reply");
    group.throughput(Throughput::Elements(1));
    let value = Value::Bulk(Bytes::from_static(&VALUE));
    group.bench_function("write", |bencher| {
        let mut out = BytesMut::with_capacity(4096);
        bencher.iter(|| {
            out.clear();
            black_box(&value).write(Protocol::Resp2, &mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
