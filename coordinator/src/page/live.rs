//! A snapshot in the terms of the page.

use kv_common::message::control::{CopyProgress, DiskHealth, HeldRole, NodeReport};
use kv_common::message::registry::{ClusterStatus, Event, NodeStatus};
use kv_daemon::clock;
use serde::Serialize;

use crate::snapshot::Snapshot;

/// Silence that is worth a word.
const SILENCE_MS: u64 = 1_000;

/// What the page shows.
#[derive(Debug, Serialize)]
pub(super) struct Live<'a> {
    at_ms: u64,
    epoch: u64,
    primary: Option<String>,
    /// The primary of the view does not act as such.
    failing_over: bool,
    copies: u8,
    min_in_sync: u8,
    in_sync: usize,
    keys: u64,
    committed: u64,
    conditions: &'a [String],
    nodes: Vec<Node>,
    /// New ones only, oldest first.
    decisions: Vec<Decision<'a>>,
}

#[derive(Debug, Serialize)]
struct Node {
    id: String,
    name: String,
    address: String,
    role: &'static str,
    in_sync: bool,
    /// An operator had it drained. Until it has left the view it is in sync.
    drained: bool,
    state: String,
    lag: Option<u64>,
    committed: u64,
    keys: u64,
    copy: Option<Copy>,
}

#[derive(Debug, Serialize)]
struct Copy {
    percent: u64,
    left_s: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Decision<'a> {
    at_ms: u64,
    epoch: u64,
    rule: &'a str,
    what: &'a str,
}

impl<'a> Live<'a> {
    /// `snapshot`, with the decisions after number `after`.
    pub(super) fn of(snapshot: &'a Snapshot, after: u64) -> Self {
        let status = &snapshot.status;
        let view = status.map.view.as_ref();
        let primary = view.and_then(|view| {
            let node = view.primary.node;
            status.nodes.iter().find(|status| status.node == node)
        });
        let report = primary.and_then(|primary| primary.report.as_ref());
        let acts = primary.is_some_and(|primary| primary.connected)
            && report.is_some_and(|report| matches!(report.role, HeldRole::Primary { .. }));
        let mut nodes: Vec<Node> = status
            .nodes
            .iter()
            .map(|node| Node::of(status, node, report))
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let new = snapshot.events.iter().filter(|event| event.number > after);
        Self {
            at_ms: clock::now().unix.0,
            epoch: view.map_or(0, |view| view.epoch.0),
            primary: view.map(|view| status.map.name_of(view.primary.node)),
            failing_over: view.is_some() && !acts,
            copies: view.map_or(0, |view| view.settings.copies),
            min_in_sync: view.map_or(0, |view| view.settings.min_in_sync),
            in_sync: view.map_or(0, |view| view.members().count()),
            keys: report.map_or(0, |report| report.keys),
            committed: report.map_or(0, |report| report.positions.committed.0),
            conditions: &status.conditions,
            nodes,
            decisions: new.map(Decision::of).collect(),
        }
    }
}

impl Node {
    fn of(status: &ClusterStatus, node: &NodeStatus, primary: Option<&NodeReport>) -> Self {
        let map = &status.map;
        let view = map.view.as_ref();
        let in_sync = view.is_some_and(|view| view.has_member(node.node));
        let role = match view {
            Some(view) if view.primary.node == node.node => "primary",
            Some(_) if in_sync => "backup",
            _ if node.drained => "drained",
            _ if !node.connected => "away",
            _ if map.joiners.contains(&node.node) => "joiner",
            _ => "spare",
        };
        let report = node.report.as_ref();
        let info = map.nodes.get(&node.node);
        let behind = primary.zip(report).map(|(primary, report)| {
            let (there, here) = (primary.positions.appended, report.positions.held);
            there.0.saturating_sub(here.0)
        });
        Self {
            id: node.node.to_string(),
            name: map.name_of(node.node),
            address: info.map_or_else(String::new, |info| info.address.to_string()),
            role,
            in_sync,
            drained: node.drained,
            state: state(node),
            // What a node held when it was last heard says nothing about now.
            lag: behind.filter(|_| role != "primary" && node.connected),
            committed: report.map_or(0, |report| report.positions.committed.0),
            keys: report.map_or(0, |report| report.keys),
            copy: report.and_then(|report| report.copy).map(Copy::of),
        }
    }
}

