//! The thread that owns the meta records.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use kv_common::id::ClusterId;
use kv_common::message::control::DiskFailure;
use kvnode_core::input::Ticket;
use kvnode_core::promise::Promises;

use crate::meta::{Meta, MetaRecord};
use crate::queue::{QueueError, ThreadPanicked, offer};

/// Promises come with views and seals: a few at a time.
const QUEUE_REQUESTS: usize = 64;

/// What the meta thread did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaEvent {
    /// The promises are durable.
    Stored {
        /// The order.
        ticket: Ticket,
    },
    /// The cluster is durable.
    ClusterStored {
        /// Which.
        cluster: ClusterId,
    },
    /// The disk failed: nothing more is stored.
    Failed(DiskFailure),
}

enum Request {
    Promises { promises: Promises, ticket: Ticket },
    Cluster(ClusterId),
    Stop,
}

/// The running thread.
#[derive(Debug)]
pub struct MetaThread {
    queue: SyncSender<Request>,
    thread: JoinHandle<Meta>,
}

impl MetaThread {
    /// Starts the thread. `on_event` is called on it and must not wait.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn spawn(meta: Meta, on_event: impl FnMut(MetaEvent) + Send + 'static) -> io::Result<Self> {
        let (queue, requests) = sync_channel(QUEUE_REQUESTS);
        let thread = thread::Builder::new()
            .name("meta".to_owned())
            .spawn(move || run(meta, &requests, on_event))?;
        Ok(Self { queue, thread })
    }

    /// Stores the promises → [`MetaEvent::Stored`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn store_promises(&self, promises: Promises, ticket: Ticket) -> Result<(), QueueError> {
        offer(&self.queue, Request::Promises { promises, ticket })
    }

    /// Stores the cluster that the node joined → [`MetaEvent::ClusterStored`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn store_cluster(&self, cluster: ClusterId) -> Result<(), QueueError> {
        offer(&self.queue, Request::Cluster(cluster))
    }

    /// Stores what waits, ends the thread, and hands the records back, so that the caller can
    /// write the clean stop down as the last thing.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn stop(self) -> Result<Meta, ThreadPanicked> {
        // Waits for room in the queue; an error means that the thread has ended already.
        let _ = self.queue.send(Request::Stop);
        self.thread.join().map_err(|_| ThreadPanicked)
    }
}

fn run(mut meta: Meta, requests: &Receiver<Request>, mut on_event: impl FnMut(MetaEvent)) -> Meta {
    let mut failed = false;
    for request in requests {
        let current = meta.record().clone();
        let (record, event) = match request {
            Request::Stop => break,
            Request::Promises { promises, ticket } => (
                MetaRecord {
                    promises,
                    ..current
                },
                MetaEvent::Stored { ticket },
            ),
            Request::Cluster(cluster) => (
                MetaRecord {
                    cluster: Some(cluster),
                    ..current
                },
                MetaEvent::ClusterStored { cluster },
            ),
        };
        match meta.store(record) {
            Ok(()) => on_event(event),
            Err(_) if failed => {}
            Err(error) => {
                failed = true;
                tracing::error!(%error, "no promise can be stored any more");
                on_event(MetaEvent::Failed(error.failure()));
            }
        }
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::{MetaEvent, MetaThread};
    use crate::meta::Meta;
    use kv_common::id::{Epoch, NodeId};
    use kv_store::{Fault, MemoryStore};
    use kvnode_core::input::Ticket;
    use kvnode_core::promise::Promises;
    use std::sync::mpsc::{Receiver, channel};

    fn start(map: &MemoryStore) -> (MetaThread, Receiver<MetaEvent>) {
        let (meta, _) = Meta::over(Box::new(map.reopened()), NodeId(1)).expect("opens");
        let (events, received) = channel();
        let thread = MetaThread::spawn(meta, move |event| events.send(event).expect("is heard"));
        (thread.expect("starts"), received)
    }

    fn sealed(seal: u64) -> Promises {
        Promises {
            seal: Epoch(seal),
            ..Promises::default()
        }
    }

    #[test]
    fn a_promise_is_reported_only_when_the_disk_has_it() {
        let map = MemoryStore::new();
        let (thread, events) = start(&map);
        let stall = map.stall();
        thread.store_promises(sealed(5), Ticket(1)).expect("taken");
        assert!(events.try_recv().is_err(), "reported while the disk stalls");
        drop(stall);
        assert_eq!(events.recv(), Ok(MetaEvent::Stored { ticket: Ticket(1) }));
        let meta = thread.stop().expect("ends");
        assert_eq!(meta.record().promises, sealed(5));
    }

    #[test]
    fn after_a_failure_nothing_is_reported_as_stored() {
        let map = MemoryStore::new();
        let (thread, events) = start(&map);
        map.fail_after(0, Fault::KeepAndFail);
        thread.store_promises(sealed(5), Ticket(1)).expect("taken");
        thread.store_promises(sealed(6), Ticket(2)).expect("taken");
        thread.stop().expect("ends");
        let events: Vec<MetaEvent> = events.into_iter().collect();
        assert!(
            matches!(events.as_slice(), [MetaEvent::Failed(_)]),
            "{events:?}"
        );
    }
}
