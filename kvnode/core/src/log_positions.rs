//! Where the log of a replica is: the chain `applied ≤ committed ≤ held ≤ appended`.

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
    /// A cut that the log was told of and has not confirmed: flushes reported meanwhile may be of
    /// entries that are cut off.
    cut_under_way: Option<(Seq, Ticket)>,
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
            cut_under_way: None,
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
        let bound = self.cut_under_way.map_or(through, |(seq, _)| seq);
        self.held = self.held.max(through.min(bound).min(self.appended()));
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
        self.cut_under_way = Some((seq, ticket));
    }

    /// The log confirmed a cut. An older one than the newest changes nothing.
    pub(crate) fn cut_done(&mut self, done: Ticket) {
        if self.cut_under_way.is_some_and(|(_, ticket)| ticket <= done) {
            self.cut_under_way = None;
        }
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
    #[should_panic(expected = "never cut off")]
    fn committed_entries_are_never_cut_off() {
        let mut log = with_entries(5);
        log.flush(Seq(5));
        log.commit(Seq(4));
        log.cut_after(Seq(3), Ticket(1));
    }
}
