//! A load for some time, by many connections, and what it came to.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use kv_common::id::Address;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::etcd::EtcdConnection;
use crate::failure::Failure;
use crate::lane::{Lane, Mix, Seen};
use crate::measurement::{Labels, Measurement, parse_duration};
use crate::native::NativeConnection;
use crate::protocol::Protocol;
use crate::redis::RedisConnection;
use crate::span::{Pace, Span};

/// What load to make on whom.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What is spoken
    #[arg(long, value_enum)]
    protocol: Protocol,
    /// The server; native: the coordinator; etcd: members that share the connections
    #[arg(
        long,
        value_name = "ADDR[,ADDR…]",
        value_delimiter = ',',
        required = true
    )]
    target: Vec<Address>,
    /// Connections; each has one group of operations under way
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Operations in a group
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pipeline: u32,
    /// Redis: a WAIT for so many replicas behind each group with writes; 0: none
    #[arg(long, default_value_t = 0)]
    wait: u32,
    /// How many of all operations are reads: 0 none, 1 all
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    read_share: f64,
    /// Over how many keys operations are spread
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// The length of keys, in bytes
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// The length of values, in bytes
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    /// How long is measured
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    duration: Duration,
    /// Load before that, which is not measured
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    warm_up: Duration,
    /// Operations per second in all, due at fixed times whatever the answers take; 0: as many as are answered
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// End when this file is there, before the time is over
    #[arg(long, value_name = "FILE")]
    until_file: Option<PathBuf>,
    /// Write every key first; not measured
    #[arg(long)]
    fill: bool,
    /// What decides about keys and kinds of operations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    labels: Labels,
}

impl RunArguments {
    /// When the lane of this number begins its groups; the lanes take turns.
    fn pace(&self, lane: u32) -> Option<Pace> {
        let groups_per_s = f64::from(self.rate) / f64::from(self.pipeline);
        (self.rate > 0).then(|| {
            let between_groups = Duration::from_secs_f64(1.0 / groups_per_s);
            Pace {
                first_after: between_groups * lane,
                every: between_groups * self.connections,
            }
        })
    }
}

pub(crate) async fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let mix = Mix {
        keys: arguments.keys,
        key_bytes: arguments.key_bytes,
        value: Bytes::from(vec![b'v'; arguments.value_bytes]),
        read_share: arguments.read_share,
        pipeline: arguments.pipeline,
    };
    let mut lanes = Vec::new();
    for (number, connection) in (0_u64..).zip(open(arguments).await?) {
        let seed = arguments.seed ^ (number << 32);
        lanes.push(Lane::new(connection, mix.clone(), seed));
    }
    if arguments.fill {
        lanes = fill(lanes, arguments.keys).await?;
    }
    let span = Span::begin(arguments.warm_up, arguments.duration);
    let watcher = arguments
        .until_file
        .clone()
        .map(|file| tokio::spawn(end_with(file, span.clone())));
    let mut running = JoinSet::new();
    for (number, lane) in (0..arguments.connections).zip(lanes) {
        running.spawn(lane.run(span.clone(), arguments.pace(number)));
    }
    let mut seen = Seen::nothing();
    for one in running.join_all().await {
        seen.add(&one);
    }
    if let Some(watcher) = watcher {
        watcher.abort();
    }
    let mut measurement = Measurement::new(&arguments.labels);
    let operations = seen.latencies.len() as f64;
    let per_second = operations / span.measured().as_secs_f64();
    measurement.figure("operations_per_second", per_second);
    measurement.figure("errors", seen.errors as f64);
    measurement.latencies(&seen.latencies);
    measurement.first_error = seen.first_error;
    measurement.print()
}

/// Ends the load when the file appears.
async fn end_with(file: PathBuf, span: Span) {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    while !file.exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    span.end();
}

async fn open(arguments: &RunArguments) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::new();
    let native = match arguments.protocol {
        Protocol::Native => Some(NativeConnection::first(arguments.target.clone())?),
        Protocol::Redis | Protocol::Etcd => None,
    };
    for address in arguments
        .target
        .iter()
        .cycle()
        .take(arguments.connections as usize)
    {
        connections.push(match (arguments.protocol, &native) {
            (Protocol::Native, Some(first)) => Connection::Native(first.another()),
            (Protocol::Native, None) | (Protocol::Redis, _) => {
                Connection::Redis(RedisConnection::open(address, arguments.wait).await?)
            }
            (Protocol::Etcd, _) => Connection::Etcd(EtcdConnection::open(address).await?),
        });
    }
    // Fewer targets than connections are used in turn; for native clients there is one cluster.
    Ok(connections)
}

/// Has each lane write its share of the keys.
async fn fill(lanes: Vec<Lane>, keys: u64) -> Result<Vec<Lane>, Failure> {
    let step = lanes.len();
    let mut filling = JoinSet::new();
    for (first, lane) in (0_u64..).zip(lanes) {
        filling.spawn(lane.fill((first..keys).step_by(step).collect()));
    }
    filling.join_all().await.into_iter().collect()
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".to_owned()),
    }
}
