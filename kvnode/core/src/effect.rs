//! Everything that a replica asks its shell to do. Effects are carried out in the order in which
//! they come; none needs a decision.

use kv_common::batch::Batch;
use kv_common::command::Reply;
use kv_common::id::{Epoch, NodeId, Seq};
use kv_common::key_event::KeyEvent;
use kv_common::message::control::NodeToCoordinator;
use kv_common::message::replication::{FollowerToPrimary, PrimaryToFollower};
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;

use crate::input::{ClientToken, LinkId, Ticket};
use crate::promise::Promises;

/// What a replica asks its shell to do.
#[derive(Debug)]
pub enum Effect {
    /// Append to the log → [`crate::input::Input::Flushed`]. Orders to the log keep their order.
    Append(Batch),
    /// Cut off everything in the log after `after`, durably → [`crate::input::Input::LogCut`].
    CutLog {
        /// The last entry to keep.
        after: Seq,
        /// Comes back.
        ticket: Ticket,
    },
    /// Read batches for a follower → [`crate::input::Input::LogRead`].
    ReadLog {
        /// The follower.
        node: NodeId,
        /// The connection that asks.
        link: LinkId,
        /// The first entry that it lacks.
        from: Seq,
        /// Stop after so many bytes; one batch at least.
        max_bytes: usize,
    },
    /// Store the promises → [`crate::input::Input::PromisesStored`]. In order.
    StorePromises {
        /// All of them.
        promises: Promises,
        /// Comes back.
        ticket: Ticket,
    },
    /// Answer a client.
    Reply {
        /// The request.
        client: ClientToken,
        /// The answer.
        result: Result<Reply, Refusal>,
        /// The answer to a read: let it go only if the clock, read now, is before this; else the
        /// answer is [`Refusal::LeaseLost`]. None: let it go.
        lease_until: Option<Monotonic>,
    },
    /// Tell who listens: this happened to keys, and is applied. Only while somebody wants to hear it, and
    /// only of what this replica executed; whoever is primary next does not tell it.
    KeyEvents(Vec<KeyEvent>),
    /// Send to a follower, on this connection. A batch larger than a frame goes in pieces.
    SendFollower {
        /// The connection.
        link: LinkId,
        /// What.
        message: PrimaryToFollower,
    },
    /// Send to the primary that called on this connection.
    SendPrimary {
        /// The connection.
        link: LinkId,
        /// What.
        message: FollowerToPrimary,
    },
    /// Keep a connection open to each of these nodes and to no other, dialling again and again at
    /// the addresses of the newest map.
    KeepLinks {
        /// The followers, sorted.
        followers: Vec<NodeId>,
    },
    /// Drop this connection to a follower and dial again.
    ResetLink {
        /// The connection.
        link: LinkId,
    },
    /// Send to the coordinator; dropped while it is away.
    SendCoordinator(NodeToCoordinator),
    /// Fetch a copy from `from` into a fresh generation. A copy from another node that is under
    /// way is given up first.
    StartCopy {
        /// The primary.
        from: NodeId,
        /// The epoch in which the copy was found to be needed.
        epoch: Epoch,
    },
    /// The role changed: log it.
    RoleChanged {
        /// The new role in words, with epoch and reason.
        role: String,
    },
}
