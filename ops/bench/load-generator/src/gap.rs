//! Writers that follow whoever is primary: how long nobody could write, and what was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use kv_common::id::Address;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::etcd::EtcdConnection;
use crate::failure::Failure;
use crate::lane::Operation;
use crate::measurement::{Labels, Measurement, parse_duration};
use crate::native::{self, NativeConnection};
use crate::redis::{self, RedisConnection};
use crate::reply::Reply;
use crate::sentinel;

/// Between two attempts.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);
/// How long a key is tried to be read back.
const READ_BACK_FOR: Duration = Duration::from_secs(30);

/// How the primary is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Follow {
    /// A Redis client that asks Sentinels
    Sentinel,
    /// This store's client library
    Native,
    /// An etcd client that takes the next member when one does not answer
    Etcd,
}

/// Who is written to.
#[derive(Debug, Args)]
pub(crate) struct GapArguments {
    /// How the primary is found
    #[arg(long, value_enum)]
    follow: Follow,
    /// Sentinels, the coordinator, or the members
    #[arg(
        long,
        value_name = "ADDR[,ADDR…]",
        value_delimiter = ',',
        required = true
    )]
    target: Vec<Address>,
    /// What the master is called
    #[arg(long, default_value = "mymaster")]
    name: String,
    /// Sentinel: a WAIT for so many replicas behind each write; 0: none
    #[arg(long, default_value_t = 0)]
    wait: u32,
    /// Writers
    #[arg(long, default_value_t = 8)]
    writers: u32,
    /// How long
    #[arg(long, default_value = "6s", value_parser = parse_duration)]
    duration: Duration,
    /// How long an attempt may take, before a writer looks for another primary; not for native, whose
    /// library decides by itself
    #[arg(long, default_value = "200ms", value_parser = parse_duration)]
    attempt_timeout: Duration,
    #[command(flatten)]
    labels: Labels,
}

/// The times of acknowledged writes, of all writers together.
#[derive(Debug)]
struct Acknowledgements {
    start: Instant,
    /// Since `start`; 0 before the first.
    last_ns: AtomicU64,
    longest_gap_ns: AtomicU64,
    count: AtomicU64,
}

impl Acknowledgements {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ns: AtomicU64::new(0),
            longest_gap_ns: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    fn note(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.look();
    }

    /// Ends a gap that nothing has ended.
    fn look(&self) {
        let now_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let last_ns = self.last_ns.swap(now_ns.max(1), Ordering::Relaxed);
        if last_ns > 0 {
            let gap_ns = now_ns.saturating_sub(last_ns);
            self.longest_gap_ns.fetch_max(gap_ns, Ordering::Relaxed);
        }
    }
}

/// One writer with a key of its own, whose value goes up.
struct Writer {
    key: Bytes,
    acknowledged: u64,
    failed: u64,
    first_error: Option<String>,
    route: Route,
}

/// A writer's way to whoever is primary.
enum Route {
    Sentinel {
        sentinels: Vec<Address>,
        name: String,
        wait: u32,
        connection: Option<RedisConnection>,
    },
    Native(NativeConnection),
    Etcd {
        members: Vec<Address>,
        turn: usize,
        connection: Option<EtcdConnection>,
    },
}

pub(crate) async fn run(arguments: &GapArguments) -> anyhow::Result<()> {
    let acknowledgements = Arc::new(Acknowledgements::new());
    let until = Instant::now() + arguments.duration;
    let mut writing = JoinSet::new();
    for number in 0..arguments.writers {
        let writer = Writer {
            key: Bytes::from(format!("gap/{}/{number}", std::process::id())),
            acknowledged: 0,
            failed: 0,
            first_error: None,
            route: route(arguments, number)?,
        };
        let (noted, attempt) = (Arc::clone(&acknowledgements), arguments.attempt_timeout);
        writing.spawn(writer.run(until, attempt, noted));
    }
    let writers = writing.join_all().await;
    acknowledgements.look();
    let mut measurement = Measurement::new(&arguments.labels);
    let gap_ns = acknowledgements.longest_gap_ns.load(Ordering::Relaxed);
    let acknowledged = acknowledgements.count.load(Ordering::Relaxed);
    measurement.figure("longest_gap_ms", gap_ns as f64 / 1e6);
    measurement.figure("acknowledged", acknowledged as f64);
    let failed: u64 = writers.iter().map(|writer| writer.failed).sum();
    measurement.figure("failed_attempts", failed as f64);
    let mut errors = writers.iter().filter_map(|w| w.first_error.clone());
    measurement.first_error = errors.next();
    measurement.figure(
        "lost",
        lost(writers, arguments.attempt_timeout).await? as f64,
    );
    measurement.print()
}

fn route(arguments: &GapArguments, number: u32) -> Result<Route, Failure> {
    let target = arguments.target.clone();
    Ok(match arguments.follow {
        Follow::Native => Route::Native(NativeConnection::first(target)?),
        Follow::Etcd => Route::Etcd {
            members: target,
            turn: number as usize,
            connection: None,
        },
        Follow::Sentinel => Route::Sentinel {
            sentinels: target,
            name: arguments.name.clone(),
            wait: arguments.wait,
            connection: None,
        },
    })
}

