//! Between a client and the coordinator.

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, NodeId};
use crate::message::control::NodeReport;
use crate::refusal::Refusal;
use crate::time::UnixMs;
use crate::view::ClusterMap;

/// From a client to the coordinator. `id` is the client's own number for the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientToCoordinator {
    /// The map now, and each new one from now on → [`CoordinatorToClient::Map`].
    Watch,
    /// How everything is → [`CoordinatorToClient::Status`].
    Status {
        /// The exchange.
        id: u64,
    },
    /// The decisions after number `after`, oldest first → [`CoordinatorToClient::Events`].
    Events {
        /// The exchange.
        id: u64,
        /// 0 for all that are kept.
        after: u64,
        /// At most so many, the newest.
        limit: u32,
    },
    /// An order → [`CoordinatorToClient::Ordered`] when it is carried out or refused.
    Order {
        /// The exchange.
        id: u64,
        /// What to do.
        order: Order,
    },
}

/// What an operator can order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Hand the primary role to a backup: the one named, or the one furthest ahead.
    Switchover {
        /// The backup, by id, name or address.
        to: Option<String>,
    },
    /// Forget a node that is away for good.
    Forget {
        /// The node, by id, name or address.
        node: String,
    },
    /// Take a node out: it hands the primary role over, leaves the view, and is not chosen again.
    Drain {
        /// The node, by id, name or address.
        node: String,
    },
    /// Let a node that was taken out take part again.
    Undrain {
        /// The node, by id, name or address.
        node: String,
    },
    /// Form the first view with the nodes that are here.
    Form {
        /// The node whose data counts, by id, name or address; needed when several bring data.
        from: Option<String>,
    },
    /// Make a node primary although it may lack what was acknowledged: the way out when every member
    /// of the view is gone for good.
    ForcePrimary {
        /// The node, by id, name or address.
        node: String,
        /// The epoch of the view that the operator saw and gives up; none: only say what would be lost.
        confirmed_epoch: Option<Epoch>,
    },
    /// Take the views that the nodes hold for the past of a coordinator that has lost its own.
    AdoptViews {
        /// How many nodes of the cluster have data. All of them have to be there to be asked.
        nodes: u16,
        /// Go on although some of them are not.
        accepts_loss: bool,
    },
}

/// From the coordinator to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoordinatorToClient {
    /// The newest map.
    Map(ClusterMap),
    /// How everything is.
    Status {
        /// The exchange.
        id: u64,
        /// It.
        status: ClusterStatus,
    },
    /// Decisions.
    Events {
        /// The exchange.
        id: u64,
        /// Oldest first.
        events: Vec<Event>,
    },
    /// The end of an order.
    Ordered {
        /// The exchange.
        id: u64,
        /// What was done, in a sentence; or why nothing was.
        result: Result<String, Refusal>,
    },
}

/// How everything is, as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The map in force.
    pub map: ClusterMap,
    /// What the cluster waits for or suffers from, one sentence each; empty when all is well.
    pub conditions: Vec<String>,
    /// Every registered node.
    pub nodes: Vec<NodeStatus>,
}

/// How one node is, as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Whether its connection stands.
    pub connected: bool,
    /// Since the coordinator last heard it; none: not since the coordinator started.
    pub silent_ms: Option<u64>,
    /// Its last report.
    pub report: Option<NodeReport>,
    /// Whether an operator took it out.
    #[serde(default)]
    pub drained: bool,
}

/// A decision of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up from 1.
    pub number: u64,
    /// When.
    pub at: UnixMs,
    /// The epoch in force after it.
    pub epoch: Epoch,
    /// The rule that led to it.
    pub rule: String,
    /// What was decided, and why, with the names of nodes.
    pub what: String,
}
