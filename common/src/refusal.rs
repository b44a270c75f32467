//! Why a node did not do what a client asked: one closed list, each case with what a person or a
//! client library needs to act on it.

use serde::{Deserialize, Serialize};

use crate::id::{Address, Epoch, SessionId};

/// Why a request was refused, or why its outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// This node is not the primary. Nothing was done; ask the primary.
    #[error("this node is not the primary (epoch {epoch}){}", hint(primary.as_ref()))]
    NotPrimary {
        /// Where the primary is, as far as this node knows.
        primary: Option<Address>,
        /// The epoch that this node knows.
        epoch: Epoch,
    },
    /// This node is primary and not ready yet. Nothing was done; ask again shortly.
    #[error("the primary is taking over and not ready yet (epoch {epoch}); ask again shortly")]
    TakingOver {
        /// The epoch that it takes over.
        epoch: Epoch,
    },
    /// Too few copies are in sync for new writes. Nothing was done.
    #[error("too few copies in sync: {have} of {need}")]
    TooFewInSync {
        /// Members of the view.
        have: u8,
        /// Members that it takes.
        need: u8,
    },
    /// The primary has not heard its backups for too long to be sure that it still is the
    /// primary. Reads are refused; ask again.
    #[error("the primary lost its lease: it has not heard from every backup; ask again shortly")]
    LeaseLost,
    /// The request may or may not take effect. A retry under the same request id is safe.
    #[error("the outcome is unknown: the write may or may not take effect")]
    OutcomeUnknown,
    /// More is waiting than this node is willing to hold. Nothing was done; ask again later.
    #[error("overloaded: {waiting_bytes} bytes of writes are waiting; ask again later")]
    Overloaded {
        /// What waits.
        waiting_bytes: u64,
    },
    /// No such session: it ended, or was never opened. Nothing was done.
    #[error("session {session} is not open")]
    UnknownSession {
        /// The session that was named.
        session: SessionId,
    },
    /// The client has said that it has the answer to this request. Nothing was done.
    #[error("request {number} is not above the session's floor {floor}")]
    BelowFloor {
        /// The number that was asked.
        number: u64,
        /// Up to where the client has its answers.
        floor: u64,
    },
    /// The session has too many requests open. Nothing was done.
    #[error("request {number} is more than {window} above the session's floor {floor}")]
    BeyondWindow {
        /// The number that was asked.
        number: u64,
        /// Up to where the client has its answers.
        floor: u64,
        /// How far above it numbers may go.
        window: u64,
    },
    /// The shard keeps as many sessions as it can. Nothing was done.
    #[error("{max} sessions are open; no more fit")]
    TooManySessions {
        /// The bound.
        max: u64,
    },
    /// The value is no number to add to. Nothing was done.
    #[error("the value is not a whole number of 64 bits")]
    NotANumber,
    /// The sum does not fit. Nothing was done.
    #[error("the sum does not fit in 64 bits")]
    Overflow,
    /// The value is no decimal number to add to. Nothing was done.
    #[error("the value is not a decimal number")]
    NotADecimal,
    /// The sum is too large or has too many digits to be kept exactly. Nothing was done.
    #[error("the sum has too many digits")]
    DecimalOverflow,
    /// What the command writes or answers is too large. Nothing was done.
    #[error("the command comes to more than {max} bytes at once")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// The key is too long. Nothing was done.
    #[error("the key has {bytes} bytes; at most {max} are allowed")]
    KeyTooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The value is too long. Nothing was done.
    #[error("the value has {bytes} bytes; at most {max} are allowed")]
    ValueTooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The request names too many keys. Nothing was done.
    #[error("the request names {count} keys; at most {max} are allowed")]
    TooManyKeys {
        /// How many.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// The node's disk does not work, so it keeps nothing. Nothing was done.
    #[error("the node's disk fails: {cause}")]
    DiskFailed {
        /// What the system said.
        cause: String,
    },
    /// The node does not have what was asked for (a digest mark that it no longer remembers, a
    /// node that is not registered).
    #[error("{what}")]
    NotFound {
        /// What is missing.
        what: String,
    },
    /// An order that the state of the cluster does not allow. Nothing was done.
    #[error("{why}")]
    NotAllowed {
        /// Why not, and what would.
        why: String,
    },
}

impl Refusal {
    /// Whether asking again, under the same request id, may succeed by itself.
    #[must_use]
    pub fn asks_for_retry(&self) -> bool {
        match self {
            Self::NotPrimary { .. }
            | Self::TakingOver { .. }
            | Self::TooFewInSync { .. }
            | Self::LeaseLost
            | Self::OutcomeUnknown
            | Self::Overloaded { .. }
            | Self::DiskFailed { .. } => true,
            Self::UnknownSession { .. }
            | Self::BelowFloor { .. }
            | Self::BeyondWindow { .. }
            | Self::TooManySessions { .. }
            | Self::NotANumber
            | Self::Overflow
            | Self::NotADecimal
            | Self::DecimalOverflow
            | Self::TooLarge { .. }
            | Self::KeyTooLong { .. }
            | Self::ValueTooLong { .. }
            | Self::TooManyKeys { .. }
            | Self::NotFound { .. }
            | Self::NotAllowed { .. } => false,
        }
    }
}

fn hint(primary: Option<&Address>) -> String {
    primary.map_or_else(String::new, |address| format!("; the primary is {address}"))
}
