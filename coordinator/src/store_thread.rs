//! The thread that makes decisions durable, and writes the primary's address for scripts.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use coordinator_core::cluster_state::ClusterState;
use coordinator_core::input::Ticket;
use kv_common::message::registry::Event;
use kv_store::file::replace;
use kv_store::{DurableMap, Store};
use tokio::sync::mpsc;

use crate::stored::{self, StoredError};

/// Decisions come a few at a time.
const QUEUE_JOBS: usize = 256;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Job {
    /// The state and new events → [`StoreEvent::Saved`].
    Save {
        ticket: Ticket,
        state: Box<ClusterState>,
        events: Vec<Event>,
    },
    /// The address of the primary, in the file for scripts.
    Address(String),
}

/// What the thread did.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// Everything up to this ticket is durable, with these events, oldest first.
    Saved { ticket: Ticket, events: Vec<Event> },
    /// The disk failed: nothing more is written.
    Failed(StoredError),
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct StoreThread {
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) done: mpsc::Receiver<StoreEvent>,
    thread: JoinHandle<()>,
}

impl StoreThread {
    /// Starts the thread. The address goes to `address_file`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn spawn(store: Store, address_file: PathBuf) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let (events, done) = mpsc::channel(QUEUE_JOBS);
        let writer = Writer {
            store,
            address_file,
            events,
        };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(queue))?;
        Ok(Self { jobs, done, thread })
    }

    /// Writes what waits, and ends the thread.
    pub(crate) fn stop(self) {
        drop(self.jobs);
        drop(self.done);
        if self.thread.join().is_err() {
            tracing::error!("the store thread ended by a panic");
        }
    }
}

struct Writer {
    store: Store,
    address_file: PathBuf,
    events: mpsc::Sender<StoreEvent>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut jobs = VecDeque::from([first]);
            while let Ok(job) = queue.try_recv() {
                jobs.push_back(job);
            }
            let event = match save(&mut self.store, &mut jobs) {
                Ok(Some(saved)) => saved,
                Ok(None) => {
                    self.write_addresses(jobs);
                    continue;
                }
                Err(error) => StoreEvent::Failed(error),
            };
            let failed = matches!(event, StoreEvent::Failed(_));
            // Nobody listens any more when the daemon stops.
            let _ = self.events.blocking_send(event);
            if failed {
                return;
            }
            self.write_addresses(jobs);
        }
    }

    fn write_addresses(&self, jobs: VecDeque<Job>) {
        let newest = jobs.into_iter().rev().find_map(|job| match job {
            Job::Address(address) => Some(address),
            Job::Save { .. } => None,
        });
        if let Some(address) = newest
            && let Err(error) = replace(&self.address_file, format!("{address}\n").as_bytes())
        {
            let path = self.address_file.display();
            tracing::warn!(%error, "the primary's address cannot be written to {path}");
        }
    }
}

/// Writes the newest of the states that wait, and all events, in one step: each state holds what
/// the ones before it hold.
fn save(
    store: &mut dyn DurableMap,
    jobs: &mut VecDeque<Job>,
) -> Result<Option<StoreEvent>, StoredError> {
    let mut newest = None;
    let mut all_events = Vec::new();
    jobs.retain_mut(|job| match job {
        Job::Save {
            ticket,
            state,
            events,
        } => {
            newest = Some((*ticket, state.clone()));
            all_events.append(events);
            false
        }
        Job::Address(_) => true,
    });
    let Some((ticket, state)) = newest else {
        return Ok(None);
    };
    stored::write(store, &state, &all_events)?;
    Ok(Some(StoreEvent::Saved {
        ticket,
        events: all_events,
    }))
}
