//! One node of the status.

use std::time::Duration;

use kv_common::id::{Epoch, Seq};
use kv_common::message::control::{CopyProgress, DiskHealth, HeldRole, NodeReport};
use kv_common::message::registry::{ClusterStatus, NodeStatus};
use kv_common::view::ClusterMap;

use crate::cli::duration;
use crate::cli::output::Object;

/// Silence that is worth a word.
const SILENCE_MS: u64 = 1_000;

/// One node of the status.
pub(super) struct NodeLine {
    name: String,
    id: String,
    address: String,
    in_sync: bool,
    assigned: &'static str,
    drained: bool,
    /// What it holds, when that is not what the view says.
    differs: Option<String>,
    held_role: Option<&'static str>,
    state: String,
    silent_ms: Option<u64>,
    connected: bool,
    /// Entries that it lacks of the primary's log.
    lag: Option<u64>,
    report: Option<NodeReport>,
}

/// All nodes: the primary first, then by name.
pub(super) fn lines(status: &ClusterStatus) -> Vec<NodeLine> {
    let primary = status.map.view.as_ref().map(|view| view.primary.node);
    let report = status
        .nodes
        .iter()
        .find(|node| Some(node.node) == primary)
        .and_then(|node| node.report.as_ref());
    let mut lines: Vec<_> = status
        .nodes
        .iter()
        .map(|node| NodeLine::new(&status.map, node, report))
        .collect();
    lines.sort_by(|one, other| {
        let rank = |line: &NodeLine| (line.assigned != "primary", line.name.clone());
        rank(one).cmp(&rank(other))
    });
    lines
}

impl NodeLine {
    fn new(map: &ClusterMap, node: &NodeStatus, primary: Option<&NodeReport>) -> Self {
        let assigned = assigned_role(map, node);
        let report = node.report.clone();
        let held = report.as_ref().map(|report| report.role);
        let epoch = map.view.as_ref().map(|view| view.epoch);
        let info = map.nodes.get(&node.node);
        Self {
            name: map.name_of(node.node),
            id: node.node.to_string(),
            address: info.map_or_else(|| "-".to_owned(), |info| info.address.to_string()),
            in_sync: map
                .view
                .as_ref()
                .is_some_and(|view| view.has_member(node.node)),
            assigned,
            drained: node.drained,
            // What a node held when it was last heard says nothing about now.
            differs: held
                .filter(|_| node.connected)
                .and_then(|held| difference(assigned, held, epoch)),
            held_role: held.map(role_name),
            state: state_text(node),
            silent_ms: node.silent_ms,
            connected: node.connected,
            lag: (assigned != "primary")
                .then(|| lag(node, primary))
                .flatten(),
            report,
        }
    }

    pub(super) fn cells(&self) -> [String; 10] {
        let of_report = |number: fn(&NodeReport) -> u64| {
            let report = self.report.as_ref();
            report.map_or_else(|| "-".to_owned(), |report| number(report).to_string())
        };
        let mut role = match &self.differs {
            Some(held) => format!("{} ({held})", self.assigned),
            None => self.assigned.to_owned(),
        };
        if self.drained && self.in_sync {
            role.push_str(", to leave");
        }
        [
            self.name.clone(),
            self.address.clone(),
            role,
            self.state.clone(),
            of_report(|report| report.positions.appended.0),
            of_report(|report| report.positions.held.0),
            of_report(|report| report.positions.committed.0),
            of_report(|report| report.positions.applied.0),
            self.lag
                .map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            of_report(|report| report.keys),
        ]
    }

    /// How far a copy is, if the node fetches one.
    pub(super) fn copy_text(&self) -> Option<String> {
        let copy = self.report.as_ref()?.copy?;
        let left = match time_left(&copy) {
            Some(left) => format!("{} left", duration::text(left)),
            None => "just begun".to_owned(),
        };
        Some(format!(
            "{} copies: {} of {} bytes, {} %, {left}",
            self.name,
            copy.bytes_done,
            copy.bytes_total,
            percent(&copy)
        ))
    }

    pub(super) fn object(&self) -> Object {
        let mut object = Object::new()
            .with("name", self.name.clone())
            .with("id", self.id.clone())
            .with("address", self.address.clone())
            .with("in_sync", self.in_sync)
            .with("assigned", self.assigned)
            .with("drained", self.drained)
            .with("held_role", self.held_role)
            .with("connected", self.connected)
            .with("silent_ms", self.silent_ms)
            .with("state", self.state.clone())
            .with("lag", self.lag);
        if let Some(report) = &self.report {
            let positions = report.positions;
            object = object
                .with("incarnation", report.incarnation.0)
                .with("view_epoch", report.view_epoch.0)
                .with("appended", positions.appended.0)
                .with("held", positions.held.0)
                .with("committed", positions.committed.0)
                .with("applied", positions.applied.0)
                .with("keys", report.keys)
                .with("disk", disk_word(&report.disk))
                .with("unfit", report.unfit.as_deref());
            if let Some(copy) = &report.copy {
                let left_ms = time_left(copy).map(duration::millis);
                let copy = Object::new()
                    .with("bytes_done", copy.bytes_done)
                    .with("bytes_total", copy.bytes_total)
                    .with("percent", percent(copy))
                    .with("left_ms", left_ms);
                object = object.with("copy", copy);
            }
        }
        object
    }
}

