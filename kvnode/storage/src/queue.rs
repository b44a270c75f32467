//! Handing work to a storage thread without ever waiting for it.

use std::sync::mpsc::{SyncSender, TrySendError};

/// Why a storage thread did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// So many requests wait that the disk must have stopped.
    #[error("the storage thread has too much to do")]
    Full,
    /// The thread has ended.
    #[error("the storage thread has ended")]
    Stopped,
}

/// A storage thread ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a storage thread ended by a panic")]
pub struct ThreadPanicked;

/// Hands over a request, or says why it cannot be.
pub(crate) fn offer<T>(queue: &SyncSender<T>, request: T) -> Result<(), QueueError> {
    queue.try_send(request).map_err(|error| match error {
        TrySendError::Full(_) => QueueError::Full,
        TrySendError::Disconnected(_) => QueueError::Stopped,
    })
}
