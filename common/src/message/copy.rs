//! A full copy, over a connection of its own that the joiner opens to the primary.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::id::{Epoch, Seq, ShardId};

/// From a joiner to the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinerToPrimary {
    /// Send a copy.
    Begin {
        /// The shard.
        shard: ShardId,
        /// The epoch in which the joiner was told that it needs one.
        epoch: Epoch,
    },
    /// So many parts were taken in; more may be sent.
    Taken {
        /// Parts since the copy began.
        parts: u64,
    },
}

/// From the primary to a joiner. First the records in key order, while writes go on; then the
/// batches from `from` on, which make the whole exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimaryToJoiner {
    /// No copy can be had now.
    Refused {
        /// Why.
        why: String,
    },
    /// The copy begins.
    Begins {
        /// The place in the log after which batches are sent at the end.
        from: Seq,
        /// What the records come to, about.
        bytes_total: u64,
    },
    /// Records of the checkpoint, in its own encoding.
    Records {
        /// Pairs of key and value as the checkpoint has them.
        records: Vec<(Bytes, Bytes)>,
    },
    /// A batch of the log, to be applied over the records.
    Batch {
        /// The batch.
        bytes: Bytes,
    },
    /// The copy is whole: it is the state at the end of `history`.
    Ends {
        /// The history that the joiner takes over.
        history: History,
    },
}
