//! What the serving thread and the coordinator link tell each other without waiting.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use kv_common::id::ClusterId;
use kv_common::time::Monotonic;
use kv_http::Histogram;

/// Until the coordinator has said how often it wants to hear a node.
const FIRST_HEARTBEAT_INTERVAL_MS: u32 = 50;

/// Readings without locks.
#[derive(Debug)]
pub(crate) struct Pulse {
    last_turn: AtomicU64,
    heartbeat_interval_ms: AtomicU32,
    coordinator_up: AtomicBool,
    /// 0: none was sent yet.
    last_heartbeat: AtomicU64,
    heartbeat_gaps: Histogram,
    /// Set once: a node belongs to one cluster for good.
    cluster: OnceLock<ClusterId>,
}

impl Pulse {
    pub(crate) fn new(now: Monotonic, cluster: Option<ClusterId>) -> Self {
        Self {
            last_turn: AtomicU64::new(now.0),
            heartbeat_interval_ms: AtomicU32::new(FIRST_HEARTBEAT_INTERVAL_MS),
            coordinator_up: AtomicBool::new(false),
            last_heartbeat: AtomicU64::new(0),
            heartbeat_gaps: Histogram::default(),
            cluster: cluster.map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// The serving thread makes a turn.
    pub(crate) fn turn(&self, now: Monotonic) {
        self.last_turn.store(now.0, Ordering::Relaxed);
    }

    /// How long ago the serving thread made its last turn.
    pub(crate) fn serving_age(&self, now: Monotonic) -> Duration {
        now.since(Monotonic(self.last_turn.load(Ordering::Relaxed)))
    }

    pub(crate) fn heartbeat_interval(&self) -> Duration {
        let interval_ms = self.heartbeat_interval_ms.load(Ordering::Relaxed);
        Duration::from_millis(u64::from(interval_ms))
    }

    pub(crate) fn set_heartbeat_interval_ms(&self, interval_ms: u32) {
        self.heartbeat_interval_ms
            .store(interval_ms.max(1), Ordering::Relaxed);
    }

    /// Whether a coordinator is connected.
    pub(crate) fn coordinator_up(&self) -> bool {
        self.coordinator_up.load(Ordering::Relaxed)
    }

    pub(crate) fn set_coordinator_up(&self, up: bool) {
        self.coordinator_up.store(up, Ordering::Relaxed);
        // The time without a coordinator is no gap between heartbeats.
        self.last_heartbeat.store(0, Ordering::Relaxed);
    }

    /// A heartbeat goes out.
    pub(crate) fn heartbeat(&self, now: Monotonic) {
        let before = self.last_heartbeat.swap(now.0, Ordering::Relaxed);
        if before != 0 {
            self.heartbeat_gaps.observe(now.since(Monotonic(before)));
        }
    }

    /// The time between heartbeats.
    pub(crate) fn heartbeat_gaps(&self) -> &Histogram {
        &self.heartbeat_gaps
    }

    /// The cluster that this node belongs to, once it joined one.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    /// Joins `cluster`, or says which one the node belongs to already.
    pub(crate) fn join(&self, cluster: ClusterId) -> Result<(), ClusterId> {
        let ours = *self.cluster.get_or_init(|| cluster);
        if ours == cluster { Ok(()) } else { Err(ours) }
    }
}
