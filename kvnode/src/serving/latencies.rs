//! How long batches take to become durable, and to be committed.

use std::collections::VecDeque;
use std::sync::Arc;

use kv_common::id::Seq;
use kv_common::time::Monotonic;

use crate::metrics::Counters;

/// Batches that are on their way. There are a few, because the next one gathers while one is flushed.
#[derive(Debug)]
pub(super) struct Latencies {
    counters: Arc<Counters>,
    to_flush: VecDeque<(Seq, Monotonic)>,
    to_commit: VecDeque<(Seq, Monotonic)>,
}

impl Latencies {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            to_flush: VecDeque::new(),
            to_commit: VecDeque::new(),
        }
    }

    /// A batch was handed to the log; at a primary, its backups have it as well.
    pub(super) fn appended(&mut self, now: Monotonic, last: Seq, as_primary: bool) {
        self.to_flush.push_back((last, now));
        if as_primary {
            self.to_commit.push_back((last, now));
        }
    }

    /// Everything up to `through` is durable here.
    pub(super) fn flushed(&mut self, now: Monotonic, through: Seq) {
        while let Some(since) = passed(&mut self.to_flush, through) {
            self.counters.flushes.observe(now.since(since));
        }
    }

    /// Everything up to `through` is held by every member.
    pub(super) fn committed(&mut self, now: Monotonic, through: Seq) {
        while let Some(since) = passed(&mut self.to_commit, through) {
            self.counters.commits.observe(now.since(since));
        }
    }

    /// What was on its way may never come: the log was cut, or the role was lost.
    pub(super) fn forget(&mut self) {
        self.to_flush.clear();
        self.to_commit.clear();
    }
}

fn passed(waiting: &mut VecDeque<(Seq, Monotonic)>, through: Seq) -> Option<Monotonic> {
    let (last, since) = *waiting.front()?;
    (last <= through).then(|| {
        waiting.pop_front();
        since
    })
}
