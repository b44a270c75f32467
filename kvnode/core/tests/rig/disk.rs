//! A disk that is played: it keeps what it was told to keep when the scenario says so.

use std::collections::VecDeque;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::history::{BaseId, History};
use kv_common::id::{NodeId, Seq};
use kvnode_core::input::{Input, LinkId, Recovered, Ticket};
use kvnode_core::promise::Promises;
use kvnode_core::state::State;

use super::words::Run;

/// What is kept, and what is under way to it.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) base: BaseId,
    pub(crate) log_from: Option<Seq>,
    /// Up to where a checkpoint covers the log.
    pub(crate) covered: Seq,
    pub(crate) tail_uncertain: bool,
    pub(crate) every_sec: bool,
    pub(crate) unfit: Option<String>,
    pub(crate) promises: Promises,
    batches: Vec<Batch>,
    durable_through: Seq,
    storing: VecDeque<(Ticket, Promises)>,
    cuts: VecDeque<(Ticket, Seq)>,
    reads: VecDeque<(NodeId, LinkId, Seq)>,
}

impl Disk {
    /// Puts entries there that are durable and, up to `covered`, committed.
    pub(crate) fn fill(&mut self, runs: &[Run], covered: Option<Seq>) {
        let single = runs.iter().flat_map(|run| {
            let places = run.first.0..=run.last.0;
            places.map(|place| Run {
                epoch: run.epoch,
                first: Seq(place),
                last: Seq(place),
            })
        });
        self.batches = single.map(batch_of).collect();
        self.durable_through = self.last();
        self.covered = covered.unwrap_or(self.last());
    }

    /// What is found at a start: what was durable.
    pub(crate) fn recover(&mut self) -> Recovered {
        self.storing.clear();
        self.cuts.clear();
        self.reads.clear();
        let durable = self.durable_through;
        self.batches.retain(|batch| batch.last() <= durable);
        let marks = self.batches.iter().map(|batch| batch.header().committed);
        let committed = marks.max().unwrap_or_default().max(self.covered);
        let mut state = State::new(0);
        let mut history = History::on_base(self.base);
        let mut tail = Vec::new();
        for batch in &self.batches {
            history.extend_run(batch.epoch(), batch.first(), batch.last());
            let entries = batch.entries().expect("a batch of ours is read");
            let covered = |place: Seq| place <= committed;
            let applied = entries.iter().filter(|entry| covered(entry.position.seq));
            applied.for_each(|entry| state.apply(entry));
            if batch.last() > committed {
                tail.push(batch.clone());
            }
        }
        Recovered {
            state,
            history,
            tail,
            log_from: self.log_from.unwrap_or(Seq(1)),
            tail_certain: !self.tail_uncertain,
            unfit: self.unfit.clone(),
        }
    }

    pub(crate) fn append(&mut self, batch: Batch) {
        self.batches.push(batch);
    }

    pub(crate) fn store(&mut self, ticket: Ticket, promises: Promises) {
        self.storing.push_back((ticket, promises));
    }

    pub(crate) fn cut(&mut self, ticket: Ticket, after: Seq) {
        self.cuts.push_back((ticket, after));
    }

    pub(crate) fn read(&mut self, node: NodeId, link: LinkId, from: Seq) {
        self.reads.push_back((node, link, from));
    }

    /// The log is durable up to `through`, or all of it is.
    pub(crate) fn flushed(&mut self, through: Option<Seq>) -> Input {
        let through = through.unwrap_or(self.last());
        self.durable_through = self.durable_through.max(through.min(self.last()));
        Input::Flushed { through }
    }

    /// Whether anything was appended that is not durable.
    pub(crate) fn has_unflushed(&self) -> bool {
        self.last() > self.durable_through
    }

    /// The oldest promises that were being stored are durable.
    pub(crate) fn stored(&mut self) -> Option<Input> {
        let (ticket, promises) = self.storing.pop_front()?;
        self.promises = promises;
        Some(Input::PromisesStored { ticket })
    }

    /// The oldest cut is durable.
    pub(crate) fn log_cut(&mut self) -> Option<Input> {
        let (ticket, after) = self.cuts.pop_front()?;
        self.batches.retain(|batch| batch.last() <= after);
        self.durable_through = self.durable_through.min(after);
        Some(Input::LogCut { ticket })
    }

    /// The oldest read is done; `lost`: the log no longer has it.
    pub(crate) fn log_read(&mut self, lost: bool) -> Option<Input> {
        let (node, link, from) = self.reads.pop_front()?;
        let mut batches = Vec::new();
        if !lost {
            let wanted = self.batches.iter().filter(|batch| batch.last() >= from);
            batches.extend(wanted.cloned());
        }
        Some(Input::LogRead {
            node,
            link,
            from,
            batches,
        })
    }

    fn last(&self) -> Seq {
        self.batches.last().map_or(Seq::ZERO, Batch::last)
    }
}

/// Entries of which each puts a key that is named after its place.
pub(crate) fn batch_of(run: Run) -> Batch {
    let mut builder = BatchBuilder::new(run.epoch, run.first);
    for place in run.first.0..=run.last.0 {
        builder.push(&EntryBody::Changes {
            request: None,
            changes: vec![Change::Put {
                key: Bytes::from(format!("k{place}")),
                value: Bytes::from(format!("{}.{place}", run.epoch)),
                expires_at: None,
            }],
        });
    }
    builder.close(Seq::ZERO)
}
