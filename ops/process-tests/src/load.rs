//! Load in the background, by the engine of `kvclient bench`: it remembers what was acknowledged, and at
//! its end looks for all of it.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use kv_common::id::Address;
use kvclient::load::{LoadOptions, LoadReport, Meter, Verification, run};
use kvclient::{Client, ClientOptions};

/// Clients that each wait for their answer before they ask again.
const CLIENTS: u32 = 4;
const KEYS: u64 = 2_000;
const READ_SHARE: f64 = 0.2;
/// Long enough for a crash, a failover and a return to fall into it.
const DURATION: Duration = Duration::from_secs(12);

/// Load that is under way.
#[derive(Debug)]
pub struct Load {
    thread: JoinHandle<LoadReport>,
}

impl Load {
    /// Starts load on the cluster of the coordinator at `coordinator`. An operation may take
    /// `timeout`. Loads with the same `seed` ask for the same keys in the same order.
    ///
    /// # Panics
    /// When the address is none, or no thread can be started.
    #[must_use]
    pub fn start(coordinator: &str, timeout: Duration, seed: u64) -> Self {
        let coordinator: Address = coordinator.parse().expect("an address of our own");
        let client = ClientOptions {
            coordinators: vec![coordinator],
            timeout,
            name: "process-tests".to_owned(),
            ..ClientOptions::default()
        };
        let load = LoadOptions {
            clients: CLIENTS,
            keys: KEYS,
            read_share: READ_SHARE,
            duration: DURATION,
            seed,
            run: seed,
            verify: true,
            ..LoadOptions::default()
        };
        let thread = thread::Builder::new().name("load".to_owned());
        let thread = thread.spawn(move || make(client, &load));
        Self {
            thread: thread.expect("a thread is started"),
        }
    }

    /// Waits until it is over, everything that was acknowledged is found, and gives what it came to.
    ///
    /// # Panics
    /// When an acknowledged write is missing, or a read was stale, or showed what was never written.
    pub fn finish_with_nothing_lost(self) -> LoadReport {
        let report = self.thread.join().expect("the load runs to its end");
        let found = verification(&report);
        assert!(found.acknowledged > 0 && found.keys > 0, "{report:?}");
        assert!(found.holds(), "{report:?}");
        report
    }

    /// The same, and checks that no operation failed.
    ///
    /// # Panics
    /// As above, and when an operation failed.
    pub fn finish_with_nothing_lost_or_failed(self) {
        let report = self.finish_with_nothing_lost();
        assert_eq!(report.error_count(), 0, "{report:?}");
        assert_eq!(verification(&report).unknown, 0, "{report:?}");
    }
}

fn verification(report: &LoadReport) -> Verification {
    report.verification.expect("the load verifies")
}

fn make(client: ClientOptions, load: &LoadOptions) -> LoadReport {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime is built");
    runtime.block_on(async {
        let client = Client::connect(client).expect("a coordinator is named");
        let report = run(&client, load, &Meter::new().into()).await;
        client.close().await;
        report
    })
}
