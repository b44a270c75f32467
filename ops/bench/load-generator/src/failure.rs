//! Why an operation has no result.

use std::io;

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection broke or was closed.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The other side speaks otherwise than agreed.
    #[error("not understood: {0}")]
    NotUnderstood(String),
    /// The server answered with an error.
    #[error("refused: {0}")]
    Refused(String),
    /// Fewer replicas than asked for hold the write.
    #[error("held by {held} replicas, {asked} were asked for")]
    TooFewReplicas {
        /// Replicas that hold it.
        held: i64,
        /// Replicas that were to hold it.
        asked: u32,
    },
    /// No answer came in time.
    #[error("no answer in time")]
    TimedOut,
    /// Nobody says who is primary.
    #[error("there is no primary")]
    NoPrimary,
}
