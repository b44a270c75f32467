//! Full copies that joiners fetch from this node: the checkpoint thread makes the parts, these tasks
//! send them.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_common::id::NodeId;
use kv_common::message::copy::{JoinerToPrimary, PrimaryToJoiner};
use kv_net::{Connection, FrameReceiver, FrameSender, LinkError};
use kvnode_storage::{COPY_WINDOW_PARTS, QueueError};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Serving;
use super::shard::Shard;

/// Copies that are given at the same time.
const COPIES_MAX: usize = 4;
/// The parts of a full window, and the messages before and after them.
const QUEUE_MESSAGES: usize = COPY_WINDOW_PARTS as usize + 4;
/// How long a joiner may take to close the connection when it has its copy.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// Copies under way, by number.
#[derive(Debug, Default)]
pub(super) struct ServedCopies {
    last_copy: u64,
    under_way: BTreeMap<u64, mpsc::Sender<PrimaryToJoiner>>,
}

impl ServedCopies {
    /// Gives a message to the task that sends it. Says whether that could take it.
    pub(super) fn pass_on(&self, copy: u64, message: PrimaryToJoiner) -> bool {
        let task = self.under_way.get(&copy);
        task.is_some_and(|task| task.try_send(message).is_ok())
    }
}

/// Why a copy was not given to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyServeError {
    /// The connection broke, or what came is no message.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The joiner does not keep to the protocol.
    #[error("a joiner began with a message that does not begin a copy")]
    NotBegun,
    /// There is none to give now.
    #[error("no copy was given: {why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// The checkpoint thread gave it up.
    #[error("the copy was given up")]
    GivenUp,
}

/// Serves a joiner until it has its copy.
///
/// # Errors
/// When it does not come to that.
pub(super) async fn serve(
    serving: &Serving,
    connection: Connection,
    joiner: NodeId,
) -> Result<(), CopyServeError> {
    let (mut receiver, mut sender) = connection.split();
    let Some(JoinerToPrimary::Begin { .. }) = receiver.receive().await? else {
        return Err(CopyServeError::NotBegun);
    };
    let begun = serving.turn(|shard, _| shard.begin_served_copy());
    let (copy, messages) = match begun {
        Ok(begun) => begun,
        Err(why) => {
            let refused = PrimaryToJoiner::Refused { why: why.clone() };
            sender.send(&refused).await?;
            return Err(CopyServeError::Refused { why });
        }
    };
    let name = serving.name_of(joiner);
    tracing::info!("giving a copy to {name}");
    let guard = Guard { serving, copy };
    send_all(&guard, messages, &mut receiver, &mut sender).await?;
    drop(guard);
    tracing::info!("gave a copy to {name}");
    wait_for_close(&mut receiver).await;
    Ok(())
}

/// Leaves it to the joiner to close. Its last words may still be on their way, and a connection that
/// is closed with something unread is reset: what was sent last would be lost.
async fn wait_for_close(receiver: &mut FrameReceiver) {
    let closed =
        async { while let Ok(Some(JoinerToPrimary::Taken { .. })) = receiver.receive().await {} };
    if timeout(CLOSE_PATIENCE, closed).await.is_err() {
        tracing::debug!("a joiner did not close its connection");
    }
}

/// Has the checkpoint thread forget the copy, however its task ends.
struct Guard<'serving> {
    serving: &'serving Serving,
    copy: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Not borrowed but when all tasks are dropped at the very end.
        if let Ok(mut shard) = self.serving.shard.try_borrow_mut() {
            shard.end_served_copy(self.copy);
        }
    }
}

async fn send_all(
    guard: &Guard<'_>,
    mut messages: mpsc::Receiver<PrimaryToJoiner>,
    receiver: &mut FrameReceiver,
    sender: &mut FrameSender,
) -> Result<(), CopyServeError> {
    loop {
        tokio::select! {
            message = messages.recv(), if sender.buffered_bytes() == 0 => {
                let message = message.ok_or(CopyServeError::GivenUp)?;
                sender.feed(&message)?;
                match message {
                    PrimaryToJoiner::Ends { .. } => return Ok(sender.flush().await?),
                    PrimaryToJoiner::Refused { why } => {
                        sender.flush().await?;
                        return Err(CopyServeError::Refused { why });
                    }
                    PrimaryToJoiner::Begins { .. }
                    | PrimaryToJoiner::Records { .. }
                    | PrimaryToJoiner::Batch { .. } => {}
                }
            }
            flushed = sender.flush(), if sender.buffered_bytes() > 0 => flushed?,
            said = receiver.receive() => match said? {
                Some(JoinerToPrimary::Taken { parts }) => guard.taken(parts),
                Some(JoinerToPrimary::Begin { .. }) => return Err(CopyServeError::NotBegun),
                None => return Err(CopyServeError::GivenUp),
            },
        }
    }
}

impl Guard<'_> {
    fn taken(&self, parts: u64) {
        let shard = self.serving.shard.borrow();
        // A full queue: the next word of the joiner counts for this one too.
        let _ = shard.storage.checkpoint.copy_taken(self.copy, parts);
    }
}

impl Shard {
    /// Begins a copy, or says why there is none to give.
    fn begin_served_copy(&mut self) -> Result<(u64, mpsc::Receiver<PrimaryToJoiner>), String> {
        if !self.replica.serves_copies() {
            return Err("this node is not a primary that serves".to_owned());
        }
        if self.served_copies.under_way.len() >= COPIES_MAX {
            return Err(format!("{COPIES_MAX} copies are under way already"));
        }
        self.served_copies.last_copy += 1;
        let copy = self.served_copies.last_copy;
        let begun = self.storage.checkpoint.begin_copy(copy);
        begun.map_err(|error: QueueError| error.to_string())?;
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        self.served_copies.under_way.insert(copy, queue);
        Ok((copy, messages))
    }

    /// Ends a copy, if it was not ended.
    pub(super) fn end_served_copy(&mut self, copy: u64) {
        if self.served_copies.under_way.remove(&copy).is_some() {
            // If the thread has too much to do, the copy stands still until the node is no longer
            // asked for it: its window is full.
            let _ = self.storage.checkpoint.end_copy(copy);
        }
    }
}