fn assigned_role(map: &ClusterMap, node: &NodeStatus) -> &'static str {
    let Some(view) = &map.view else {
        return "none";
    };
    if view.primary.node == node.node {
        "primary"
    } else if view.has_member(node.node) {
        "backup"
    } else if node.drained {
        "drained"
    } else if map.joiners.contains(&node.node) {
        "joiner"
    } else if node.connected {
        "spare"
    } else {
        "away"
    }
}

fn role_name(role: HeldRole) -> &'static str {
    match role {
        HeldRole::None => "none",
        HeldRole::Follower { .. } => "follower",
        HeldRole::Copying { .. } => "copying",
        HeldRole::TakingOver { .. } => "taking over",
        HeldRole::Primary { .. } => "primary",
    }
}

/// What a node holds, if that is not what it was assigned.
fn difference(assigned: &str, held: HeldRole, epoch: Option<Epoch>) -> Option<String> {
    let (held_epoch, fits) = match held {
        HeldRole::None => (None, matches!(assigned, "none" | "spare" | "drained")),
        HeldRole::Follower { epoch } => (Some(epoch), assigned == "backup"),
        HeldRole::Copying { epoch } => (Some(epoch), false),
        HeldRole::TakingOver { epoch } => (Some(epoch), false),
        HeldRole::Primary { epoch } => (Some(epoch), assigned == "primary"),
    };
    let name = role_name(held);
    match held_epoch {
        None if fits => None,
        None => Some(format!("holds {name}")),
        Some(_) if fits && held_epoch == epoch => None,
        Some(held_epoch) => Some(format!("{name} of epoch {held_epoch}")),
    }
}

fn state_text(node: &NodeStatus) -> String {
    let silence = node.silent_ms.map(Duration::from_millis);
    if !node.connected {
        return match silence {
            Some(silence) => format!("silent for {}", duration::text(silence)),
            None => "not seen".to_owned(),
        };
    }
    match node.report.as_ref().map(|report| &report.disk) {
        Some(DiskHealth::Failed(failure)) => {
            return format!("disk {}: {}", failure.trouble, failure.cause);
        }
        Some(DiskHealth::Slow { pending_ms }) => {
            return format!("disk slow: a flush takes {pending_ms} ms");
        }
        Some(DiskHealth::Works) | None => {}
    }
    if let Some(cause) = node
        .report
        .as_ref()
        .and_then(|report| report.unfit.as_ref())
    {
        return format!("needs a copy: {cause}");
    }
    match silence {
        Some(silence) if duration::millis(silence) >= SILENCE_MS => {
            format!("silent for {}", duration::text(silence))
        }
        _ => "up".to_owned(),
    }
}

fn disk_word(disk: &DiskHealth) -> String {
    match disk {
        DiskHealth::Works => "works".to_owned(),
        DiskHealth::Slow { .. } => "slow".to_owned(),
        DiskHealth::Failed(failure) => failure.trouble.to_string(),
    }
}

/// By what the primary says of the node, or else by what both say of themselves.
fn lag(node: &NodeStatus, primary: Option<&NodeReport>) -> Option<u64> {
    let primary = primary?;
    let followed = primary
        .followers
        .iter()
        .find(|follower| follower.node == node.node)
        .and_then(|follower| follower.held);
    let own = node.report.as_ref().map(|report| report.positions.held);
    let held: Seq = followed.or(own)?;
    Some(primary.positions.appended.0.saturating_sub(held.0))
}

fn percent(copy: &CopyProgress) -> u64 {
    let done = copy.bytes_done.min(copy.bytes_total);
    (done * 100).checked_div(copy.bytes_total).unwrap_or(0)
}

fn time_left(copy: &CopyProgress) -> Option<Duration> {
    let left_bytes = copy.bytes_total.saturating_sub(copy.bytes_done);
    let left_ms = u128::from(copy.elapsed_ms) * u128::from(left_bytes);
    let left_ms = left_ms.checked_div(u128::from(copy.bytes_done))?;
    Some(Duration::from_millis(
        u64::try_from(left_ms).unwrap_or(u64::MAX),
    ))
}

#[cfg(test)]
mod tests {
    use super::{difference, percent, time_left};
    use kv_common::id::Epoch;
    use kv_common::message::control::{CopyProgress, HeldRole};
    use std::time::Duration;

    #[test]
    fn a_role_is_mentioned_twice_only_when_it_differs() {
        let epoch = Epoch(3);
        let now = Some(epoch);
        let follower = HeldRole::Follower { epoch };
        assert_eq!(difference("backup", follower, now), None);
        assert_eq!(
            difference("primary", HeldRole::TakingOver { epoch }, now).as_deref(),
            Some("taking over of epoch 3")
        );
        let late = HeldRole::Primary { epoch: Epoch(2) };
        assert_eq!(
            difference("backup", late, now).as_deref(),
            Some("primary of epoch 2")
        );
        assert_eq!(
            difference("backup", HeldRole::None, now).as_deref(),
            Some("holds none")
        );
    }

    #[test]
    fn a_copy_tells_percent_and_time_left() {
        let copy = |bytes_done| CopyProgress {
            bytes_done,
            bytes_total: 200,
            elapsed_ms: 1_000,
        };
        assert_eq!((percent(&copy(0)), time_left(&copy(0))), (0, None));
        assert_eq!(percent(&copy(50)), 25);
        assert_eq!(time_left(&copy(50)), Some(Duration::from_secs(3)));
        assert_eq!(
            (percent(&copy(300)), time_left(&copy(300))),
            (100, Some(Duration::ZERO))
        );
    }
}
