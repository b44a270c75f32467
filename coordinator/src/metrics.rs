//! What is measured at the coordinator, as metrics. Each says what to do about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coordinator_core::refused_messages::MessageRefusal;
use kv_common::id::NodeId;
use kv_common::message::registry::{ClusterStatus, Event};
use kv_common::tally::Tally;
use kv_common::time::UnixMs;
use kv_daemon::{VERSION, clock};
use kv_http::{Families, Histogram, Labels, Observed, Unit, process_families};
use kv_net::RefusedConnections;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// A registry that made no turn for so long hangs: turns are due many times a second.
const TURN_MAX: Duration = Duration::from_secs(10);

/// What the registry counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// From the decision that the primary is lost to the view with the next one.
    failovers: Histogram,
    switchovers: AtomicU64,
    decisions: AtomicU64,
    /// The time between two heartbeats of one node.
    pub(crate) heartbeat_gaps: Histogram,
    /// When the failover under way began, in milliseconds since 1970; 0: there is none.
    failover_since: AtomicU64,
    messages_refused: [AtomicU64; MessageRefusal::ALL.len()],
    /// Connections that were not taken.
    pub(crate) refused_connections: RefusedConnections,
}

impl Counters {
    /// What the core took no notice of, since the start.
    pub(crate) fn messages_refused_are(&self, tally: &Tally<MessageRefusal>) {
        for (kind, count) in MessageRefusal::ALL.into_iter().zip(&self.messages_refused) {
            count.store(tally.of(kind), Ordering::Relaxed);
        }
    }

