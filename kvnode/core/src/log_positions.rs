//! Where the log of a replica is: the chain `applied ≤ committed ≤ held ≤ appended`.

use std::collections::VecDeque;

use kv_common::history::History;
use kv_common::id::{Position, Seq};
use kv_common::message::control::Positions;

use crate::input::Ticket;

/// The positions of a log, kept in order.
#[derive(Clone, Debug)]
pub(crate) struct LogPositions {
    history: History,
    log_from: Seq,
    held: Seq,
    committed: Seq,
    applied: Seq,
    assured: Seq,
    /// Cuts that the log was told of and has not confirmed, the oldest first: flushes reported meanwhile
    /// may be of entries that are cut off by any of them.
    open_cuts: VecDeque<(Seq, Ticket)>,
}

impl LogPositions {
    /// A log as it was recovered: all of it on disk, and `applied` certainly committed.
    pub(crate) fn recovered(history: History, log_from: Seq, applied: Seq) -> Self {
        let last = history.last().seq;
        assert!(applied <= last, "more is applied than the log holds");
        Self {
            history,
            log_from,
            held: last,
            committed: applied,
            applied,
            assured: Seq::ZERO,
            open_cuts: VecDeque::new(),
        }
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The first entry that the log still has.
    pub(crate) fn log_from(&self) -> Seq {
        self.log_from
    }

    pub(crate) fn released(&mut self, log_from: Seq) {
        self.log_from = self.log_from.max(log_from);
    }

    pub(crate) fn appended(&self) -> Seq {
        self.history.last().seq
    }

    pub(crate) fn last(&self) -> Position {
        self.history.last()
    }

    /// What this node may acknowledge: the disk has it, or with `everysec` the operating system, so
    /// that it outlives the process.
    pub(crate) fn held(&self) -> Seq {
        self.held
    }

    /// The last entry that this node may acknowledge, with its epoch.
    pub(crate) fn held_position(&self) -> Position {
        self.history.position_of(self.held())
    }

    pub(crate) fn committed(&self) -> Seq {
        self.committed
    }

    pub(crate) fn applied(&self) -> Seq {
        self.applied
    }

    pub(crate) fn assured(&self) -> Seq {
        self.assured
    }

    /// Takes note of a batch of one epoch; the caller has checked that it follows.
    pub(crate) fn append(&mut self, first: Position, last: Seq) {
        self.history.extend_run(first.epoch, first.seq, last);
    }

    /// The log holds everything up to `through`, as far as that was not cut off since.
    pub(crate) fn flush(&mut self, through: Seq) {
        let cuts = self.open_cuts.iter().map(|(seq, _)| *seq);
        let certain = cuts.fold(through, Seq::min);
        self.held = self.held.max(certain.min(self.appended()));
    }

    /// Everything up to `through` is committed. Never beyond what is held here.
    pub(crate) fn commit(&mut self, through: Seq) {
        self.committed = self.committed.max(through.min(self.held()));
    }

    /// The table has the entry at `seq`.
    pub(crate) fn apply(&mut self, seq: Seq) {
        assert_eq!(seq, self.applied.next(), "entries are applied in order");
        self.applied = seq;
    }

    /// As many members as a success needs held everything up to `through`.
    pub(crate) fn assure(&mut self, through: Seq) {
        self.assured = self.assured.max(through.min(self.committed));
    }

    /// Forgets the log after `seq`, until [`Self::cut_done`] not trusting flushes beyond it.
    pub(crate) fn cut_after(&mut self, seq: Seq, ticket: Ticket) {
        assert!(seq >= self.committed, "a committed entry is never cut off");
        self.history.cut_after(seq);
        self.held = self.held.min(seq);
        // One that reaches further back stands for those before it, which are confirmed earlier.
        self.open_cuts.retain(|(earlier, _)| *earlier < seq);
        self.open_cuts.push_back((seq, ticket));
    }

    /// The log confirmed a cut, and with it those before it.
    pub(crate) fn cut_done(&mut self, done: Ticket) {
        self.open_cuts.retain(|(_, ticket)| *ticket > done);
    }

    /// The newest cut that the log has not confirmed.
    pub(crate) fn open_cut(&self) -> Option<Ticket> {
        self.open_cuts.back().map(|(_, ticket)| *ticket)
    }

    /// The chain must hold after every step.
    pub(crate) fn check(&self) {
        assert!(
            self.applied <= self.committed
                && self.committed <= self.held()
                && self.held() <= self.appended()
                && self.assured <= self.committed,
            "positions out of order: {:?}",
            self.figures()
        );
    }

    pub(crate) fn figures(&self) -> Positions {
        Positions {
            applied: self.applied,
            committed: self.committed,
            held: self.held(),
            appended: self.appended(),
            assured: self.assured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogPositions;
    use crate::input::Ticket;
    use kv_common::history::History;
    use kv_common::id::{Epoch, Position, Seq};

    fn with_entries(last: u64) -> LogPositions {
        let mut log = LogPositions::recovered(History::default(), Seq(1), Seq::ZERO);
        let first = Position {
            epoch: Epoch(1),
            seq: Seq(1),
        };
        log.append(first, Seq(last));
        log
    }

    #[test]
    fn nothing_is_committed_beyond_what_is_held() {
        let mut log = with_entries(5);
        log.flush(Seq(3));
        log.commit(Seq(5));
        assert_eq!(log.committed(), Seq(3));
        log.flush(Seq(5));
        log.commit(Seq(5));
        assert_eq!(log.committed(), Seq(5));
    }

    #[test]
    fn a_flush_of_what_was_cut_off_counts_for_nothing() {
        let mut log = with_entries(5);
        log.cut_after(Seq(2), Ticket(1));
        log.flush(Seq(5));
        assert_eq!(log.held(), Seq(2));
        log.cut_done(Ticket(1));
        let next = Position {
            epoch: Epoch(2),
            seq: Seq(3),
        };
        log.append(next, Seq(4));
        assert_eq!(log.held(), Seq(2));
        log.flush(Seq(4));
        assert_eq!(log.held(), Seq(4));
        log.check();
    }

    #[test]
    fn each_cut_that_is_open_bounds_what_a_flush_says() {
        let at = |epoch, seq| Position {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        };
        let mut log = with_entries(9);
        log.flush(Seq(3));
        log.cut_after(Seq(5), Ticket(1));
        log.append(at(2, 6), Seq(8));
        log.cut_after(Seq(7), Ticket(2));
        log.flush(Seq(9));
        assert_eq!(log.held(), Seq(5), "9 was flushed before either cut");
        log.cut_done(Ticket(1));
        assert_eq!(log.open_cut(), Some(Ticket(2)));
        log.flush(Seq(8));
        assert_eq!(log.held(), Seq(7), "8 was flushed between the cuts");
        log.cut_after(Seq(6), Ticket(3));
        log.cut_done(Ticket(2));
        assert_eq!(log.open_cut(), Some(Ticket(3)));
        log.cut_done(Ticket(3));
        assert_eq!(log.open_cut(), None);
        log.check();
    }

    #[test]
    #[should_panic(expected = "never cut off")]
    fn committed_entries_are_never_cut_off() {
        let mut log = with_entries(5);
        log.flush(Seq(5));
        log.commit(Seq(4));
        log.cut_after(Seq(3), Ticket(1));
    }
}
