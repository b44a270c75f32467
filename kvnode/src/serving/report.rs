//! The newest report, for the thread that sends heartbeats.

use std::sync::Arc;
use std::time::Duration;

use kv_common::message::control::{DiskHealth, NodeReport};
use kv_common::time::{Monotonic, Now};
use kv_common::view::ClusterMap;
use kvnode_core::replica::Replica;
use kvnode_storage::LogHandle;
use tokio::sync::watch;

use crate::pulse::Pulse;

/// Leaves the newest report where the heartbeats find it.
#[derive(Debug)]
pub(super) struct Publisher {
    reports: watch::Sender<NodeReport>,
    maps: watch::Sender<Option<ClusterMap>>,
    pulse: Arc<Pulse>,
    published_at: Monotonic,
    leaving: bool,
}

impl Publisher {
    pub(super) fn new(
        reports: watch::Sender<NodeReport>,
        maps: watch::Sender<Option<ClusterMap>>,
        pulse: Arc<Pulse>,
        now: Monotonic,
    ) -> Self {
        Self {
            reports,
            maps,
            pulse,
            published_at: now,
            leaving: false,
        }
    }

    /// When the report is too old for the next heartbeat.
    pub(super) fn next_due(&self) -> Monotonic {
        self.published_at.after(self.every())
    }

    /// Says from the next report on that the node is about to stop.
    pub(super) fn say_leaving(&mut self) {
        self.leaving = true;
    }

    /// Publishes a report if it is due, or at once.
    pub(super) fn publish(&mut self, now: Now, replica: &Replica, log: &LogHandle, at_once: bool) {
        if at_once || now.monotonic >= self.next_due() {
            self.published_at = now.monotonic;
            let report = self.report(now, replica, log);
            self.reports.send_replace(report);
            self.publish_map(replica.map());
        }
    }

    /// Publishes the map if it is newer than the last.
    fn publish_map(&self, newest: Option<&ClusterMap>) {
        let version = |map: &ClusterMap| map.version;
        let published = self.maps.borrow().as_ref().map(version);
        if newest.map(version) != published {
            self.maps.send_replace(newest.cloned());
        }
    }

    /// The report as of now.
    pub(super) fn report(&self, now: Now, replica: &Replica, log: &LogHandle) -> NodeReport {
        let mut report = replica.report(now);
        report.leaving = self.leaving;
        if report.disk == DiskHealth::Works
            && let Some(pending) = log.pulse().pending_for()
            && pending >= self.pulse.heartbeat_interval()
        {
            report.disk = DiskHealth::Slow {
                pending_ms: u64::try_from(pending.as_millis()).unwrap_or(u64::MAX),
            };
        }
        report
    }

    /// Twice as often as heartbeats go out, so that none carries a report older than one interval.
    fn every(&self) -> Duration {
        self.pulse.heartbeat_interval() / 2
    }
}
