//! Everything that is measured at a node, as metrics. Each says what to do about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kv_common::id::NodeId;
use kv_common::message::control::{DiskHealth, HeldRole, NodeReport};
use kv_common::view::ClusterMap;
use kv_daemon::{VERSION, clock};
use kv_http::{Families, Labels, Observed, Unit, machine_memory_bytes, process_families};
use tokio::sync::watch;

use crate::pulse::Pulse;

use super::Counters;
use super::data_size::data_sizes;
use super::operation::Operation;
use super::reason::Reason;
use kvnode_core::refused_messages::MessageRefusal;

/// A serving thread that made no turn for so long hangs: turns are due many times a second.
const TURN_MAX: Duration = Duration::from_secs(10);

/// A node, as the HTTP thread sees it.
pub(super) struct ObservedNode {
    pub(super) counters: Arc<Counters>,
    pub(super) pulse: Arc<Pulse>,
    /// The newest report.
    pub(super) reports: watch::Receiver<NodeReport>,
    /// The newest map, once there is one.
    pub(super) maps: watch::Receiver<Option<ClusterMap>>,
    pub(super) data_dir: PathBuf,
}

impl Observed for ObservedNode {
    fn families(&self, families: &mut Families) {
        let report = self.reports.borrow().clone();
        self.operation_families(families);
        self.replication_families(families, &report);
        self.storage_families(families, &report);
        self.service_families(families, &report);
        process_families(families);
    }

    fn health(&self) -> Result<String, String> {
        let age = self.pulse.serving_age(clock::monotonic());
        if age < TURN_MAX {
            Ok("the node works".to_owned())
        } else {
            Err(format!(
                "the serving thread made no turn for {} s",
                age.as_secs()
            ))
        }
    }

    fn readiness(&self) -> Result<String, String> {
        self.health()?;
        match self.reports.borrow().role {
            HeldRole::Primary { epoch } => Ok(format!("primary, epoch {epoch}")),
            HeldRole::Follower { epoch } => Ok(format!("backup, epoch {epoch}")),
            HeldRole::TakingOver { epoch } => Err(format!("taking over, epoch {epoch}")),
            HeldRole::Copying { epoch } => Err(format!("fetching a copy, epoch {epoch}")),
            HeldRole::None => Err("waiting for a primary".to_owned()),
        }
    }
}

impl ObservedNode {
    fn operation_families(&self, families: &mut Families) {
        let counters = &self.counters;
        let operations = Operation::ALL.into_iter().zip(&counters.operations);
        families.histograms(
            "kvnode_operation_duration",
            "From the request of a client to the answer, of operations that succeeded, by kind. If writes are slow, compare kvnode_flush_duration on each node and kvnode_commit_duration: a slow disk or link of one backup holds all up",
            operations.map(|(operation, histogram)| (label("operation", operation.name()), histogram.read())),
        );
        let refusals = Reason::ALL.into_iter().zip(&counters.refusals);
        families.counters(
            "kvnode_refusals",
            Unit::None,
            "Operations that were refused, by reason. not-primary and taking-over belong to a failover; of the others the alert rules say which ask for somebody",
            refusals.map(|(reason, count)| (label("reason", reason.name()), value(count))),
        );
        families.counter(
            "kvnode_leases_lost",
            Unit::None,
            "Answers that were withheld because the lease had ended. More than a few: backups answer too late; look at the network, and at machines that stand still",
            value(&counters.leases_lost),
        );
    }

