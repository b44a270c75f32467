//! Everything that a replica can be told.

use kv_common::batch::Batch;
use kv_common::command::Command;
use kv_common::history::History;
use kv_common::id::{Epoch, NodeId, Seq, ShardId};
use kv_common::message::client::SessionStamp;
use kv_common::message::control::{CopyProgress, DiskFailure, FsyncMode};
use kv_common::message::replication::{FollowerToPrimary, PrimaryToFollower};
use kv_common::view::{ClusterMap, PrimarySeat};

use crate::promise::Promises;
use crate::state::State;

/// The shell's name for one request of one client connection. The core only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientToken(pub u64);

/// The shell's name for one replication connection. Never used twice in a run, so that what comes
/// late from a broken connection is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The number of an order to the meta store or the log, answered by the input that carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Who a replica is, for the length of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The shard that it holds.
    pub shard: ShardId,
    /// The node and its run.
    pub seat: PrimarySeat,
    /// When an entry counts as held.
    pub fsync: FsyncMode,
}

/// What storage found at the start, or what a finished copy brought.
#[derive(Debug)]
pub struct Recovered {
    /// Everything that is certainly committed, applied.
    pub state: State,
    /// The history of the whole log, the tail included.
    pub history: History,
    /// Batches behind what is applied: held, and not known to be committed.
    pub tail: Vec<Batch>,
    /// The first entry that the log still has.
    pub log_from: Seq,
    /// Whether the log must have all that was ever acknowledged. Not so with `everysec` after a stop
    /// that was not clean.
    pub tail_certain: bool,
    /// Why the node must not be chosen for its data (damage before the tail); none: it may.
    pub unfit: Option<String>,
}

/// What a replica is told.
#[derive(Debug)]
pub enum Input {
    /// A client asks.
    Request {
        /// To be handed back with the reply.
        client: ClientToken,
        /// The session part, if the client sent one.
        stamp: Option<SessionStamp>,
        /// What to do.
        command: Command,
    },
    /// The coordinator took our registration.
    CoordinatorUp,
    /// The connection to the coordinator broke.
    CoordinatorDown,
    /// The coordinator pushed a map.
    Map(ClusterMap),
    /// The coordinator asks for a seal.
    Seal {
        /// The shard.
        shard: ShardId,
        /// The epoch.
        epoch: Epoch,
    },
    /// The coordinator tells the primary to hand over.
    Handover {
        /// The shard.
        shard: ShardId,
        /// The epoch to be released.
        epoch: Epoch,
        /// The backup that is to be primary.
        to: NodeId,
        /// The epoch of the view that follows.
        seal: Epoch,
    },
    /// A connection that we dialled to a follower is open.
    FollowerUp {
        /// The follower.
        node: NodeId,
        /// The connection.
        link: LinkId,
    },
    /// It broke.
    FollowerDown {
        /// The follower.
        node: NodeId,
        /// The connection.
        link: LinkId,
    },
    /// A follower answered.
    FollowerSays {
        /// The follower.
        node: NodeId,
        /// The connection.
        link: LinkId,
        /// What it said.
        message: FollowerToPrimary,
    },
    /// A primary that called us sent a message. Pieces were put together: this is never
    /// `AppendPiece`.
    PrimarySays {
        /// The connection.
        link: LinkId,
        /// Who called, from its hello.
        seat: PrimarySeat,
        /// What it sent.
        message: PrimaryToFollower,
    },
    /// A connection from a primary broke.
    PrimaryDown {
        /// The connection.
        link: LinkId,
    },
    /// The log has everything up to here: on disk, or with `everysec` handed to the system.
    Flushed {
        /// The last entry.
        through: Seq,
    },
    /// The log was cut, durably.
    LogCut {
        /// The order.
        ticket: Ticket,
    },
    /// What [`crate::effect::Effect::ReadLog`] asked for; no batches: the log no longer has it.
    LogRead {
        /// The follower that it was for.
        node: NodeId,
        /// The connection that it was for.
        link: LinkId,
        /// Where reading began.
        from: Seq,
        /// Whole batches, the first of which holds `from`.
        batches: Vec<Batch>,
    },
    /// The log's head was cut off; it begins here now.
    LogReleased {
        /// The first entry that it still has.
        log_from: Seq,
    },
    /// The promises are durable.
    PromisesStored {
        /// The order.
        ticket: Ticket,
    },
    /// A copy goes on.
    CopyProgressed(CopyProgress),
    /// A copy is whole, durable and current: this is the node's data from now on.
    CopyDone(Box<Recovered>),
    /// A copy came to nothing. The former data stands.
    CopyFailed {
        /// Why.
        why: String,
    },
    /// Whether somebody listens to what happens to keys →
    /// [`crate::effect::Effect::KeyEvents`].
    TellKeyEvents(bool),
    /// The disk failed. Nothing is acknowledged any more in this run.
    DiskFailed(DiskFailure),
}

/// What a replica starts from.
#[derive(Debug)]
pub struct Start {
    /// Who it is.
    pub identity: Identity,
    /// What it promised in former runs.
    pub promises: Promises,
    /// What storage found.
    pub recovered: Recovered,
}
