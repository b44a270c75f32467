//! How long a node takes from its process's start until it answers, and how much memory it needs.
//!
//! The node gets its keys from a `db.txt` and writes on top, is killed, and is started again a few
//! times: checkpoint and log are read each time, as after a crash.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use kvclient::{Client, ClientOptions};
use process_tests::{Cluster, ClusterOptions, wait_until};

const NODE: &str = "node-1";
const VALUE_BYTES: usize = 100;
/// Writes that are in the log alone.
const TAIL_WRITES_MAX: u64 = 50_000;
const WRITES_AT_ONCE: u64 = 64;
/// What an import of many millions may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Between two questions whether it answers.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Measures how long a node takes to start; prints a line of figures for each start
#[derive(Debug, Parser)]
struct Arguments {
    /// How many keys, with values of 100 bytes
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// How often it is started
    #[arg(long, default_value_t = 5)]
    starts: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let mut cluster = Cluster::without_daemons(ClusterOptions {
        nodes: 1,
        node: ["--dump-interval", "0"].map(str::to_owned).to_vec(),
        ..ClusterOptions::default()
    });
    let data_dir = cluster.data_dir(NODE);
    fs::create_dir_all(&data_dir).expect("makes a folder");
    write_db_txt(&data_dir.join("db.txt"), arguments.keys);
    cluster.start_coordinator();
    cluster.begin_start(NODE);
    wait_until("the import to end", PATIENCE, || {
        let ready = cluster.log_of(NODE).contains(" ready");
        ready.then_some(()).ok_or_else(|| cluster.log_of(NODE))
    });
    // The imported file is kept aside, and of no more use here.
    let _ = fs::remove_file(data_dir.join("db.txt.imported"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("is built");
    let tail = TAIL_WRITES_MAX.min(arguments.keys);
    runtime.block_on(write_tail(cluster.coordinator_address(), tail));
    for _ in 0..arguments.starts {
        cluster.kill_node(NODE);
        let began = Instant::now();
        cluster.begin_start(NODE);
        runtime.block_on(ask_until_answered(
            cluster.coordinator_address(),
            arguments.keys,
        ));
        let answers_ms = began.elapsed().as_millis();
        let loaded_ms = loaded_after(&cluster.log_of(NODE));
        let resident = resident_bytes(cluster.node(NODE).pid()) / arguments.keys;
        println!(
            r#"{{"row":"start","contender":"ours","figures":{{"answers_ms":{answers_ms},"loaded_ms":{loaded_ms},"resident_bytes_per_key":{resident}}}}}"#
        );
    }
}

fn key(number: u64) -> String {
    // Not in the order in which they were written.
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn write_db_txt(path: &Path, keys: u64) {
    let mut file = BufWriter::new(File::create(path).expect("creates"));
    let value = "v".repeat(VALUE_BYTES);
    for number in 0..keys {
        writeln!(file, "{} {value}", key(number)).expect("writes");
    }
    file.flush().expect("writes");
}

fn client(coordinator: &str) -> Client {
    let options = ClientOptions {
        coordinators: vec![coordinator.parse().expect("an address")],
        timeout: TIMEOUT,
        ..ClientOptions::default()
    };
    Client::connect(options).expect("a coordinator is named")
}

async fn write_tail(coordinator: &str, count: u64) {
    let client = client(coordinator);
    let mut number = 0;
    while number < count {
        let mut writes = Vec::new();
        for next in number..(number + WRITES_AT_ONCE).min(count) {
            let client = client.clone();
            let write = async move { client.put(key(next), "t".repeat(VALUE_BYTES)).await };
            writes.push(tokio::spawn(write));
        }
        for write in writes {
            write.await.expect("runs").expect("is written");
            number += 1;
        }
    }
    client.close().await;
}

async fn ask_until_answered(coordinator: &str, keys: u64) {
    let client = client(coordinator);
    let got = client.get(key(keys - 1)).await.expect("is answered");
    assert_eq!(got.map(|value| value.len()), Some(VALUE_BYTES));
    let count = client.count().await.expect("is answered");
    assert_eq!(count, keys);
    client.close().await;
}

/// What the node itself says of the time that reading took.
fn loaded_after(log: &str) -> u64 {
    let line = log.lines().find(|line| line.contains("the data is loaded"));
    let line = line.expect("every start says so");
    let number = line.split("elapsed_ms=").nth(1).expect("says how long");
    let number = number.split_whitespace().next().expect("says how long");
    number.parse().expect("a number")
}

fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("reads");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("a running process has memory")
        .parse::<u64>()
        .expect("a number")
        << 10
}