    fn replication_families(&self, families: &mut Families, report: &NodeReport) {
        families.histograms(
            "kvnode_commit_duration",
            "From the end of a batch of writes at the primary until every member of the view holds it. Much above kvnode_flush_duration of all nodes: look at the network",
            [(Labels::new(), self.counters.commits.read())],
        );
        families.gauge(
            "kvnode_epoch",
            Unit::None,
            "The epoch of the view that the node follows. Nodes that stay on different epochs do not hear each other or the coordinator",
            as_f64(report.view_epoch.0),
        );
        let roles = [
            ("primary", matches!(report.role, HeldRole::Primary { .. })),
            ("backup", matches!(report.role, HeldRole::Follower { .. })),
            (
                "taking-over",
                matches!(report.role, HeldRole::TakingOver { .. }),
            ),
            ("copying", matches!(report.role, HeldRole::Copying { .. })),
            ("none", report.role == HeldRole::None),
        ];
        families.gauges(
            "kvnode_role",
            Unit::None,
            "1 for the role that the node holds. A node that stays at none waits for a primary: see kvclient status",
            roles.map(|(role, held)| (label("role", role), f64::from(u8::from(held)))),
        );
        families.counter(
            "kvnode_role_changes",
            Unit::None,
            "How often the role changed. If it goes up all the time, see kvclient events for the reasons",
            value(&self.counters.role_changes),
        );
        let positions = report.positions;
        let positions = [
            ("appended", positions.appended),
            ("held", positions.held),
            ("committed", positions.committed),
            ("applied", positions.applied),
        ];
        families.gauges(
            "kvnode_position",
            Unit::None,
            "Entries of the log that are appended, held on the disk, committed by every member, applied. At a primary, committed that stands still while appended grows means that a member does not answer",
            positions.map(|(stage, seq)| (label("stage", stage), as_f64(seq.0))),
        );
        self.follower_families(families, report);
        if let Some(copy) = report.copy {
            let bytes = [("done", copy.bytes_done), ("total", copy.bytes_total)];
            families.gauges(
                "kvnode_copy",
                Unit::Bytes,
                "The full copy that the node fetches: what came, and what there is in all. If done stands still, look at the primary and the network",
                bytes.map(|(part, bytes)| (label("part", part), as_f64(bytes))),
            );
        }
    }

    /// What only a primary knows.
    fn follower_families(&self, families: &mut Families, report: &NodeReport) {
        if !matches!(report.role, HeldRole::Primary { .. }) {
            return;
        }
        let maps = self.maps.borrow();
        let view = maps.as_ref().and_then(|map| map.view.as_ref());
        if let Some(view) = view.filter(|view| view.primary.node == report.node) {
            families.gauge(
                "kvnode_in_sync",
                Unit::None,
                "Copies in sync, this one included. Below kvnode_copies: bring the missing node back; below kvnode_min_in_sync: writes are refused",
                as_f64(view.members().count() as u64),
            );
            families.gauge(
                "kvnode_copies",
                Unit::None,
                "Copies that there are to be",
                f64::from(view.settings.copies),
            );
            families.gauge(
                "kvnode_min_in_sync",
                Unit::None,
                "Copies that must hold a write before it is acknowledged",
                f64::from(view.settings.min_in_sync),
            );
        }
        let name = |node: NodeId| {
            let info = maps.as_ref().and_then(|map| map.nodes.get(&node));
            info.map_or_else(|| node.to_string(), |info| info.name.clone())
        };
        let held = report.followers.iter().filter_map(|follower| {
            let behind = report.positions.appended.0.saturating_sub(follower.held?.0);
            Some((label("backup", &name(follower.node)), as_f64(behind)))
        });
        families.gauges(
            "kvnode_backup_lag_entries",
            Unit::None,
            "Entries that a backup or joiner has yet to hold, as the primary sees it. If it grows, that node's disk or link is too slow",
            held,
        );
        let silent = report.followers.iter().map(|follower| {
            let silence = Duration::from_millis(follower.silent_ms);
            (label("backup", &name(follower.node)), silence.as_secs_f64())
        });
        families.gauges(
            "kvnode_backup_silence",
            Unit::Seconds,
            "Since a backup or joiner last answered the primary. Above some heartbeats: that node or the link to it stands still",
            silent,
        );
    }