fn state(node: &NodeStatus) -> String {
    let disk = node.report.as_ref().map(|report| &report.disk);
    let unfit = node
        .report
        .as_ref()
        .and_then(|report| report.unfit.as_deref());
    match (node.connected, node.silent_ms, disk) {
        (false, Some(silent_ms), _) if silent_ms >= SILENCE_MS => {
            format!("away for {} s", silent_ms / 1000)
        }
        (false, _, _) => "away".to_owned(),
        (true, _, Some(DiskHealth::Failed(failure))) => {
            format!("the disk is {}: {}", failure.trouble, failure.cause)
        }
        (true, Some(silent_ms), _) if silent_ms >= SILENCE_MS => {
            format!("silent for {} s", silent_ms / 1000)
        }
        (true, _, _) if unfit.is_some() => {
            format!("needs a copy: {}", unfit.unwrap_or_default())
        }
        (true, _, Some(DiskHealth::Slow { pending_ms })) => {
            format!("the disk is slow: {pending_ms} ms")
        }
        (true, _, _) => "up".to_owned(),
    }
}

impl Copy {
    fn of(progress: CopyProgress) -> Self {
        let CopyProgress {
            bytes_done,
            bytes_total,
            elapsed_ms,
        } = progress;
        let left_bytes = bytes_total.saturating_sub(bytes_done);
        let left_ms = u128::from(elapsed_ms) * u128::from(left_bytes);
        let left_s = left_ms.checked_div(u128::from(bytes_done) * 1000);
        Self {
            percent: (bytes_done * 100)
                .checked_div(bytes_total)
                .unwrap_or(0)
                .min(100),
            left_s: left_s.and_then(|left_s| u64::try_from(left_s).ok()),
        }
    }
}

impl<'a> Decision<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            at_ms: event.at.0,
            epoch: event.epoch.0,
            rule: &event.rule,
            what: &event.what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Copy, Node};
    use kv_common::id::{ClusterId, NodeId};
    use kv_common::message::control::CopyProgress;
    use kv_common::message::registry::{ClusterStatus, NodeStatus};
    use kv_common::view::ClusterMap;

    #[test]
    fn a_drained_node_is_neither_a_spare_nor_away() {
        let status = ClusterStatus {
            map: ClusterMap {
                cluster: ClusterId(1),
                version: 1,
                view: None,
                joiners: Vec::new(),
                nodes: std::collections::BTreeMap::new(),
            },
            conditions: Vec::new(),
            nodes: Vec::new(),
        };
        for (connected, drained, role) in [
            (true, true, "drained"),
            (false, true, "drained"),
            (true, false, "spare"),
            (false, false, "away"),
        ] {
            let node = NodeStatus {
                node: NodeId(1),
                connected,
                silent_ms: None,
                report: None,
                drained,
            };
            assert_eq!(Node::of(&status, &node, None).role, role);
        }
    }

    #[test]
    fn a_copy_says_how_far_it_is_and_how_long_it_takes() {
        let copy = |bytes_done, bytes_total| {
            let copy = Copy::of(CopyProgress {
                bytes_done,
                bytes_total,
                elapsed_ms: 2_000,
            });
            (copy.percent, copy.left_s)
        };
        assert_eq!(copy(25, 100), (25, Some(6)));
        assert_eq!(copy(0, 100), (0, None));
        assert_eq!(copy(0, 0), (0, None));
        assert_eq!(copy(130, 100), (100, Some(0)));
    }
}
