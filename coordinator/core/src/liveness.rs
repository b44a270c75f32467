//! What the coordinator hears. Never stored: after a start, everybody is given a whole failure
//! timeout before silence means anything.

use std::collections::BTreeMap;

use kv_common::id::{Incarnation, NodeId};
use kv_common::message::control::{DiskHealth, NodeReport, Standing};
use kv_common::time::Monotonic;
use kv_common::timing::Timing;
use kv_common::view::PrimarySeat;

use crate::input::ConnectionId;

/// A node that is registered and connected, or was.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The connection, while it stands.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) incarnation: Incarnation,
    pub(crate) standing: Standing,
    pub(crate) registered_at: Monotonic,
    pub(crate) heard_at: Monotonic,
    pub(crate) lost_at: Option<Monotonic>,
    /// The newest report, and when it came.
    pub(crate) report: Option<(NodeReport, Monotonic)>,
    /// Since when its reports say that its disk failed.
    broken_since: Option<Monotonic>,
}

/// What the coordinator hears.
#[derive(Debug)]
pub(crate) struct Liveness {
    pub(crate) nodes: BTreeMap<NodeId, Heard>,
    /// Connections whose hello is through; registered or not.
    connections: BTreeMap<ConnectionId, (NodeId, Incarnation)>,
    /// Since when silence counts.
    counts_from: Monotonic,
    last_turn: Monotonic,
}

impl Liveness {
    pub(crate) fn new(now: Monotonic) -> Self {
        Self {
            nodes: BTreeMap::new(),
            connections: BTreeMap::new(),
            counts_from: now,
            last_turn: now,
        }
    }

    /// A turn of the coordinator. If it did not run for a while, what nodes sent meanwhile may
    /// still be waiting to be read, so silence counts from now on only.
    pub(crate) fn turn(&mut self, now: Monotonic, timing: Timing) {
        if now.since(self.last_turn) >= timing.down() / 2 {
            self.counts_from = now;
        }
        self.last_turn = now;
    }

    /// Whether the coordinator has listened for a whole failure timeout.
    pub(crate) fn listened_long_enough(&self, now: Monotonic, timing: Timing) -> bool {
        now.since(self.counts_from) >= timing.down()
    }

    /// When the coordinator last did anything.
    pub(crate) fn last_turn(&self) -> Monotonic {
        self.last_turn
    }

    pub(crate) fn counts_from(&self) -> Monotonic {
        self.counts_from
    }

    pub(crate) fn connected(
        &mut self,
        connection: ConnectionId,
        node: NodeId,
        incarnation: Incarnation,
    ) {
        self.connections.insert(connection, (node, incarnation));
    }

    /// Whose connection it is.
    pub(crate) fn caller(&self, connection: ConnectionId) -> Option<(NodeId, Incarnation)> {
        self.connections.get(&connection).copied()
    }

    /// A node's registration was taken. Returns the connection that it replaces.
    pub(crate) fn registered(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        node: NodeId,
        incarnation: Incarnation,
        standing: Standing,
    ) -> Option<ConnectionId> {
        let heard = Heard {
            connection: Some(connection),
            incarnation,
            standing,
            registered_at: now,
            heard_at: now,
            lost_at: None,
            report: None,
            broken_since: None,
        };
        let before = self.nodes.insert(node, heard)?;
        before.connection.filter(|old| *old != connection)
    }

    /// Returns the node whose registered connection broke.
    pub(crate) fn disconnected(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
    ) -> Option<NodeId> {
        let (node, _) = self.connections.remove(&connection)?;
        let heard = self.nodes.get_mut(&node)?;
        if heard.connection != Some(connection) {
            return None;
        }
        heard.connection = None;
        heard.lost_at = Some(now);
        Some(node)
    }

    /// The registered node behind a connection, which was just heard.
    pub(crate) fn heard(&mut self, now: Monotonic, connection: ConnectionId) -> Option<NodeId> {
        let (node, _) = self.caller(connection)?;
        let heard = self.nodes.get_mut(&node)?;
        if heard.connection != Some(connection) {
            return None;
        }
        heard.heard_at = now;
        Some(node)
    }

    pub(crate) fn reported(&mut self, now: Monotonic, node: NodeId, report: NodeReport) {
        if let Some(heard) = self.nodes.get_mut(&node) {
            let broken = matches!(report.disk, DiskHealth::Failed(_));
            heard.broken_since = broken.then(|| heard.broken_since.unwrap_or(now));
            heard.report = Some((report, now));
        }
    }

    pub(crate) fn connection_of(&self, node: NodeId) -> Option<ConnectionId> {
        self.nodes.get(&node)?.connection
    }

    /// Which run of a node is connected.
    pub(crate) fn connected_run_of(&self, node: NodeId) -> Option<Incarnation> {
        let heard = self.nodes.get(&node)?;
        heard.connection.map(|_| heard.incarnation)
    }

    pub(crate) fn is_connected(&self, node: NodeId) -> bool {
        self.connection_of(node).is_some()
    }

    pub(crate) fn report_of(&self, node: NodeId) -> Option<&NodeReport> {
        let (report, _) = self.nodes.get(&node)?.report.as_ref()?;
        Some(report)
    }

    /// What a node that is connected reported in its present run.
    pub(crate) fn report_of_connected(&self, node: NodeId) -> Option<&NodeReport> {
        self.report_of(node).filter(|_| self.is_connected(node))
    }

    /// Whether this run has said that it is about to stop.
    pub(crate) fn is_leaving(&self, seat: PrimarySeat) -> bool {
        let Some(heard) = self.nodes.get(&seat.node) else {
            return false;
        };
        let says_so = heard
            .report
            .as_ref()
            .is_some_and(|(report, _)| report.leaving);
        says_so && heard.incarnation == seat.incarnation && heard.connection.is_some()
    }

    /// Whether a node is connected and has not said that it is about to stop.
    pub(crate) fn is_staying(&self, node: NodeId) -> bool {
        let leaving = self.report_of(node).is_some_and(|report| report.leaving);
        self.is_connected(node) && !leaving
    }

    /// How long a node was not heard, as far as that counts.
    pub(crate) fn silent_for(&self, now: Monotonic, node: NodeId) -> std::time::Duration {
        let heard_at = self.nodes.get(&node).map(|heard| heard.heard_at);
        now.since(heard_at.unwrap_or_default().max(self.counts_from))
    }

    /// Whether a node is connected and its disk works, as far as it told.
    pub(crate) fn can_take_part(&self, node: NodeId) -> bool {
        self.nodes
            .get(&node)
            .is_some_and(|heard| heard.connection.is_some() && heard.broken_since.is_none())
    }

    /// For how long a node could not take part: it was silent, or its disk broken.
    pub(crate) fn out_for(&self, now: Monotonic, node: NodeId) -> std::time::Duration {
        let broken_since = self.nodes.get(&node).and_then(|heard| heard.broken_since);
        let broken = broken_since
            .map(|since| now.since(since))
            .unwrap_or_default();
        self.silent_for(now, node).max(broken)
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }
}
