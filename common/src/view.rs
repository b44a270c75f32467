//! Views: who is primary and who is in sync, as the coordinator decided it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Address, ClusterId, Epoch, Incarnation, NodeId, ShardId};
use crate::timing::Timing;

/// What a view lays down beside its members. Part of the view, so that a change of a setting is a
/// new epoch and no two nodes reckon with different ones in the same epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewSettings {
    /// How many copies the coordinator tries to keep, the primary's included.
    pub copies: u8,
    /// How many members must hold an entry before its success is answered.
    pub min_in_sync: u8,
    /// The one knob from which all periods follow.
    pub heartbeat_interval_ms: u32,
}

impl ViewSettings {
    /// The periods that follow from the heartbeat interval.
    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing::from_ms(self.heartbeat_interval_ms)
    }
}

/// The one run of one node that may act as primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PrimarySeat {
    /// The node.
    pub node: NodeId,
    /// Its run. After a restart the seat is another's.
    pub incarnation: Incarnation,
}

/// A primary's durable word that it gave an epoch up for good: no read, write or lease under it
/// again. It alone ends the wait of the next primary, and only for the seat it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The epoch that was given up.
    pub epoch: Epoch,
    /// Who gave it up.
    pub seat: PrimarySeat,
}

/// Who is primary and who is in sync in one epoch of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The shard that the view governs.
    pub shard: ShardId,
    /// The number of the view.
    pub epoch: Epoch,
    /// The one run of the one node that may act as primary.
    pub primary: PrimarySeat,
    /// The nodes in sync beside the primary, sorted, without the primary.
    pub backups: Vec<NodeId>,
    /// The word of the primary before, when it gave the role up in a planned switchover.
    pub release: Option<Release>,
    /// What else holds in this epoch.
    pub settings: ViewSettings,
}

impl View {
    /// Whether `node` is primary or backup in this view.
    #[must_use]
    pub fn has_member(&self, node: NodeId) -> bool {
        self.primary.node == node || self.backups.contains(&node)
    }

    /// The primary, then the backups.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::once(self.primary.node).chain(self.backups.iter().copied())
    }

    /// How many members the view has.
    #[must_use]
    pub fn member_count(&self) -> usize {
        1 + self.backups.len()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, primary {}", self.epoch, self.primary.node)?;
        for backup in &self.backups {
            write!(f, ", backup {backup}")?;
        }
        Ok(())
    }
}

/// How to reach a node and what people call it. Addresses may change with each registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The name that people read; by default the advertised address.
    pub name: String,
    /// Where clients and peers reach it.
    pub address: Address,
    /// Where Redis clients reach it, when it serves them.
    pub redis_address: Option<Address>,
}

/// What the coordinator pushes to everyone: the view in force, who is being brought in, and how
/// to reach the nodes. The view in it is durable at the coordinator before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMap {
    /// The cluster that the map is of.
    pub cluster: ClusterId,
    /// Counts up with each change of anything in the map; a lower one is stale.
    pub version: u64,
    /// The view in force; none before the first forms.
    pub view: Option<View>,
    /// The nodes that the primary is to bring into sync, sorted. They count for nothing yet.
    pub joiners: Vec<NodeId>,
    /// Every registered node.
    pub nodes: BTreeMap<NodeId, NodeInfo>,
}

impl ClusterMap {
    /// The name that people read for `node`: its registered name, or its id.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> String {
        self.nodes
            .get(&node)
            .map_or_else(|| node.to_string(), |info| info.name.clone())
    }

    /// Where the primary of the view is reached.
    #[must_use]
    pub fn primary_address(&self) -> Option<&Address> {
        let primary = self.view.as_ref()?.primary.node;
        self.nodes.get(&primary).map(|info| &info.address)
    }
}