    /// A decision is durable.
    pub(crate) fn decided(&self, event: &Event) {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        match event.rule.as_str() {
            "failover" => self.failover_since.store(event.at.0, Ordering::Relaxed),
            "failover-ends" => {
                let since = self.failover_since.swap(0, Ordering::Relaxed);
                // One that began before this coordinator did is counted without its beginning.
                let began_at = if since == 0 { event.at } else { UnixMs(since) };
                let took_ms = event.at.0.saturating_sub(began_at.0);
                self.failovers.observe(Duration::from_millis(took_ms));
            }
            "switchover" if event.what.contains("handed over to") => {
                self.switchovers.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// The coordinator, as the HTTP thread sees it.
pub(crate) struct ObservedCoordinator {
    pub(crate) counters: Arc<Counters>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Observed for ObservedCoordinator {
    fn families(&self, families: &mut Families) {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        self.decision_families(families);
        self.refusal_families(families);
        view_families(families, &snapshot.status);
        node_families(families, &snapshot.status);
        families.gauge(
            "kv_coordinator_turn_age",
            Unit::Seconds,
            "Since the coordinator last looked after its nodes. Above a second: it hangs or starves; the watchdog restarts it after ten",
            clock::monotonic().since(snapshot.at).as_secs_f64(),
        );
        families.gauges(
            "kv_coordinator_build_info",
            Unit::None,
            "Always 1: the version of the program, and the cluster's id",
            [(
                vec![
                    ("version", VERSION.to_owned()),
                    ("cluster", snapshot.status.map.cluster.to_string()),
                ],
                1.0,
            )],
        );
        process_families(families);
    }

    fn health(&self) -> Result<String, String> {
        let age = clock::monotonic().since(self.snapshots.borrow().at);
        if age < TURN_MAX {
            Ok("the coordinator works".to_owned())
        } else {
            Err(format!(
                "the coordinator made no turn for {} s",
                age.as_secs()
            ))
        }
    }

    fn readiness(&self) -> Result<String, String> {
        self.health()?;
        let snapshot = self.snapshots.borrow();
        let map = &snapshot.status.map;
        match (&map.view, snapshot.status.conditions.first()) {
            (Some(view), _) => Ok(format!("epoch {}", view.epoch)),
            (None, Some(condition)) => Err(condition.clone()),
            (None, None) => Err("there is no view yet".to_owned()),
        }
    }
}

impl ObservedCoordinator {
    fn decision_families(&self, families: &mut Families) {
        let counters = &self.counters;
        families.histograms(
            "kv_coordinator_failover_duration",
            "Failovers, from the decision that the primary is lost to the view with the next one. Each has its reason in kvclient events; several a day ask for a look at machines and network",
            [(Labels::new(), counters.failovers.read())],
        );
        families.counter(
            "kv_coordinator_switchovers",
            Unit::None,
            "Planned changes of the primary: by order, or because it was asked to stop. Nothing to do",
            as_f64(counters.switchovers.load(Ordering::Relaxed)),
        );
        families.counter(
            "kv_coordinator_decisions",
            Unit::None,
            "Lines of kvclient events. If they come all the time, nodes come and go: read them",
            as_f64(counters.decisions.load(Ordering::Relaxed)),
        );
        families.histograms(
            "kv_coordinator_heartbeat_gap",
            "Between two heartbeats of one node, as they arrive. Gaps far above the interval come before false failovers: look for machines that stand still and links that lose packets",
            [(Labels::new(), counters.heartbeat_gaps.read())],
        );
    }

    fn refusal_families(&self, families: &mut Families) {
        let counters = &self.counters;
        let refused = MessageRefusal::ALL
            .into_iter()
            .zip(&counters.messages_refused);
        families.counters(
            "kv_coordinator_messages_refused",
            Unit::None,
            "What nodes said and the coordinator did not act upon, by reason. old-proposal and stray-seal belong to failovers; address-taken, name-taken, other-fsync, forgotten and too-many-nodes mean a node that is not taken: its log says why",
            refused.map(|(reason, count)| {
                let labels = vec![("reason", reason.name().to_owned())];
                (labels, as_f64(count.load(Ordering::Relaxed)))
            }),
        );
        families.counters(
            "kv_coordinator_connections_refused",
            Unit::None,
            "Connections that were not taken, by reason. other-cluster: a node or client has the address of the wrong coordinator; timeout and no-hello: something connects that speaks no such protocol, such as a port scan",
            counters.refused_connections.read().map(|(reason, count)| {
                (vec![("reason", reason.to_owned())], as_f64(count))
            }),
        );
    }
}

fn view_families(families: &mut Families, status: &ClusterStatus) {
    let view = status.map.view.as_ref();
    let members = view.map_or(0, |view| view.members().count() as u64);
    families.gauge(
        "kv_coordinator_epoch",
        Unit::None,
        "The epoch of the view in force; it grows with each view. 0: there is none, see kvclient status for what it waits for",
        view.map_or(0.0, |view| as_f64(view.epoch.0)),
    );
    families.gauge(
        "kv_coordinator_in_sync",
        Unit::None,
        "Copies in sync, the primary's included. Below kv_coordinator_copies: bring the missing node back; below kv_coordinator_min_in_sync: writes are refused",
        as_f64(members),
    );
    if let Some(view) = view {
        families.gauge(
            "kv_coordinator_copies",
            Unit::None,
            "Copies that there are to be",
            f64::from(view.settings.copies),
        );
        families.gauge(
            "kv_coordinator_min_in_sync",
            Unit::None,
            "Copies that must hold a write before it is acknowledged",
            f64::from(view.settings.min_in_sync),
        );
    }
    families.gauge(
        "kv_coordinator_conditions",
        Unit::None,
        "What the cluster waits for or suffers from; kvclient status says it in sentences",
        as_f64(status.conditions.len() as u64),
    );
}

fn node_families(families: &mut Families, status: &ClusterStatus) {
    let name = |node: NodeId| {
        let info = status.map.nodes.get(&node);
        let name = info.map_or_else(|| node.to_string(), |info| info.name.clone());
        vec![("node", name)]
    };
    let view = status.map.view.as_ref();
    let nodes = &status.nodes;
    families.gauges(
        "kv_coordinator_node_connected",
        Unit::None,
        "1 for each registered node whose connection stands. 0: start the node again, or have it forgotten (kvclient admin forget)",
        nodes.iter().map(|node| (name(node.node), f64::from(u8::from(node.connected)))),
    );
    families.gauges(
        "kv_coordinator_node_in_sync",
        Unit::None,
        "1 for each registered node that is primary or backup in the view. A connected node that stays at 0 is a spare, is drained, or cannot catch up: see its log",
        nodes.iter().map(|node| {
            let is_member = view.is_some_and(|view| view.has_member(node.node));
            (name(node.node), f64::from(u8::from(is_member)))
        }),
    );
    families.gauges(
        "kv_coordinator_node_drained",
        Unit::None,
        "1 for each registered node that an operator took out. It takes no part until kvclient admin undrain",
        nodes.iter().map(|node| (name(node.node), f64::from(u8::from(node.drained)))),
    );
    families.gauges(
        "kv_coordinator_node_silence",
        Unit::Seconds,
        "Since each node was last heard. Far above the heartbeat interval: it, or the link to it, stands still",
        nodes.iter().filter_map(|node| {
            let silence = Duration::from_millis(node.silent_ms?);
            Some((name(node.node), silence.as_secs_f64()))
        }),
    );
}

/// Counts that a metric can show exactly up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "metrics are 64-bit floats")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::Counters;
    use kv_common::id::Epoch;
    use kv_common::message::registry::Event;
    use kv_common::time::UnixMs;
    use std::sync::atomic::Ordering;

    fn event(at: u64, rule: &str, what: &str) -> Event {
        Event {
            number: 1,
            at: UnixMs(at),
            epoch: Epoch(1),
            rule: rule.to_owned(),
            what: what.to_owned(),
        }
    }

    #[test]
    fn a_failover_takes_from_the_seal_to_the_view() {
        let counters = Counters::default();
        counters.decided(&event(1_000, "failover", "primary one is lost"));
        counters.decided(&event(1_400, "failover-ends", "two is primary"));
        counters.decided(&event(9_000, "failover-ends", "three is primary"));
        counters.decided(&event(9_100, "switchover", "an operator wants one"));
        counters.decided(&event(9_200, "switchover", "three handed over to one"));
        let failovers = counters.failovers.read();
        assert_eq!(failovers.count, 2);
        assert!((failovers.sum - 0.4).abs() < 1e-9);
        assert_eq!(counters.switchovers.load(Ordering::Relaxed), 1);
        assert_eq!(counters.decisions.load(Ordering::Relaxed), 5);
    }
}
