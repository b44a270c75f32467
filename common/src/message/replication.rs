//! Between a primary and each node that follows it, over a connection that the primary opens.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::id::{Epoch, Position, Seq, ShardId};
use crate::time::Monotonic;
use crate::view::View;

/// What every message of a primary carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryStamp {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that the primary acts in. Older than the follower's view: refused.
    pub epoch: Epoch,
    /// The primary's clock when it sent this; the follower's answers carry it back, and the lease
    /// runs from it.
    pub sent_at: Monotonic,
    /// Everything up to here is committed. Counts only up to where histories were matched.
    pub committed: Seq,
    /// Everything up to here was held by as many members as a success needs.
    pub assured: Seq,
}

/// From the primary to a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimaryToFollower {
    /// First on a connection and first in an epoch: here is the view and my history; cut off what
    /// differs and say from where to go on → [`FollowerToPrimary::Matched`] or
    /// [`FollowerToPrimary::NeedsCopy`].
    Match {
        /// The stamp.
        stamp: PrimaryStamp,
        /// The view that the primary acts in.
        view: View,
        /// The primary's whole history.
        history: History,
        /// The first entry that the primary's log still has.
        log_from: Seq,
    },
    /// The next batch → [`FollowerToPrimary::Ack`] once it is held.
    Append {
        /// The stamp.
        stamp: PrimaryStamp,
        /// The batch, as it stands on disk.
        batch: Bytes,
    },
    /// A part of a batch that is larger than a frame. Parts come in order; beats may come between.
    AppendPiece {
        /// The epoch.
        epoch: Epoch,
        /// Where the part begins.
        offset: u32,
        /// The whole batch's length.
        total: u32,
        /// The part.
        bytes: Bytes,
        /// With the last part: the stamp of the append that is now whole.
        stamp: Option<PrimaryStamp>,
    },
    /// Nothing new but the time and the marks → [`FollowerToPrimary::Ack`].
    Beat {
        /// The stamp.
        stamp: PrimaryStamp,
    },
}

/// From a follower to the primary. Every answer but a refusal renews the primary's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FollowerToPrimary {
    /// Our logs agree up to `common`, and what I had beyond it is cut off.
    Matched {
        /// The epoch that this answers.
        epoch: Epoch,
        /// `sent_at` of the newest message of the epoch that came in.
        answers: Monotonic,
        /// The last common point; go on behind it.
        common: Position,
        /// Up to where the follower holds the log; at most `common`.
        held: Seq,
    },
    /// Our logs do not meet, or not in what your log still has; I fetch a copy and ask again.
    NeedsCopy {
        /// The epoch that this answers.
        epoch: Epoch,
        /// `sent_at` of the newest message of the epoch that came in.
        answers: Monotonic,
    },
    /// I hold the log up to here.
    Ack {
        /// The epoch that this answers.
        epoch: Epoch,
        /// `sent_at` of the newest message of the epoch that came in.
        answers: Monotonic,
        /// Up to where the follower holds the log.
        held: Seq,
    },
    /// I take nothing from you.
    Refused {
        /// The epoch that this answers.
        epoch: Epoch,
        /// Why.
        why: FollowerRefusal,
    },
}

/// Why a follower took nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FollowerRefusal {
    /// The follower knows a newer view.
    #[error("epoch {epoch} is over: the follower is in epoch {newer}")]
    OldEpoch {
        /// The epoch of the message.
        epoch: Epoch,
        /// The follower's.
        newer: Epoch,
    },
    /// The follower is sealed against the epoch.
    #[error("epoch {epoch} is sealed: the follower promised to wait for epoch {seal}")]
    Sealed {
        /// The epoch of the message.
        epoch: Epoch,
        /// What was promised.
        seal: Epoch,
    },
    /// The sender is not the primary of the view.
    #[error("the sender is not the primary of epoch {epoch}")]
    NotThePrimary {
        /// The epoch.
        epoch: Epoch,
    },
    /// A batch does not follow the follower's log; match again.
    #[error("a batch from {got} on does not follow {last}")]
    Gap {
        /// The follower's last entry.
        last: Seq,
        /// The batch's first.
        got: Seq,
    },
    /// No match was made in this epoch on this connection; match first.
    #[error("histories were not matched in epoch {epoch}")]
    NotMatched {
        /// The epoch.
        epoch: Epoch,
    },
    /// The batch is damaged or unreadable.
    #[error("a batch cannot be read: {cause}")]
    BadBatch {
        /// What is wrong with it.
        cause: String,
    },
    /// The follower's disk fails; it keeps nothing.
    #[error("the follower's disk fails: {cause}")]
    DiskFailed {
        /// What the system said.
        cause: String,
    },
}
