//! How the cluster is, asked of the coordinator.

use std::collections::BTreeSet;

use kv_common::id::{Epoch, NodeId, Seq};
use kv_common::message::control::{HeldRole, NodeReport};
use kv_common::message::registry::{ClientToCoordinator, ClusterStatus, CoordinatorToClient};
use kv_common::view::View;

use crate::link::Link;

/// What the coordinator says, with nodes by the names that people read.
#[derive(Clone, Debug)]
pub struct Status(ClusterStatus);

/// What a node last reported.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// Whether the coordinator hears it.
    pub connected: bool,
    /// Its last report.
    pub report: Option<NodeReport>,
}

impl Status {
    /// Asks the coordinator at `address`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(address: &str) -> Result<Self, String> {
        let mut link = Link::as_client(address)?;
        link.send(&ClientToCoordinator::Status { id: 1 });
        loop {
            match link.receive() {
                Some(CoordinatorToClient::Status { status, .. }) => return Ok(Self(status)),
                Some(_) => {}
                None => return Err(format!("{address} closed instead of answering")),
            }
        }
    }

    /// The epoch in force; 0 before the first view.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.view().map_or(Epoch::ZERO, |view| view.epoch)
    }

    /// The name of the primary of the view.
    #[must_use]
    pub fn primary(&self) -> Option<String> {
        self.view()
            .map(|view| self.0.map.name_of(view.primary.node))
    }

    /// The names of the backups of the view.
    #[must_use]
    pub fn backups(&self) -> BTreeSet<String> {
        let backups = self.view().map(|view| view.backups.as_slice());
        let names = backups.unwrap_or_default().iter();
        names.map(|node| self.0.map.name_of(*node)).collect()
    }

    /// Whether the primary of the view acts as such, so that it answers.
    #[must_use]
    pub fn primary_acts(&self) -> bool {
        let Some(view) = self.view() else {
            return false;
        };
        let role = self.report_of(view.primary.node).map(|report| report.role);
        role == Some(HeldRole::Primary { epoch: view.epoch })
    }

    /// How many members the view has, if its primary acts as such; else 0.
    #[must_use]
    pub fn members_in_sync(&self) -> usize {
        let members = self.view().map_or(0, View::member_count);
        if self.primary_acts() { members } else { 0 }
    }

    /// What the node called `name` last reported; none when no such node is registered.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeState> {
        let status = &self.0;
        let named = |node: &NodeId| status.map.name_of(*node) == name;
        let node = status.nodes.iter().find(|node| named(&node.node))?;
        Some(NodeState {
            connected: node.connected,
            report: node.report.clone(),
        })
    }

    /// Up to where the primary has committed, by its last report.
    #[must_use]
    pub fn committed(&self) -> Seq {
        let primary = self.view().map(|view| view.primary.node);
        let report = primary.and_then(|primary| self.report_of(primary));
        report.map_or(Seq::ZERO, |report| report.positions.committed)
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.0.map.cluster.to_string()
    }

    /// How many nodes are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.0.nodes.iter().filter(|node| node.connected).count()
    }

    /// Whether one of the sentences on what is wrong contains `text`.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.0
            .conditions
            .iter()
            .any(|sentence| sentence.contains(text))
    }

    fn view(&self) -> Option<&View> {
        self.0.map.view.as_ref()
    }

    fn report_of(&self, node: NodeId) -> Option<&NodeReport> {
        let status = self.0.nodes.iter().find(|status| status.node == node)?;
        status.report.as_ref()
    }
}
