//! The path through a node's log beside plain loops that write the same bytes.
//!
//! | side | what it does with a batch |
//! |---|---|
//! | append | `write` at the end of a growing file, `fdatasync`: what a program does that thinks of nothing |
//! | overwrite | `pwrite` over what was written before, `fdatasync`: as fast as the disk lets anybody be |
//! | log | hands it to the log's thread and waits until that says that it is durable |
//!
//! The sides take turns, a slice of time each, and medians are taken over the slices, so that what
//! else the machine does meets all of them.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use hdrhistogram::Histogram;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::history::BaseId;
use kv_common::id::{Epoch, Position, Seq};
use kvnode_storage::{Log, LogEvent, LogThread, SEGMENT_BYTES, StorageOptions};

/// Entries in a batch.
const BATCH_ENTRIES: [u64; 4] = [1, 16, 128, 1024];
const VALUE_BYTES: usize = 100;
/// What the plain files and the log go round in.
const RING_BYTES: u64 = 4 * SEGMENT_BYTES;
/// The log lets its head go after so many batches, as checkpoints have it do.
const RELEASE_EVERY: u64 = 64;

/// Measures a node's log beside plain loops that write the same bytes
#[derive(Debug, Parser)]
struct Arguments {
    /// A folder on the disk that is to be measured
    #[arg(long)]
    dir: PathBuf,
    /// Slices of each side, for each size of a batch
    #[arg(long, default_value_t = 101)]
    slices: usize,
    /// The length of a slice
    #[arg(long, default_value_t = 50)]
    slice_ms: u64,
}

/// Somewhere to keep batches.
trait Side {
    fn name(&self) -> &'static str;
    /// Returns when the batch is durable.
    fn keep(&mut self, batch: Batch);
}

struct Append(File);

impl Side for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn keep(&mut self, batch: Batch) {
        use std::io::Write;
        self.0.write_all(batch.bytes()).expect("writes");
        rustix::fs::fdatasync(&self.0).expect("syncs");
    }
}

struct Overwrite {
    file: File,
    at: u64,
}

impl Side for Overwrite {
    fn name(&self) -> &'static str {
        "overwrite"
    }

    fn keep(&mut self, batch: Batch) {
        let length = batch.bytes().len() as u64;
        if self.at + length > RING_BYTES {
            self.at = 0;
        }
        self.file
            .write_all_at(batch.bytes(), self.at)
            .expect("writes");
        rustix::fs::fdatasync(&self.file).expect("syncs");
        self.at += length;
    }
}

struct ThroughTheLog {
    thread: LogThread,
    events: Receiver<LogEvent>,
    batches: u64,
}

impl Side for ThroughTheLog {
    fn name(&self) -> &'static str {
        "log"
    }

    fn keep(&mut self, batch: Batch) {
        let last = batch.last();
        let handle = self.thread.handle();
        handle.append(batch).expect("is taken");
        loop {
            match self.events.recv().expect("the thread runs") {
                LogEvent::Flushed { through } if through == last => break,
                LogEvent::Failed(failure) => panic!("{failure:?}"),
                _ => {}
            }
        }
        self.batches += 1;
        if self.batches.is_multiple_of(RELEASE_EVERY) {
            handle.release_below(last).expect("is taken");
        }
    }
}

/// Makes batches of so many entries.
struct Maker {
    entries: u64,
    next: u64,
}

impl Maker {
    fn next(&mut self) -> Batch {
        let mut builder = BatchBuilder::new(Epoch(1), Seq(self.next));
        for _ in 0..self.entries {
            builder.push(&EntryBody::Changes {
                request: None,
                changes: vec![Change::Put {
                    key: Bytes::from(format!("key-{:012}", self.next)),
                    value: Bytes::from_static(&[b'v'; VALUE_BYTES]),
                    expires_at: None,
                }],
            });
            self.next += 1;
        }
        builder.close(Seq(self.next - self.entries - 1))
    }
}

/// What a side came to.
struct Figures {
    latencies_us: Histogram<u64>,
    /// Batches a second, for each slice.
    rates: Vec<f64>,
}

