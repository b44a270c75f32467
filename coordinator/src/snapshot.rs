//! What the registry leaves behind for the HTTP thread: how everything is, and the newest decisions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kv_common::message::registry::{ClusterStatus, Event};
use kv_common::time::Monotonic;
use tokio::sync::watch;

/// Who looks sees nothing older than this.
const INTERVAL: Duration = Duration::from_millis(200);
/// Of the decisions, the newest.
const EVENTS_MAX: usize = 100;

/// How everything was at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Monotonic,
    pub(crate) status: ClusterStatus,
    /// The newest, oldest first.
    pub(crate) events: Vec<Event>,
}

/// Publishes snapshots, if there is anybody who could look.
#[derive(Debug)]
pub(crate) struct Publisher {
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// The newest decision and the map in the last snapshot: what is new in these is shown at once.
    shown: (u64, u64),
}

impl Publisher {
    pub(crate) fn new(first: Snapshot) -> Self {
        Self {
            shown: marks(&first),
            snapshots: watch::Sender::new(Arc::new(first)),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// Publishes what `status` gives if that is due, or shows something new.
    pub(crate) fn turn(
        &mut self,
        now: Monotonic,
        map_version: u64,
        events: &VecDeque<Event>,
        status: impl FnOnce() -> ClusterStatus,
    ) {
        if self.snapshots.receiver_count() == 0 {
            return;
        }
        let last_event = events.back().map_or(0, |event| event.number);
        let is_new = self.shown != (last_event, map_version);
        if !is_new && now.since(self.snapshots.borrow().at) < INTERVAL {
            return;
        }
        let older = events.len().saturating_sub(EVENTS_MAX);
        let snapshot = Snapshot {
            at: now,
            status: status(),
            events: events.iter().skip(older).cloned().collect(),
        };
        self.shown = (last_event, map_version);
        self.snapshots.send_replace(Arc::new(snapshot));
    }
}

fn marks(snapshot: &Snapshot) -> (u64, u64) {
    let last_event = snapshot.events.last().map_or(0, |event| event.number);
    (last_event, snapshot.status.map.version)
}
