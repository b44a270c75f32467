//! What is measured, for who looks from the HTTP thread. The serving thread only counts, without a lock.
//!
//! | file | what it does |
//! |---|---|
//! | `operation`, `reason` | what operations and refusals are told apart |
//! | `exposition` | all of it as metrics, with what to do about them |
//! | `show` | the start of the HTTP thread, and what it shares with the others |
//! | `data_size` | how much of the disk the data takes |

mod data_size;
mod exposition;
mod operation;
mod reason;
mod show;

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kv_common::refusal::Refusal;
use kv_common::tally::Tally;
use kv_http::Histogram;
use kv_net::RefusedConnections;
use kvnode_core::refused_messages::MessageRefusal;

pub(crate) use self::operation::Operation;
use self::reason::Reason;
pub(crate) use self::show::show;

/// What the serving thread counts.
#[derive(Debug)]
pub(crate) struct Counters {
    operations: [Histogram; Operation::ALL.len()],
    refusals: [AtomicU64; Reason::ALL.len()],
    /// From the closing of a batch to the moment when every member holds it.
    pub(crate) commits: Histogram,
    /// From the handing over of a batch to the log's thread to the news that it is durable.
    pub(crate) flushes: Histogram,
    leases_lost: AtomicU64,
    role_changes: AtomicU64,
    messages_refused: [AtomicU64; MessageRefusal::ALL.len()],
    messages_refused_total: AtomicU64,
    /// Connections that were not taken.
    pub(crate) refused_connections: RefusedConnections,
    connections: AtomicU64,
    redis_connections: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            operations: array::from_fn(|_| Histogram::default()),
            refusals: array::from_fn(|_| AtomicU64::new(0)),
            commits: Histogram::default(),
            flushes: Histogram::default(),
            leases_lost: AtomicU64::new(0),
            role_changes: AtomicU64::new(0),
            messages_refused: array::from_fn(|_| AtomicU64::new(0)),
            messages_refused_total: AtomicU64::new(0),
            refused_connections: RefusedConnections::default(),
            connections: AtomicU64::new(0),
            redis_connections: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// An operation was answered with success.
    pub(crate) fn answered(&self, operation: Operation, took: Duration) {
        if let Some(histogram) = self.operations.get(operation as usize) {
            histogram.observe(took);
        }
    }

    /// An operation was refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        if let Some(count) = self.refusals.get(Reason::of(refusal) as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An answer was withheld because the lease had ended meanwhile.
    pub(crate) fn lease_lost(&self) {
        self.leases_lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The node holds another role than before.
    pub(crate) fn role_changed(&self) {
        self.role_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// What the core took no notice of, since the start.
    pub(crate) fn messages_refused_are(&self, tally: &Tally<MessageRefusal>) {
        if self
            .messages_refused_total
            .swap(tally.total(), Ordering::Relaxed)
            != tally.total()
        {
            for (kind, count) in MessageRefusal::ALL.into_iter().zip(&self.messages_refused) {
                count.store(tally.of(kind), Ordering::Relaxed);
            }
        }
    }

    /// How many connections are open now: of clients and nodes, and of Redis clients.
    pub(crate) fn connections_are(&self, connections: u64, redis: u64) {
        self.connections.store(connections, Ordering::Relaxed);
        self.redis_connections.store(redis, Ordering::Relaxed);
    }
}