/// Acknowledged writes that are not there any more.
async fn lost(writers: Vec<Writer>, attempt: Duration) -> anyhow::Result<u64> {
    let mut lost = 0;
    for mut writer in writers {
        let until = Instant::now() + READ_BACK_FOR;
        let found = loop {
            match writer.route.get(&writer.key, attempt).await {
                Ok(value) => break value,
                Err(failure) if Instant::now() > until => {
                    anyhow::bail!("a key cannot be read back: {failure}")
                }
                Err(_) => {
                    writer.route.start_over();
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        };
        lost += writer.acknowledged.saturating_sub(found);
    }
    Ok(lost)
}

impl Writer {
    async fn run(
        mut self,
        until: Instant,
        attempt: Duration,
        acknowledgements: Arc<Acknowledgements>,
    ) -> Self {
        let mut counter = 0;
        while Instant::now() < until {
            counter += 1;
            match self.route.put(&self.key, counter, attempt).await {
                Ok(()) => {
                    self.acknowledged = counter;
                    acknowledgements.note();
                }
                Err(failure) => {
                    self.failed += 1;
                    self.first_error.get_or_insert_with(|| failure.to_string());
                    self.route.start_over();
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
        self
    }
}

impl Route {
    /// Another connection next time, perhaps to somebody else.
    fn start_over(&mut self) {
        match self {
            Self::Sentinel { connection, .. } => *connection = None,
            Self::Etcd {
                connection, turn, ..
            } => {
                *connection = None;
                *turn += 1;
            }
            // The library follows by itself.
            Self::Native(_) => {}
        }
    }

    async fn put(&mut self, key: &Bytes, counter: u64, attempt: Duration) -> Result<(), Failure> {
        let value = Bytes::from(counter.to_string());
        let key = key.clone();
        match self {
            Self::Native(native) => {
                let put = native.client().put(key, value).await;
                put.map_err(|error| native::failure(&error))
            }
            Self::Sentinel { wait, .. } => {
                let wait = *wait;
                let put = async {
                    let connection = self.redis().await?;
                    let done = connection.ask(&[b"SET", &key, &value]).await?;
                    if let Reply::Error(error) = done {
                        return Err(Failure::Refused(error));
                    }
                    if wait > 0 {
                        let wait_text = wait.to_string();
                        let words: [&[u8]; 3] = [b"WAIT", wait_text.as_bytes(), b"0"];
                        redis::enough(connection.ask(&words).await?, wait)?;
                    }
                    Ok(())
                };
                timeout(attempt, put)
                    .await
                    .unwrap_or(Err(Failure::TimedOut))
            }
            Self::Etcd { .. } => {
                let put = async {
                    let set = Operation::Set { key, value };
                    self.etcd().await?.group(&[set]).await
                };
                timeout(attempt, put)
                    .await
                    .unwrap_or(Err(Failure::TimedOut))
            }
        }
    }

    /// The counter that a key holds; 0 if there is no such key.
    async fn get(&mut self, key: &Bytes, attempt: Duration) -> Result<u64, Failure> {
        let key = key.clone();
        let read = async {
            match self {
                Self::Native(native) => {
                    let value = native.client().get(key).await;
                    value.map_err(|error| native::failure(&error))
                }
                Self::Sentinel { .. } => match self.redis().await?.ask(&[b"GET", &key]).await? {
                    Reply::Bulk(value) => Ok(value),
                    other => Err(Failure::NotUnderstood(format!("{other:?}"))),
                },
                Self::Etcd { .. } => self.etcd().await?.get(key).await,
            }
        };
        // A read that nobody waits for any more may have found a primary that is on its way out.
        let value = timeout(attempt.max(Duration::from_secs(5)), read).await;
        let text = value.unwrap_or(Err(Failure::TimedOut))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        Ok(text.parse().unwrap_or(0))
    }

    async fn redis(&mut self) -> Result<&mut RedisConnection, Failure> {
        let Self::Sentinel {
            sentinels,
            name,
            connection,
            ..
        } = self
        else {
            return Err(Failure::NoPrimary);
        };
        if connection.is_none() {
            let master = sentinel::master(sentinels, name).await?;
            *connection = Some(RedisConnection::open(&master, 0).await?);
        }
        connection.as_mut().ok_or(Failure::NoPrimary)
    }

    async fn etcd(&mut self) -> Result<&mut EtcdConnection, Failure> {
        let Self::Etcd {
            members,
            turn,
            connection,
        } = self
        else {
            return Err(Failure::NoPrimary);
        };
        if connection.is_none() {
            let member = &members[*turn % members.len()];
            *connection = Some(EtcdConnection::open(member).await?);
        }
        connection.as_mut().ok_or(Failure::NoPrimary)
    }
}
