//! Why an operation has no result.

use kv_common::id::Address;
use kv_common::refusal::Refusal;
use kvclient_core::Failure;

/// Why an operation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Neither a primary nor, where one is needed, a coordinator was reached before the deadline.
    /// Nothing was done.
    #[error("nobody to ask: {why}")]
    NobodyToAsk {
        /// What went wrong last.
        why: String,
    },
    /// A read was sent and not answered before the deadline; or a write waited for a session that was
    /// not opened before it. Nothing was done.
    #[error("{address} did not answer before the deadline")]
    DeadlinePassed {
        /// Who was asked.
        address: Address,
    },
    /// A write or an order may have taken effect, or may yet.
    #[error("the outcome is unknown: it may or may not have taken effect")]
    OutcomeUnknown,
    /// The cluster refused. Nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another program than was expected answered, or one of another version.
    #[error("{address} answered what was not asked: {what}")]
    Unexpected {
        /// Who answered.
        address: Address,
        /// What came.
        what: String,
    },
    /// The client was closed, or its runtime is shutting down.
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    /// The error of an operation that came to `failure`. `trouble` is what keeps coordinators from
    /// answering, if anything does.
    pub(crate) fn of_failure(failure: Failure, trouble: Option<&str>) -> Self {
        match failure {
            Failure::NobodyToAsk { why } => Self::NobodyToAsk {
                why: match (why, trouble) {
                    (Some(why), Some(trouble)) => format!("{why}; {trouble}"),
                    (Some(why), None) => why,
                    (None, Some(trouble)) => trouble.to_owned(),
                    (None, None) => "no primary is known yet".to_owned(),
                },
            },
            Failure::NoAnswer { address } => Self::DeadlinePassed { address },
            Failure::OutcomeUnknown => Self::OutcomeUnknown,
            Failure::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
