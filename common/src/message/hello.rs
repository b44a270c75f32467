//! The opening of every connection: the dialling side says who it is, the other side answers once.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, Incarnation, NodeId};

/// The version of the messages. Sides with different versions do not talk.
pub const PROTOCOL_VERSION: u32 = 1;

/// The first frame on a connection, from the side that dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the caller.
    pub protocol: u32,
    /// The cluster that the caller belongs to; none if it belongs to none yet.
    pub cluster: Option<ClusterId>,
    /// Who calls, and what for.
    pub caller: Caller,
    /// What proves who the caller is; none in clusters without authentication.
    pub credentials: Option<Vec<u8>>,
}

/// Who calls, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// A client of the key space or of the coordinator.
    Client {
        /// What it calls itself, for logs.
        name: String,
    },
    /// A node that registers with the coordinator.
    Node {
        /// The node.
        node: NodeId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// A primary that replicates to the node it calls.
    Primary {
        /// The primary.
        node: NodeId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// A joiner that fetches a copy from the node it calls.
    Joiner {
        /// The joiner.
        node: NodeId,
        /// Its run.
        incarnation: Incarnation,
    },
}

/// The answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// The caller may go on.
    Accepted {
        /// The cluster that the callee belongs to.
        cluster: Option<ClusterId>,
        /// The node that was reached; none at a coordinator.
        node: Option<NodeId>,
        /// The run of that node.
        incarnation: Option<Incarnation>,
    },
    /// The caller may not go on; the connection closes.
    Refused(HelloRefusal),
}

/// Why a hello was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum HelloRefusal {
    /// The versions differ.
    #[error("protocol version {theirs} was asked for; this program speaks {ours}")]
    Protocol {
        /// The callee's.
        ours: u32,
        /// The caller's.
        theirs: u32,
    },
    /// The caller belongs to another cluster.
    #[error("the caller belongs to cluster {theirs}; this is cluster {ours}")]
    Cluster {
        /// The callee's.
        ours: ClusterId,
        /// The caller's.
        theirs: ClusterId,
    },
    /// Callers of this kind have no business here.
    #[error(
        "callers of that kind have no business there; perhaps a node is taken for a coordinator"
    )]
    WrongDoor,
    /// As many connections are open as are allowed.
    #[error("{max} connections are open; no more are taken")]
    TooManyConnections {
        /// The bound.
        max: u64,
    },
    /// What came is no hello.
    #[error("the first frame is not a hello of this protocol")]
    NotAHello,
}
