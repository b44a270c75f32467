//! Clients that write down what they did and what they were answered, to be judged afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simulator::history::{Operation, Record};

use way::{Failure, Session};

mod native;
mod redis_client;
mod way;

pub use way::Way;

/// Keys that are in use at the same time.
const KEYS: u32 = 6;
/// Operations after which the clients go on to new keys: the judge looks at one key at a time.
const OPERATIONS_PER_KEY: u64 = 1500;
/// As how many operations one counts whose outcome is unknown: it may have taken effect at any time since, so
/// that each doubles what the judge has to look at.
const UNKNOWN_COUNTS_AS: u64 = 500;
/// How long a value lives that goes by itself.
const LIVES: Duration = Duration::from_millis(300);
/// How much earlier or later it may go: all clocks are one, which the system may slew.
const CLOCK_LATITUDE: Duration = Duration::from_millis(20);
/// Counted up by everybody, over the whole run.
const COUNTER: &str = "chaos/counter";

/// Clients that read and write.
#[derive(Debug)]
pub struct Recorder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Recording>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Recording {
    /// Operations on the keys.
    pub records: Vec<Record>,
    /// Increments of the counter that were answered.
    pub increments: u64,
    /// Increments whose outcome is unknown.
    pub unknown_increments: u64,
    /// What the counter came to.
    pub counter: u64,
    /// The longest time in which no client got an answer.
    pub longest_silence: Duration,
}

impl Recorder {
    /// Starts `workers` clients that reach the cluster on `way`.
    ///
    /// # Panics
    /// When no thread can be started.
    #[must_use]
    pub fn start(way: Way, workers: u64, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime is built");
                runtime.block_on(record(way, workers, seed, stopped))
            });
        Self {
            stop,
            thread: thread.expect("a thread is started"),
        }
    }

    /// Ends the clients, and reads the counter.
    ///
    /// # Panics
    /// When a client was answered what cannot be.
    #[must_use]
    pub fn finish(self) -> Recording {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the clients end")
    }
}

async fn record(way: Way, workers: u64, seed: u64, stop: Arc<AtomicBool>) -> Recording {
    let shared = Arc::new(Shared {
        began: Instant::now(),
        stop,
        operations: AtomicU64::new(0),
        last_answer_ns: AtomicU64::new(0),
        longest_silence_ns: AtomicU64::new(0),
    });
    let clients: Vec<_> = (0..workers)
        .map(|number| {
            let worker = Worker {
                number,
                session: way.session(),
                shared: Arc::clone(&shared),
                random: StdRng::seed_from_u64(seed ^ number << 32),
                written: 0,
                seen: None,
                recording: Recording::default(),
            };
            tokio::spawn(worker.run())
        })
        .collect();
    let mut all = Recording::default();
    for client in clients {
        let one = client.await.expect("a client ends");
        all.records.extend(one.records);
        all.increments += one.increments;
        all.unknown_increments += one.unknown_increments;
    }
    let mut reader = way.session();
    match reader.ask(COUNTER, &Operation::Get { seen: None }).await {
        Ok(Operation::Get { seen: Some(seen) }) => all.counter = seen.unwrap_or(0),
        other => panic!("the counter is not read: {other:?}"),
    }
    all.longest_silence = Duration::from_nanos(shared.longest_silence_ns.load(Ordering::Relaxed));
    all
}

struct Shared {
    began: Instant,
    stop: Arc<AtomicBool>,
    operations: AtomicU64,
    last_answer_ns: AtomicU64,
    longest_silence_ns: AtomicU64,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn answered(&self, now_ns: u64) {
        let before = self.last_answer_ns.swap(now_ns, Ordering::Relaxed);
        let silence = now_ns.saturating_sub(before);
        self.longest_silence_ns
            .fetch_max(silence, Ordering::Relaxed);
    }
}

struct Worker {
    number: u64,
    session: Session,
    shared: Arc<Shared>,
    random: StdRng,
    written: u64,
    /// The value that it saw last: a condition that may hold.
    seen: Option<u64>,
    recording: Recording,
}

impl Worker {
    async fn run(mut self) -> Recording {
        while !self.shared.stop.load(Ordering::Relaxed) {
            if self.random.random_ratio(1, 10) {
                self.count().await;
            } else {
                self.operate().await;
            }
            // Eight clients without a pause would fill the memory of the judge, not find more.
            let pause_ms = self.random.random_range(1..8);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        self.recording
    }

    async fn count(&mut self) {
        let increment = Operation::Incr { by: 1, sum: None };
        match self.session.ask(COUNTER, &increment).await {
            Ok(_) => {
                self.recording.increments += 1;
                self.shared.answered(self.shared.now_ns());
            }
            Err(Failure::Unknown) => self.recording.unknown_increments += 1,
            Err(Failure::NotDone(why)) => panic!("an increment ended with: {why}"),
        }
    }

    async fn operate(&mut self) {
        let operations = self.shared.operations.fetch_add(1, Ordering::Relaxed);
        let generation = operations / (u64::from(KEYS) * OPERATIONS_PER_KEY);
        let generation = u32::try_from(generation).expect("a run ends before that");
        let key = generation * KEYS + self.random.random_range(0..KEYS);
        self.written += 1;
        let value = (self.number + 1) * 1_000_000_000_000 + self.written * 1_000;
        let asked = match self.random.random_range(0..10) {
            0..=1 => Operation::Put { value },
            2 => Operation::PutThatGoes {
                value,
                stays_ns: nanoseconds(LIVES - CLOCK_LATITUDE),
                gone_after_ns: nanoseconds(LIVES + CLOCK_LATITUDE),
            },
            3..=4 => Operation::PutIfEquals {
                expected: self.seen.unwrap_or(0),
                value,
                done: None,
            },
            5 => Operation::Incr { by: 1, sum: None },
            6 => Operation::Delete { removed: None },
            _ => Operation::Get { seen: None },
        };
        let invoked_ns = self.shared.now_ns();
        let outcome = self.session.ask(&format!("chaos/{key}"), &asked).await;
        let now_ns = self.shared.now_ns();
        let (operation, answered_ns) = match outcome {
            Ok(answered) => {
                self.shared.answered(now_ns);
                (answered, Some(now_ns))
            }
            Err(Failure::Unknown) if asked.is_read() => return,
            Err(Failure::Unknown) => {
                let operations = &self.shared.operations;
                operations.fetch_add(UNKNOWN_COUNTS_AS, Ordering::Relaxed);
                (asked, None)
            }
            Err(Failure::NotDone(_)) if asked.is_read() => return,
            Err(Failure::NotDone(why)) => panic!("an operation ended with: {why}"),
        };
        if let Operation::Get { seen: Some(seen) } = &operation {
            self.seen = *seen;
        }
        self.recording.records.push(Record {
            key,
            operation,
            invoked_ns,
            answered_ns,
        });
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a short time")
}
