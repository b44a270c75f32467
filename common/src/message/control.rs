//! Between a node and the coordinator, over one connection that the node keeps open.

use serde::{Deserialize, Serialize};

use crate::id::{Address, ClusterId, Epoch, Incarnation, NodeId, Position, Seq, ShardId};
use crate::view::{ClusterMap, Release, View};

/// When a node may count an entry as held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FsyncMode {
    /// When the disk has it.
    Always,
    /// When memory has it; the disk follows within a second.
    EverySec,
}

impl std::fmt::Display for FsyncMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::EverySec => "everysec",
        })
    }
}

/// From a node to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeToCoordinator {
    /// The first message: who this is.
    Register(Registration),
    /// Every heartbeat interval, from a thread of its own.
    Heartbeat(NodeReport),
    /// The promise that a seal asks for, durable at the node. Also the answer to a handover.
    Sealed(SealAnswer),
    /// The primary asks for another view.
    Propose(Proposal),
    /// A handover was given up; nothing was released and the primary goes on.
    HandoverFailed {
        /// The shard.
        shard: ShardId,
        /// The epoch that was to be released.
        epoch: Epoch,
        /// Why.
        why: String,
    },
}

/// Who registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The node.
    pub node: NodeId,
    /// Its run.
    pub incarnation: Incarnation,
    /// The name that people read.
    pub name: String,
    /// Where clients and peers reach it.
    pub address: Address,
    /// Where Redis clients reach it, if anywhere.
    pub redis_address: Option<Address>,
    /// One setting for the whole cluster.
    pub fsync: FsyncMode,
    /// What the node brings along.
    pub standing: Standing,
}

/// What a node brings along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It never adopted a view.
    Fresh {
        /// What it imported from a `db.txt`; none if it came empty.
        data: Option<DataSummary>,
    },
    /// It adopted a view once.
    Veteran {
        /// The epoch of the last view that it adopted.
        view_epoch: Epoch,
        /// The seal that it gave, if it is above the view.
        seal: Epoch,
    },
}

/// What a node holds, in figures that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Keys.
    pub keys: u64,
    /// Order-free digest of keys, values and expiries.
    pub digest: u128,
}

/// The role that a node really holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldRole {
    /// None: it waits for a view, or for the primary.
    None,
    /// It follows the primary of this epoch and has matched its history.
    Follower {
        /// The epoch.
        epoch: Epoch,
    },
    /// It fetches a copy from the primary of this epoch.
    Copying {
        /// The epoch.
        epoch: Epoch,
    },
    /// It is primary and not serving yet: it waits, or brings its backups to its tail.
    TakingOver {
        /// The epoch.
        epoch: Epoch,
    },
    /// It is primary and serves.
    Primary {
        /// The epoch.
        epoch: Epoch,
    },
}

impl HeldRole {
    /// The epoch in which the node acts as primary, serving or about to.
    #[must_use]
    pub fn primary_epoch(self) -> Option<Epoch> {
        match self {
            Self::Primary { epoch } | Self::TakingOver { epoch } => Some(epoch),
            Self::None | Self::Follower { .. } | Self::Copying { .. } => None,
        }
    }
}

/// The positions of a node's log, as a chain: `applied ≤ committed ≤ held ≤ appended`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    /// In the table.
    pub applied: Seq,
    /// Held by every member.
    pub committed: Seq,
    /// Held here: flushed, or with `everysec` in memory.
    pub held: Seq,
    /// In the log, flushed or not.
    pub appended: Seq,
    /// Held by as many members as a success needs.
    pub assured: Seq,
}

/// How a node's disk does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskHealth {
    /// It takes what it is given.
    Works,
    /// A flush has been under way for so long.
    Slow {
        /// Since the flush began.
        pending_ms: u64,
    },
    /// It failed; the node acknowledges nothing more in this run.
    Failed(Box<DiskFailure>),
}

/// What became of a disk that takes nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFailure {
    /// What kind of trouble it is in.
    pub trouble: DiskTrouble,
    /// What the system said, and of which file.
    pub cause: String,
}

/// What kind of trouble a disk is in: what an operator would do about it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskTrouble {
    /// There is no space left.
    Full,
    /// It takes no writes at all.
    ReadOnly,
    /// It refuses reads or writes, or does not answer.
    Failing,
}

impl std::fmt::Display for DiskTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Failing => "failing",
        })
    }
}

/// A copy under way, at the joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Bytes that came.
    pub bytes_done: u64,
    /// Bytes in all, as the source reckons.
    pub bytes_total: u64,
    /// Since the copy began.
    pub elapsed_ms: u64,
}

/// How far a backup or joiner is, as its primary sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerProgress {
    /// The follower.
    pub node: NodeId,
    /// Up to where it holds the log, once its history was matched.
    pub held: Option<Seq>,
    /// Since its last answer.
    pub silent_ms: u64,
}

