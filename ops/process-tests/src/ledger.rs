//! Writes that go on and on, and a note of what was acknowledged of them, to be compared at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use kvclient::{Client, ClientOptions};

use crate::wait::{PATIENCE, wait_until};

/// Keys that are overwritten in turn.
const KEYS: u64 = 64;
/// A write may take through several failovers.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client that overwrites a few keys with rising numbers.
#[derive(Debug)]
pub struct Ledger {
    notes: Arc<Notes>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Notes {
    stop: AtomicBool,
    /// The last number that was sent.
    sent: AtomicU64,
    /// For each key the last number that was acknowledged; 0 before the first.
    acknowledged: Mutex<Vec<u64>>,
}

impl Ledger {
    /// Starts to write to the cluster of the coordinator at `coordinator`.
    ///
    /// # Panics
    /// When the address is none, or no thread can be started.
    #[must_use]
    pub fn start(coordinator: &str) -> Self {
        let options = ClientOptions {
            coordinators: vec![coordinator.parse().expect("an address of our own")],
            timeout: TIMEOUT,
            name: "ledger".to_owned(),
            ..ClientOptions::default()
        };
        let notes = Arc::new(Notes {
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            acknowledged: Mutex::new(vec![0; usize::try_from(KEYS).expect("a few")]),
        });
        let of_thread = Arc::clone(&notes);
        let thread = thread::Builder::new().name("ledger".to_owned());
        let thread = thread.spawn(move || write(options, &of_thread));
        Self {
            notes,
            thread: thread.expect("a thread is started"),
        }
    }

    /// Waits until `count` more writes were sent.
    pub fn wait_for_writes(&self, count: u64) {
        let from = self.sent();
        wait_until(&format!("{count} more writes"), PATIENCE, || {
            let sent = self.sent();
            assert!(!self.thread.is_finished(), "the writes ended: see above");
            if sent >= from + count {
                Ok(())
            } else {
                Err(format!("{sent} were sent"))
            }
        });
    }

    /// Reads every key while writes go on. Each must show the last acknowledged write, or a later one
    /// that was sent.
    ///
    /// # Panics
    /// When one does not.
    pub fn expect_all_acknowledged(&self, coordinator: &str) {
        let options = ClientOptions {
            coordinators: vec![coordinator.parse().expect("an address of our own")],
            timeout: TIMEOUT,
            ..ClientOptions::default()
        };
        let acknowledged = self.notes.acknowledged().clone();
        runtime().block_on(async {
            let client = Client::connect(options).expect("a coordinator is named");
            for (index, acknowledged) in (0u64..).zip(acknowledged) {
                let value = client.get(key(index)).await.expect("is read");
                let found = value.as_deref().map_or(0, number_in);
                let sent = self.sent();
                assert!(
                    (acknowledged..=sent).contains(&found),
                    "{} shows write {found}; {acknowledged} was acknowledged, {sent} sent",
                    key(index)
                );
            }
            client.close().await;
        });
    }

    /// How many keys it writes.
    #[must_use]
    pub fn keys(&self) -> u64 {
        KEYS
    }

    /// Ends the writes.
    ///
    /// # Panics
    /// When a write failed.
    pub fn stop(self) {
        self.notes.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every write is acknowledged");
    }

    fn sent(&self) -> u64 {
        self.notes.sent.load(Ordering::Acquire)
    }
}

impl Notes {
    fn acknowledged(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        // Each note is whole before anything can panic.
        let acknowledged = self.acknowledged.lock();
        acknowledged.unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(options: ClientOptions, notes: &Notes) {
    runtime().block_on(async {
        let client = Client::connect(options).expect("a coordinator is named");
        let mut number = 0;
        while !notes.stop.load(Ordering::Relaxed) {
            number += 1;
            notes.sent.store(number, Ordering::Release);
            let put = client.put(key(number % KEYS), value(number)).await;
            put.unwrap_or_else(|error| panic!("write {number}: {error}"));
            let index = usize::try_from(number % KEYS).expect("a few");
            notes.acknowledged()[index] = number;
        }
        client.close().await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime is built")
}

fn key(index: u64) -> String {
    format!("ledger/{index:02}")
}

fn value(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

fn number_in(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a number that was written here");
    text.parse().expect("a number that was written here")
}
