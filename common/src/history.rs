//! The history of a log: which epoch wrote from where on. Two histories tell how far two logs
//! agree, without comparing entries.

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, Position, Seq};
use crate::limits::HISTORY_MAX_EPOCHS;

/// The base state that a log builds on. Zero is the empty one; data that a node imported before
/// it joined has the digest of that data. Logs with different bases have nothing in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BaseId(pub u128);

/// The first entry that an epoch wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// The place of its first entry.
    pub first: Seq,
}

/// For each epoch that wrote an entry, where it began; and how far the log goes.
///
/// ```
/// use kv_common::history::History;
/// use kv_common::id::{Epoch, Position, Seq};
///
/// let at = |epoch, seq| Position { epoch: Epoch(epoch), seq: Seq(seq) };
/// let mut ours = History::default();
/// ours.extend(at(1, 1));
/// ours.extend(at(1, 2));
/// let mut theirs = ours.clone();
/// ours.extend(at(1, 3)); // written by the primary that died
/// theirs.extend(at(2, 3)); // written by the one after it
/// assert_eq!(ours.common_point(&theirs), Some(at(1, 2)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    base: BaseId,
    /// Rising in both fields.
    starts: Vec<EpochStart>,
    last: Seq,
    /// The place below which older epochs were forgotten.
    known_from: Seq,
}

impl History {
    /// An empty log on `base`.
    #[must_use]
    pub fn on_base(base: BaseId) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    /// A log on `base` of which nothing is known before the entry at `position`.
    #[must_use]
    pub fn known_from(base: BaseId, position: Position) -> Self {
        let mut history = Self::on_base(base);
        if position.seq > Seq::ZERO {
            history.starts.push(EpochStart {
                epoch: position.epoch,
                first: position.seq,
            });
            history.last = position.seq;
            history.known_from = position.seq;
        }
        history
    }

