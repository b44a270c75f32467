//! What the machine can do at best: one flush to disk, one round trip on loopback.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;

use crate::lane::Seen;
use crate::measurement::{Labels, Measurement, parse_duration};

/// What one write of the log comes to for a small value.
const WRITE_BYTES: usize = 128;
/// The file is written through from its start, again and again.
const FILE_BYTES: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(crate) struct ProbeArguments {
    /// A folder on the disk in question
    #[arg(long)]
    directory: PathBuf,
    /// How many write and flush at the same time, each in a file of its own, as the nodes of one machine do
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    writers: u32,
    /// How long each of the two is measured
    #[arg(long, default_value = "3s", value_parser = parse_duration)]
    duration: Duration,
    #[command(flatten)]
    labels: Labels,
}

pub(crate) async fn run(arguments: &ProbeArguments) -> anyhow::Result<()> {
    let flushes = flushes_of_all(arguments)?;
    let round_trips = round_trips(arguments.duration)?;
    let mut measurement = Measurement::new(&arguments.labels);
    let at = |latencies: &Histogram<u64>, quantile| latencies.value_at_quantile(quantile) as f64;
    measurement.figure("flush_p50_ms", at(&flushes, 0.5) / 1e6);
    measurement.figure("flush_p99_ms", at(&flushes, 0.99) / 1e6);
    measurement.figure("round_trip_p50_ms", at(&round_trips, 0.5) / 1e6);
    let both_ns = at(&flushes, 0.5) + at(&round_trips, 0.5);
    measurement.figure("p50_ms", both_ns / 1e6);
    measurement.print()
}

/// The flushes of all writers, which begin together when all files are there.
fn flushes_of_all(arguments: &ProbeArguments) -> anyhow::Result<Histogram<u64>> {
    let mut files = Vec::new();
    for _ in 0..arguments.writers {
        let mut file = tempfile::tempfile_in(&arguments.directory)?;
        zero(&mut file)?;
        files.push(file);
    }
    let until = Instant::now() + arguments.duration;
    let writers: Vec<_> = files
        .into_iter()
        .map(|file| thread::spawn(move || flushes(file, until)))
        .collect();
    let mut seen = Seen::nothing().latencies;
    for writer in writers {
        let of_one = writer
            .join()
            .map_err(|_| anyhow::anyhow!("a writer panicked"))?;
        seen.add(of_one?)?;
    }
    Ok(seen)
}

/// A small write in a file that has its length already, and its `fdatasync`.
fn flushes(mut file: File, until: Instant) -> io::Result<Histogram<u64>> {
    let mut seen = Seen::nothing().latencies;
    let mut at = 0;
    while Instant::now() < until {
        if at + WRITE_BYTES as u64 > FILE_BYTES {
            at = 0;
            file.seek(SeekFrom::Start(0))?;
        }
        let begun = Instant::now();
        file.write_all(&[b'x'; WRITE_BYTES])?;
        file.sync_data()?;
        record(&mut seen, begun);
        at += WRITE_BYTES as u64;
    }
    Ok(seen)
}

fn zero(file: &mut File) -> anyhow::Result<()> {
    const PART_BYTES: usize = 1 << 20;
    for _ in 0..FILE_BYTES / PART_BYTES as u64 {
        file.write_all(&vec![0; PART_BYTES])?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// A small message to another thread on loopback, and its answer.
fn round_trips(duration: Duration) -> anyhow::Result<Histogram<u64>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut socket = TcpStream::connect(listener.local_addr()?)?;
    socket.set_nodelay(true)?;
    let (mut other, _) = listener.accept()?;
    other.set_nodelay(true)?;
    // Ends when the other side closes.
    let echo = thread::spawn(move || {
        let mut message = [0; WRITE_BYTES];
        while other.read_exact(&mut message).is_ok() && other.write_all(&message).is_ok() {}
    });
    let mut seen = Seen::nothing().latencies;
    let mut message = [b'x'; WRITE_BYTES];
    let until = Instant::now() + duration;
    while Instant::now() < until {
        let begun = Instant::now();
        socket.write_all(&message)?;
        socket.read_exact(&mut message)?;
        record(&mut seen, begun);
    }
    drop(socket);
    let _ = echo.join();
    Ok(seen)
}

fn record(latencies: &mut Histogram<u64>, begun: Instant) {
    let took_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    latencies.saturating_record(took_ns);
}
