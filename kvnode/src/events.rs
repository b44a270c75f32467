//! What other threads tell the serving thread: one queue, one wake-up.

use kv_common::id::ClusterId;
use kv_common::message::control::CoordinatorToNode;
use kvnode_storage::{CheckpointEvent, LogEvent, MetaEvent};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::copy_fetch::CopyEvent;

/// More than all requests that the other threads can have under way, so that they do not wait.
const QUEUE_EVENTS: usize = 8192;

/// Something that happened on another thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// The log.
    Log(LogEvent),
    /// The meta records.
    Meta(MetaEvent),
    /// The checkpoint, dumps, and copies for others.
    Checkpoint(CheckpointEvent),
    /// The copy that this node fetches.
    Copy(CopyEvent),
    /// The coordinator.
    Coordinator(CoordinatorEvent),
}

/// What comes from the coordinator link.
#[derive(Debug)]
pub(crate) enum CoordinatorEvent {
    /// The coordinator took our registration.
    Registered {
        /// The cluster.
        cluster: ClusterId,
    },
    /// The connection broke.
    Lost,
    /// A message.
    Said(CoordinatorToNode),
    /// The registration was refused, and will be refused each time.
    Hopeless {
        /// Why.
        why: String,
    },
}

/// Where other threads leave what happened.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox(mpsc::Sender<Event>);

/// Where the serving thread finds it.
pub(crate) type Events = mpsc::Receiver<Event>;

/// The queue.
pub(crate) fn mailbox() -> (Mailbox, Events) {
    let (sender, receiver) = mpsc::channel(QUEUE_EVENTS);
    (Mailbox(sender), receiver)
}

impl Mailbox {
    /// Leaves an event, from a thread without a runtime. If the serving thread stands still for so
    /// long that the queue is full, this waits: an event that is lost would never be made up for.
    pub(crate) fn post(&self, event: Event) {
        if let Err(TrySendError::Full(event)) = self.0.try_send(event) {
            // It fails when the serving thread has ended: nobody wants to know then.
            let _ = self.0.blocking_send(event);
        }
    }

    /// Leaves an event, from a task. Says whether the serving thread still listens.
    pub(crate) async fn send(&self, event: Event) -> bool {
        self.0.send(event).await.is_ok()
    }
}