    /// The base state that the log builds on.
    #[must_use]
    pub fn base(&self) -> BaseId {
        self.base
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Position {
        Position {
            epoch: self.starts.last().map_or(Epoch::ZERO, |start| start.epoch),
            seq: self.last,
        }
    }

    /// Whether an entry at `position` may follow the last one: the next place, under no lower
    /// epoch.
    #[must_use]
    pub fn accepts(&self, position: Position) -> bool {
        position.seq == self.last.next() && position.epoch >= self.last().epoch
    }

    /// Takes note of the next entry.
    ///
    /// # Panics
    /// When the entry does not follow; callers ask [`Self::accepts`] of what came from outside.
    pub fn extend(&mut self, position: Position) {
        assert!(
            self.accepts(position),
            "{position} does not follow {}",
            self.last()
        );
        let new_epoch = self
            .starts
            .last()
            .is_none_or(|start| start.epoch < position.epoch);
        if new_epoch {
            self.starts.push(EpochStart {
                epoch: position.epoch,
                first: position.seq,
            });
            if self.starts.len() > HISTORY_MAX_EPOCHS {
                self.starts.remove(0);
                self.known_from = self.starts[0].first;
            }
        }
        self.last = position.seq;
    }

    /// Takes note of a run of entries of one epoch, `first` to `last`.
    ///
    /// # Panics
    /// As [`Self::extend`].
    pub fn extend_run(&mut self, epoch: Epoch, first: Seq, last: Seq) {
        self.extend(Position { epoch, seq: first });
        assert!(last >= first, "a run ends before it begins");
        self.last = last;
    }

    /// Forgets every entry after `seq`.
    pub fn cut_after(&mut self, seq: Seq) {
        if seq >= self.last {
            return;
        }
        self.starts.retain(|start| start.first <= seq);
        self.last = seq;
    }

    /// The full position of the entry at `seq`. A place before the first known epoch has epoch 0.
    #[must_use]
    pub fn position_of(&self, seq: Seq) -> Position {
        let after = self.starts.partition_point(|start| start.first <= seq);
        let epoch = match after.checked_sub(1) {
            Some(index) => self.starts[index].epoch,
            None => Epoch::ZERO,
        };
        Position { epoch, seq }
    }

    /// The last position at which both logs hold the same entry; `Position::ZERO` when they share
    /// only their base; nothing when their bases differ or the older part is no longer known.
    #[must_use]
    pub fn common_point(&self, other: &Self) -> Option<Position> {
        if self.base != other.base {
            return None;
        }
        let shared = self
            .starts
            .iter()
            .rev()
            .find(|start| other.starts.contains(start));
        match shared {
            Some(start) => {
                let end = self.end_of(start.epoch).min(other.end_of(start.epoch));
                Some(Position {
                    epoch: start.epoch,
                    seq: end,
                })
            }
            None => {
                let whole = self.known_from == Seq::ZERO && other.known_from == Seq::ZERO;
                whole.then_some(Position::ZERO)
            }
        }
    }

    /// The last place that `epoch` wrote.
    fn end_of(&self, epoch: Epoch) -> Seq {
        let next = self.starts.iter().find(|start| start.epoch > epoch);
        match next {
            Some(start) => Seq(start.first.0 - 1),
            None => self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BaseId, History};
    use crate::id::{Epoch, Position, Seq};

    fn at(epoch: u64, seq: u64) -> Position {
        Position {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        }
    }

    /// A history of runs: `(epoch, first, last)`.
    fn runs(runs: &[(u64, u64, u64)]) -> History {
        let mut history = History::default();
        for &(epoch, first, last) in runs {
            history.extend_run(Epoch(epoch), Seq(first), Seq(last));
        }
        history
    }

    #[test]
    fn equal_seqs_of_different_epochs_are_not_common() {
        let ours = runs(&[(1, 1, 5), (3, 6, 9)]);
        let theirs = runs(&[(1, 1, 7), (4, 8, 12)]);
        assert_eq!(ours.common_point(&theirs), Some(at(1, 5)));
        assert_eq!(theirs.common_point(&ours), Some(at(1, 5)));
    }

    #[test]
    fn nothing_but_the_base_in_common() {
        let ours = runs(&[(1, 1, 5)]);
        let theirs = runs(&[(2, 1, 5)]);
        assert_eq!(ours.common_point(&theirs), Some(Position::ZERO));
        let elsewhere = History::on_base(BaseId(7));
        assert_eq!(ours.common_point(&elsewhere), None);
    }

    #[test]
    fn a_shorter_log_is_a_prefix() {
        let ours = runs(&[(1, 1, 5), (2, 6, 8)]);
        let theirs = runs(&[(1, 1, 5), (2, 6, 7)]);
        assert_eq!(ours.common_point(&theirs), Some(at(2, 7)));
    }

    #[test]
    fn what_is_not_known_is_not_common() {
        let whole = runs(&[(1, 1, 5), (2, 6, 8)]);
        let mut late = History::known_from(BaseId::default(), at(2, 7));
        late.extend(at(2, 8));
        assert_eq!(late.last(), at(2, 8));
        assert_eq!(late.common_point(&whole), None, "epoch 2 began elsewhere");
        late.extend(at(3, 9));
        let mut longer = whole.clone();
        longer.extend(at(2, 9));
        assert_eq!(late.common_point(&longer), None);
        let nothing = History::known_from(BaseId(7), Position::ZERO);
        assert_eq!(nothing, History::on_base(BaseId(7)));
    }

    #[test]
    fn a_cut_forgets_epochs_that_began_after_it() {
        let mut history = runs(&[(1, 1, 5), (2, 6, 8)]);
        history.cut_after(Seq(5));
        assert_eq!(history.last(), at(1, 5));
        assert!(history.accepts(at(3, 6)));
        assert!(!history.accepts(at(3, 7)));
        assert!(!history.accepts(at(0, 6)));
    }
}