    fn storage_families(&self, families: &mut Families, report: &NodeReport) {
        families.histograms(
            "kvnode_flush_duration",
            "From handing a batch to the log's thread until it is durable. With --fsync always every write waits for this on every node: if it is slow, so is the disk",
            [(Labels::new(), self.counters.flushes.read())],
        );
        families.gauge(
            "kvnode_disk_works",
            Unit::None,
            "0 when the disk failed: the node has given up its role. Free or replace the disk, then restart the node",
            f64::from(u8::from(!matches!(report.disk, DiskHealth::Failed(_)))),
        );
        families.gauges(
            "kvnode_data_size",
            Unit::Bytes,
            "Files of the log and of the checkpoint. Keep at least as much of the disk free: a full copy is written beside the data that it replaces",
            data_sizes(&self.data_dir)
                .into_iter()
                .map(|(part, bytes)| (label("part", part), as_f64(bytes))),
        );
        families.gauge(
            "kvnode_keys",
            Unit::None,
            "Keys in the table. All of them are in memory: see process_resident_memory_bytes",
            as_f64(report.keys),
        );
    }

    fn service_families(&self, families: &mut Families, report: &NodeReport) {
        let counters = &self.counters;
        let connections = [
            ("node", &counters.connections),
            ("redis", &counters.redis_connections),
        ];
        let refused = MessageRefusal::ALL
            .into_iter()
            .zip(&counters.messages_refused);
        families.counters(
            "kvnode_messages_refused",
            Unit::None,
            "What other nodes and the coordinator said and this node did not act upon, by reason. A few belong to each failover; never-sent, contrary-history, bad-batch and other-shard never do: keep the logs of both nodes",
            refused.map(|(reason, count)| (label("reason", reason.name()), value(count))),
        );
        families.counters(
            "kvnode_connections_refused",
            Unit::None,
            "Connections that were not taken, by reason. other-cluster: some program has the address of a node of another cluster; timeout and no-hello: something connects that speaks no such protocol, such as a port scan",
            counters
                .refused_connections
                .read()
                .map(|(reason, count)| (label("reason", reason), as_f64(count))),
        );
        families.gauges(
            "kvnode_connections",
            Unit::None,
            "Open connections: of kvclient and of nodes, and of Redis clients. At 10000 of a kind further ones are refused: look for clients that open one for each request",
            connections.map(|(door, count)| (label("door", door), value(count))),
        );
        families.histograms(
            "kvnode_heartbeat_gap",
            "Between two heartbeats to the coordinator. Gaps far above the interval: the machine stands still now and then, or has too few processors",
            [(Labels::new(), self.pulse.heartbeat_gaps().read())],
        );
        families.gauge(
            "kvnode_coordinator_connected",
            Unit::None,
            "0 while the coordinator is away: reads and writes go on, but nobody replaces a primary that dies. Start the coordinator again",
            f64::from(u8::from(self.pulse.coordinator_up())),
        );
        families.gauge(
            "kvnode_machine_memory",
            Unit::Bytes,
            "Memory of the machine. All data has to fit in it, beside what else runs there",
            as_f64(machine_memory_bytes()),
        );
        families.gauge(
            "kvnode_serving_age",
            Unit::Seconds,
            "Since the serving thread last made a turn. Above a second: it hangs or starves; the watchdog restarts it after ten",
            self.pulse.serving_age(clock::monotonic()).as_secs_f64(),
        );
        let build = vec![
            ("version", VERSION.to_owned()),
            ("node", report.node.to_string()),
        ];
        families.gauges(
            "kvnode_build_info",
            Unit::None,
            "Always 1: the version of the program, and the node's id. Different versions side by side are for an upgrade, and for no longer",
            [(build, 1.0)],
        );
    }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn value(count: &AtomicU64) -> f64 {
    as_f64(count.load(Ordering::Relaxed))
}

/// Counts that a metric can show exactly up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "metrics are 64-bit floats")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
