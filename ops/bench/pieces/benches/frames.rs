//! Messages as frames, and batches of the log: written and read.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kv_common::batch::Batch;
use kv_common::message::client::ClientToNode;
use kv_net::{encode_frame, take_frame};
use pieces_bench::{batch, put_request};

const FRAME_MAX_BYTES: usize = 1 << 20;

fn frames(criterion: &mut Criterion) {
    let request = put_request();
    let mut frame = BytesMut::new();
    encode_frame(&request, FRAME_MAX_BYTES, &mut frame).expect("it fits");
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode", |bencher| {
        let mut out = BytesMut::with_capacity(4096);
        bencher.iter(|| {
            out.clear();
            encode_frame(black_box(&request), FRAME_MAX_BYTES, &mut out).expect("it fits");
        });
    });
    group.bench_function("decode", |bencher| {
        let take = |mut input: BytesMut| -> Option<ClientToNode> {
            take_frame(&mut input, FRAME_MAX_BYTES).expect("a frame")
        };
        bencher.iter_batched(|| frame.clone(), take, BatchSize::SmallInput);
    });
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for entries in [1, 128] {
        group.throughput(Throughput::Elements(entries));
        group.bench_function(BenchmarkId::new("encode", entries), |bencher| {
            bencher.iter(|| batch(black_box(entries)));
        });
        let bytes = batch(entries).bytes().clone();
        group.bench_function(BenchmarkId::new("decode", entries), |bencher| {
            let parse = |bytes| Batch::parse(bytes).and_then(|batch| batch.entries());
            bencher.iter_batched(|| bytes.clone(), parse, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, frames, batches);
criterion_main!(benches);
