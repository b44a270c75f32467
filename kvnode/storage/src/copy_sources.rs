//! The copies that are given to joiners, and what of the log they need.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use kv_common::id::Seq;
use kv_common::message::copy::PrimaryToJoiner;

use crate::checkpoint::Checkpoint;
use crate::copy_source::{CopySource, CopyStep};
use crate::log_reader::LogReader;

/// How long the log behind a copy is wanted that was sent: the joiner takes the last of it, opens it and loads its
/// table before it asks for what came since.
const WANTED_FOR: Duration = Duration::from_secs(60);

/// All copies that are under way, and those that were sent lately.
#[derive(Debug, Default)]
pub(crate) struct CopySources {
    under_way: BTreeMap<u64, CopySource>,
    /// What each goes on from, and when it was sent.
    sent: VecDeque<(Seq, Instant)>,
}

impl CopySources {
    pub(crate) fn begin(&mut self, copy: u64, checkpoint: &Checkpoint) {
        self.under_way.insert(copy, CopySource::new(checkpoint));
    }

    pub(crate) fn taken(&mut self, copy: u64, parts: u64) {
        if let Some(copy) = self.under_way.get_mut(&copy) {
            copy.taken(parts);
        }
    }

    pub(crate) fn end(&mut self, copy: u64) {
        self.under_way.remove(&copy);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The first entry of the log without which a copy comes to nothing.
    pub(crate) fn log_needed_from(&self) -> Option<Seq> {
        let needed = self.under_way.values().map(CopySource::log_needed_from);
        needed.min()
    }

    /// The first entry that a joiner is going to ask for, else it needs another copy.
    pub(crate) fn log_wanted_from(&mut self) -> Option<Seq> {
        while let Some((_, since)) = self.sent.front()
            && since.elapsed() > WANTED_FOR
        {
            self.sent.pop_front();
        }
        self.sent.iter().map(|(from, _)| *from).min()
    }

    /// Gives each copy one step, and hands what it says to `send`. Says whether any of them made way.
    pub(crate) fn step(
        &mut self,
        checkpoint: &mut Checkpoint,
        log: &LogReader,
        target: Seq,
        mut send: impl FnMut(u64, PrimaryToJoiner),
    ) -> bool {
        let mut made_way = false;
        let mut ended = Vec::new();
        for (id, copy) in &mut self.under_way {
            let message = match copy.step(checkpoint, log, target) {
                Ok(CopyStep::Send(message)) => message,
                Ok(CopyStep::Again) => {
                    made_way = true;
                    continue;
                }
                Ok(CopyStep::Wait) => continue,
                Err(error) => {
                    tracing::error!(%error, "a copy was given up");
                    ended.push(*id);
                    PrimaryToJoiner::Refused {
                        why: error.to_string(),
                    }
                }
            };
            made_way = true;
            if copy.is_done() {
                self.sent
                    .push_back((copy.log_needed_from(), Instant::now()));
                ended.push(*id);
            }
            send(*id, message);
        }
        for id in ended {
            self.under_way.remove(&id);
        }
        made_way
    }
}