impl Figures {
    fn median_rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }
}

fn main() {
    let arguments = Arguments::parse();
    println!("| entries | bytes | side | batches/s | p50 µs | p99 µs | of append | of overwrite |");
    println!("|---|---|---|---|---|---|---|---|");
    for entries in BATCH_ENTRIES {
        measure(&arguments, entries);
    }
}

fn measure(arguments: &Arguments, entries: u64) {
    let folder = tempfile::tempdir_in(&arguments.dir).expect("a folder on the disk");
    let mut sides = open_sides(folder.path());
    let mut makers = [0; 3].map(|_| Maker { entries, next: 1 });
    let mut figures = [0; 3].map(|_| Figures {
        latencies_us: Histogram::new(3).expect("a precision that there is"),
        rates: Vec::new(),
    });
    let slice = Duration::from_millis(arguments.slice_ms);
    for (side, maker) in sides.iter_mut().zip(&mut makers) {
        warm_up(side.as_mut(), maker);
    }
    for _ in 0..arguments.slices {
        for ((side, maker), figures) in sides.iter_mut().zip(&mut makers).zip(&mut figures) {
            run_slice(side.as_mut(), maker, slice, figures);
        }
    }
    let rates = figures.each_ref().map(Figures::median_rate);
    let bytes = Maker { entries, next: 1 }.next().bytes().len();
    for ((side, figures), rate) in sides.iter().zip(&figures).zip(rates) {
        let percentile = |at| figures.latencies_us.value_at_quantile(at);
        println!(
            "| {entries} | {bytes} | {} | {rate:.0} | {} | {} | {:.2} | {:.2} |",
            side.name(),
            percentile(0.5),
            percentile(0.99),
            rate / rates[0],
            rate / rates[1]
        );
    }
}

/// Writes in large batches until every file has its size: a log that has run for a while takes
/// segments that it no longer needs, and makes no new ones.
fn warm_up(side: &mut dyn Side, maker: &mut Maker) {
    let entries = std::mem::replace(&mut maker.entries, BATCH_ENTRIES[3]);
    let mut written = 0;
    while written < RING_BYTES + 2 * SEGMENT_BYTES {
        let batch = maker.next();
        written += batch.bytes().len() as u64;
        side.keep(batch);
    }
    maker.entries = entries;
}

fn run_slice(side: &mut dyn Side, maker: &mut Maker, slice: Duration, figures: &mut Figures) {
    let mut spent = Duration::ZERO;
    let mut latencies = Vec::new();
    while spent < slice {
        let batch = maker.next();
        let began = Instant::now();
        side.keep(batch);
        let took = began.elapsed();
        spent += took;
        latencies.push(took);
    }
    figures
        .rates
        .push(latencies.len() as f64 / spent.as_secs_f64());
    for took in latencies {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        figures.latencies_us.saturating_record(took_us.max(1));
    }
}

fn open_sides(folder: &Path) -> [Box<dyn Side>; 3] {
    let open = |name: &str| {
        let path = folder.join(name);
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(path)
            .expect("opens")
    };
    let overwritten = open("overwritten");
    for at in (0..RING_BYTES).step_by(1 << 20) {
        overwritten.write_all_at(&[0; 1 << 20], at).expect("writes");
    }
    overwritten.sync_all().expect("syncs");
    let options = StorageOptions {
        retention_bytes: RING_BYTES,
        ..StorageOptions::default()
    };
    let dir = folder.join("log");
    std::fs::create_dir(&dir).expect("makes a folder");
    let log = Log::create(&dir, BaseId(1), Position::ZERO, options.segment_bytes).expect("creates");
    let (sender, events) = channel();
    let thread = LogThread::spawn(log, &options, move |event| drop(sender.send(event)));
    [
        Box::new(Append(open("appended"))),
        Box::new(Overwrite {
            file: overwritten,
            at: 0,
        }),
        Box::new(ThroughTheLog {
            thread: thread.expect("starts"),
            events,
            batches: 0,
        }),
    ]
}
