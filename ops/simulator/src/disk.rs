//! A node's disk. With `always`, what was flushed stays, and what was not is lost in a crash but for a
//! prefix of whole batches. With `everysec`, what was written stays when the process dies; when the
//! power goes, the last second is lost but for a prefix.

use std::collections::VecDeque;

use kv_common::batch::Batch;
use kv_common::entry::Entry;
use kv_common::history::History;
use kv_common::id::{Incarnation, Position, Seq};
use kv_common::message::control::FsyncMode;
use kvnode_core::input::{Input, LinkId, Recovered, Ticket};
use kvnode_core::promise::Promises;
use kvnode_core::state::State;

use crate::world::TrueNs;

/// How far the disk lags behind with `everysec`.
const EVERY_SEC_NS: TrueNs = 1_000_000_000;

/// An order to the log, carried out in order.
#[derive(Debug)]
pub(crate) enum LogOrder {
    Append(Batch),
    Cut {
        after: Seq,
        ticket: Ticket,
    },
    Read {
        node: kv_common::id::NodeId,
        link: LinkId,
        from: Seq,
    },
}

/// What a node's disk holds, and what it was told and has not done yet.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) incarnation: Incarnation,
    pub(crate) promises: Promises,
    /// Batches that the log no longer has and the checkpoint covers.
    checkpoint: Vec<Batch>,
    log: Vec<Batch>,
    /// When each batch of the log was written.
    written_at: Vec<TrueNs>,
    /// Nothing is carried out any more, until the next start.
    pub(crate) broken: bool,
    /// For all that a node that starts can tell, what it acknowledged may be gone.
    tail_uncertain: bool,
    orders: VecDeque<LogOrder>,
    stores: VecDeque<(Promises, Ticket)>,
}

impl Disk {
    pub(crate) fn order(&mut self, order: LogOrder) {
        self.orders.push_back(order);
    }

    pub(crate) fn store(&mut self, promises: Promises, ticket: Ticket) {
        self.stores.push_back((promises, ticket));
    }

    /// Carries out the next order, and says what the node is to be told.
    pub(crate) fn next_order_done(&mut self, now: TrueNs) -> Option<Input> {
        if self.broken {
            return None;
        }
        match self.orders.pop_front()? {
            LogOrder::Append(batch) => {
                let through = batch.last();
                self.log.push(batch);
                self.written_at.push(now);
                Some(Input::Flushed { through })
            }
            LogOrder::Cut { after, ticket } => {
                self.log.retain(|batch| batch.last() <= after);
                self.written_at.truncate(self.log.len());
                Some(Input::LogCut { ticket })
            }
            LogOrder::Read { node, link, from } => {
                let reaches = self.log.first().is_some_and(|batch| batch.first() <= from);
                let from_there = self.log.iter().filter(|batch| batch.last() >= from);
                let batches = if reaches {
                    from_there.take(3).cloned().collect()
                } else {
                    Vec::new()
                };
                Some(Input::LogRead {
                    node,
                    link,
                    from,
                    batches,
                })
            }
        }
    }

    /// Makes the next promises durable.
    pub(crate) fn next_store_done(&mut self) -> Option<Input> {
        if self.broken {
            return None;
        }
        let (promises, ticket) = self.stores.pop_front()?;
        self.promises = promises;
        Some(Input::PromisesStored { ticket })
    }

    /// What stands at `seq`, if anything does.
    pub(crate) fn position_at(&self, seq: Seq) -> Option<Position> {
        let holds = |batch: &&Batch| batch.first() <= seq;
        let batch = since(&self.log, seq).first().filter(holds);
        let batch = batch.or_else(|| since(&self.checkpoint, seq).first().filter(holds));
        batch.map(|batch| Position {
            epoch: batch.epoch(),
            seq,
        })
    }

    /// The entries from one to another, both included, as far as they are there.
    pub(crate) fn entries(&self, from: Seq, to: Seq) -> impl Iterator<Item = Entry> + '_ {
        let batches = since(&self.checkpoint, from)
            .iter()
            .chain(since(&self.log, from))
            .take_while(move |batch| batch.first() <= to);
        let entries = batches.flat_map(|batch| batch.entries().unwrap_or_default());
        entries.filter(move |entry| (from..=to).contains(&entry.position.seq))
    }

    /// The process is gone; of what was on its way to the disk a prefix may have arrived.
    pub(crate) fn crash(&mut self, now: TrueNs, arrived: usize, fsync: FsyncMode) {
        for _ in 0..arrived {
            match self.orders.front() {
                Some(LogOrder::Append(_) | LogOrder::Cut { .. }) => {
                    self.next_order_done(now);
                }
                Some(LogOrder::Read { .. }) | None => break,
            }
        }
        self.orders.clear();
        self.stores.clear();
        self.broken = false;
        self.tail_uncertain |= fsync == FsyncMode::EverySec;
    }

    /// The power was cut under `everysec`: what was written in the last second is gone, but for
    /// `arrived` batches of it.
    pub(crate) fn lose_last_second(&mut self, now: TrueNs, arrived: usize) {
        let synced = self
            .written_at
            .partition_point(|at| at + EVERY_SEC_NS < now);
        let kept = (synced + arrived).min(self.log.len());
        self.log.truncate(kept);
        self.written_at.truncate(kept);
    }

    /// Lets go of the log up to `applied`; what it held is the checkpoint's.
    pub(crate) fn release_log(&mut self, applied: Seq) -> Option<Seq> {
        let covered = self.log.partition_point(|batch| batch.last() <= applied);
        if covered == 0 {
            return None;
        }
        self.checkpoint.extend(self.log.drain(..covered));
        self.written_at.drain(..covered);
        self.log_from()
    }

    fn log_from(&self) -> Option<Seq> {
        self.checkpoint.last().map(|batch| batch.last().next())
    }

    /// What a start of the node finds.
    pub(crate) fn recover(&self, hash_seed: u64) -> Recovered {
        let mut state = State::new(hash_seed);
        let mut history = History::default();
        let marked = self.log.iter().map(|batch| batch.header().committed).max();
        let covered = self.checkpoint.last().map_or(Seq::ZERO, Batch::last);
        let committed = marked.unwrap_or_default().max(covered);
        let mut tail = Vec::new();
        for batch in self.checkpoint.iter().chain(&self.log) {
            history.extend_run(batch.epoch(), batch.first(), batch.last());
            let entries = batch.entries().unwrap_or_default();
            entries
                .iter()
                .filter(|entry| entry.position.seq <= committed)
                .for_each(|entry| state.apply(entry));
            if batch.last() > committed {
                tail.push(batch.clone());
            }
        }
        Recovered {
            state,
            history,
            tail,
            log_from: self.log_from().unwrap_or(Seq(1)),
            tail_certain: !self.tail_uncertain,
            unfit: None,
        }
    }

    /// Everything up to `applied`, for a joiner.
    pub(crate) fn copy_up_to(&self, applied: Position) -> Vec<Batch> {
        self.checkpoint
            .iter()
            .chain(&self.log)
            .filter(|batch| batch.last() <= applied.seq)
            .cloned()
            .collect()
    }

    /// Replaces everything by a copy.
    pub(crate) fn replace(&mut self, batches: Vec<Batch>) {
        self.checkpoint = batches;
        self.log.clear();
        self.written_at.clear();
        self.orders.clear();
    }
}

/// The batches that reach to `seq` or beyond.
fn since(batches: &[Batch], seq: Seq) -> &[Batch] {
    &batches[batches.partition_point(|batch| batch.last() < seq)..]
}