/// What a heartbeat carries, and what a node tells a client that asks how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The shard that the report is of.
    pub shard: ShardId,
    /// The node.
    pub node: NodeId,
    /// Its run.
    pub incarnation: Incarnation,
    /// The epoch of the last view that it adopted.
    pub view_epoch: Epoch,
    /// That view, for a coordinator that has lost its own past.
    pub view: Option<Box<View>>,
    /// The highest seal that it gave; no lower epoch is served.
    pub seal: Epoch,
    /// The role that it really holds.
    pub role: HeldRole,
    /// Where its log is.
    pub positions: Positions,
    /// The epoch of the last entry in its log.
    pub last_epoch: Epoch,
    /// Keys in its table.
    pub keys: u64,
    /// How its disk does.
    pub disk: DiskHealth,
    /// Since the serving thread last made a turn. Filled in by the thread that sends heartbeats.
    pub serving_age_ms: u64,
    /// The peers that it hears: a primary its backups, a backup its primary.
    pub hears: Vec<NodeId>,
    /// At a primary: how far the others are.
    pub followers: Vec<FollowerProgress>,
    /// At a joiner: the copy under way.
    pub copy: Option<CopyProgress>,
    /// It was asked to stop, and wants to hand its role over first.
    #[serde(default)]
    pub leaving: bool,
    /// Why it must not be chosen for its data and needs a copy, if that is so.
    #[serde(default)]
    pub unfit: Option<Box<str>>,
}

/// A node's promise to accept no entry and grant no lease below an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealAnswer {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that was asked for; the answer counts for no other.
    pub epoch: Epoch,
    /// The run that promises.
    pub incarnation: Incarnation,
    /// The epoch of the last view that the node adopted.
    pub view_epoch: Epoch,
    /// Up to where its log goes; none when it must not be chosen for its data (damage before the
    /// tail, a copy under way, no data yet).
    pub position: Option<Position>,
    /// Whether the log must have all that the node ever acknowledged. Not so with `everysec` after a
    /// stop that was not clean.
    pub tail_certain: bool,
    /// Whether it is fit to be primary.
    pub healthy: bool,
    /// The role it gave up for good, in a planned switchover.
    pub release: Option<Release>,
}

/// What a primary asks of the coordinator: its view, changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that the new view is to replace. Any other: refused.
    pub replaces: Epoch,
    /// The primary's run.
    pub incarnation: Incarnation,
    /// The backups that the new view is to have, sorted. Not in the view now: a joiner that holds
    /// everything committed. In the view now and not here: a backup to be removed.
    pub backups: Vec<NodeId>,
    /// Why, for the event log.
    pub why: String,
}

/// From the coordinator to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoordinatorToNode {
    /// The node is registered.
    Registered {
        /// The cluster that it belongs to from now on.
        cluster: ClusterId,
        /// How often to send heartbeats.
        heartbeat_interval_ms: u32,
    },
    /// The node is not taken.
    Refused(RegistrationRefusal),
    /// The newest map. Refused proposals are answered by one as well, with a higher epoch.
    Map(ClusterMap),
    /// Accept no entry and grant no lease below this epoch, and say how far your log goes.
    Seal {
        /// The shard.
        shard: ShardId,
        /// The epoch.
        epoch: Epoch,
    },
    /// To the primary: stop executing writes, bring `to` to your position, release your epoch for
    /// good, and answer as to a seal at `seal`.
    Handover {
        /// The shard.
        shard: ShardId,
        /// The epoch that is to be released; any other: ignore.
        epoch: Epoch,
        /// The backup that is to be primary.
        to: NodeId,
        /// The epoch of the view that follows.
        seal: Epoch,
    },
}

/// Why a node was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RegistrationRefusal {
    /// A later run of the same node is registered.
    #[error("run {theirs} of this node is over: run {newest} has registered")]
    OldIncarnation {
        /// What registered now.
        theirs: Incarnation,
        /// What is known.
        newest: Incarnation,
    },
    /// `--fsync` differs from the cluster's.
    #[error("this node has --fsync {theirs}; the cluster has {ours}, set by its first node")]
    Fsync {
        /// The cluster's.
        ours: FsyncMode,
        /// The node's.
        theirs: FsyncMode,
    },
    /// Another node has the address.
    #[error("{address} is the address of node {holder}, which is connected")]
    AddressTaken {
        /// The address.
        address: Address,
        /// Who has it.
        holder: NodeId,
    },
    /// Another node has the name.
    #[error(
        "'{name}' is the name of node {holder}, which is connected; give this node another --name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        holder: NodeId,
    },
    /// More nodes are known than a coordinator keeps.
    #[error(
        "{max} nodes are known already; have those that are gone forgotten (kvclient admin forget)"
    )]
    TooManyNodes {
        /// The bound.
        max: usize,
    },
    /// An operator has told the coordinator to forget the node.
    #[error("this node was forgotten by an operator; start it with an empty data directory")]
    Forgotten,
}
