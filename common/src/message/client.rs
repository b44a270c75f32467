//! Between a client and a node.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Command, Reply};
use crate::id::{Position, RequestId};
use crate::message::control::NodeReport;
use crate::refusal::Refusal;
use crate::view::ClusterMap;

/// The session part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStamp {
    /// Session and number. A retry carries the same.
    pub id: RequestId,
    /// Up to where the client has its answers.
    pub floor: u64,
}

/// From a client to a node. `id` is the client's own number for the exchange; answers carry it and
/// may come in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientToNode {
    /// Execute a command → [`NodeToClient::Answer`].
    #[serde(rename = "R")]
    Request {
        /// The exchange.
        id: u64,
        /// Makes a write take effect once, however often it is sent.
        stamp: Option<SessionStamp>,
        /// What to do.
        command: Command,
    },
    /// What the node knows of the cluster → [`NodeToClient::Map`]. Any node answers.
    Map {
        /// The exchange.
        id: u64,
    },
    /// How the node is → [`NodeToClient::Report`]. Any node answers.
    Report {
        /// The exchange.
        id: u64,
    },
    /// The node's digest at a marked position → [`NodeToClient::Digest`], as soon as it has
    /// applied that position. Any node answers.
    Digest {
        /// The exchange.
        id: u64,
        /// A position that [`Reply::Marked`] named.
        at: Position,
    },
    /// Write `db.txt` now → [`NodeToClient::Dumped`]. Any node with data answers.
    Dump {
        /// The exchange.
        id: u64,
    },
    /// Send the whole key space at one position, in the `db.txt` format →
    /// [`NodeToClient::ExportBegins`], parts, [`NodeToClient::ExportEnds`]. The primary answers.
    Export {
        /// The exchange.
        id: u64,
    },
}

/// From a node to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeToClient {
    /// The end of a request.
    #[serde(rename = "A")]
    Answer {
        /// The exchange.
        id: u64,
        /// The reply, or why there is none.
        result: Result<Reply, Refusal>,
    },
    /// What the node knows of the cluster.
    Map {
        /// The exchange.
        id: u64,
        /// The newest map that the node has; none if it never reached a coordinator.
        map: Option<ClusterMap>,
    },
    /// How the node is.
    Report {
        /// The exchange.
        id: u64,
        /// The report.
        report: NodeReport,
    },
    /// What the node held at a mark.
    Digest {
        /// The exchange.
        id: u64,
        /// The digest, or why there is none.
        result: Result<MarkDigest, Refusal>,
    },
    /// The end of a dump.
    Dumped {
        /// The exchange.
        id: u64,
        /// What was written, or why nothing was.
        result: Result<DumpSummary, Refusal>,
    },
    /// An export begins, or why not.
    ExportBegins {
        /// The exchange.
        id: u64,
        /// What is coming, or why nothing is.
        result: Result<DumpSummary, Refusal>,
    },
    /// The next bytes of an export.
    ExportPart {
        /// The exchange.
        id: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The export is whole.
    ExportEnds {
        /// The exchange.
        id: u64,
    },
}

/// What a copy held at a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkDigest {
    /// The mark.
    pub at: Position,
    /// Keys held.
    pub keys: u64,
    /// Order-free digest of keys, values and expiries.
    pub digest: u128,
}

/// What a dump or an export holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpSummary {
    /// The position that it stands for.
    pub at: Position,
    /// Pairs in it.
    pub keys: u64,
    /// Its length.
    pub bytes: u64,
    /// The file on the node; empty for an export.
    pub path: String,
}
