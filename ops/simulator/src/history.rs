//! What clients saw, and whether one copy of each key could have answered so.
//!
//! The checker is the search of Wing and Gong with the memory of Lowe ("Testing for
//! linearizability", 2017), one key at a time: take any operation that began before every other one
//! ended, apply it, go on; come back when an answer does not fit.

use std::collections::BTreeSet;

/// What a client did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Wrote a value.
    Put(u64),
    /// Added to the value.
    Incr(u64),
    /// Removed the key.
    Delete,
    /// Read, and saw this; nothing seen: the answer never came.
    Get(Option<Option<u64>>),
}

/// One operation on one key.
#[derive(Clone, Debug)]
pub struct Record {
    /// The key.
    pub key: u8,
    /// What was done.
    pub operation: Operation,
    /// When it was sent first.
    pub invoked_ns: u64,
    /// When it was answered; none: the outcome is unknown, now or ever.
    pub answered_ns: Option<u64>,
}

/// Whether some order of the operations, each between its beginning and its end, explains every
/// answer.
#[must_use]
pub fn is_linearizable(records: &[Record]) -> bool {
    let keys: BTreeSet<u8> = records.iter().map(|record| record.key).collect();
    keys.into_iter().all(|key| {
        let mut of_key: Vec<&Record> = records.iter().filter(|record| record.key == key).collect();
        of_key.sort_by_key(|record| record.invoked_ns);
        explains(&of_key)
    })
}

fn explains(records: &[&Record]) -> bool {
    let mut search = Search {
        records,
        taken: vec![false; records.len()],
        seen: BTreeSet::new(),
    };
    search.go_on(None)
}

struct Search<'a> {
    records: &'a [&'a Record],
    taken: Vec<bool>,
    seen: BTreeSet<(Vec<bool>, Option<u64>)>,
}

impl Search<'_> {
    fn go_on(&mut self, value: Option<u64>) -> bool {
        let open = |index: &usize| !self.taken[*index];
        let answered = |index: usize| self.records[index].answered_ns;
        let earliest_end = (0..self.records.len())
            .filter(open)
            .filter_map(answered)
            .min();
        // What is left has no known outcome, and need never have happened.
        let Some(earliest_end) = earliest_end else {
            return true;
        };
        if !self.seen.insert((self.taken.clone(), value)) {
            return false;
        }
        let candidates: Vec<usize> = (0..self.records.len())
            .filter(open)
            .filter(|index| self.records[*index].invoked_ns <= earliest_end)
            .collect();
        candidates
            .into_iter()
            .any(|index| self.try_next(index, value))
    }

    fn try_next(&mut self, index: usize, value: Option<u64>) -> bool {
        let next = match &self.records[index].operation {
            Operation::Put(written) => Some(*written),
            Operation::Incr(by) => Some(value.unwrap_or(0) + by),
            Operation::Delete => None,
            Operation::Get(seen) => {
                if seen.is_some_and(|seen| seen != value) {
                    return false;
                }
                value
            }
        };
        self.taken[index] = true;
        let found = self.go_on(next);
        self.taken[index] = false;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, Record, is_linearizable};

    fn record(operation: Operation, invoked_ns: u64, answered_ns: Option<u64>) -> Record {
        Record {
            key: 0,
            operation,
            invoked_ns,
            answered_ns,
        }
    }

    fn saw(value: Option<u64>, from: u64, to: u64) -> Record {
        record(Operation::Get(Some(value)), from, Some(to))
    }

    #[test]
    fn a_stale_read_is_found() {
        let put = record(Operation::Put(1), 0, Some(1));
        assert!(is_linearizable(&[put.clone(), saw(Some(1), 2, 3)]));
        assert!(!is_linearizable(&[put, saw(None, 2, 3)]));
    }

    #[test]
    fn overlapping_operations_may_take_either_order() {
        let puts = [
            record(Operation::Put(1), 0, Some(10)),
            record(Operation::Put(2), 0, Some(10)),
        ];
        for last in [1, 2] {
            let mut records = puts.to_vec();
            records.push(saw(Some(last), 11, 12));
            assert!(is_linearizable(&records));
        }
    }

    #[test]
    fn an_unknown_write_may_come_late_or_never_but_not_go_back() {
        let unknown = record(Operation::Put(1), 0, None);
        let never = [unknown.clone(), saw(None, 5, 6), saw(None, 7, 8)];
        assert!(is_linearizable(&never));
        let late = [unknown.clone(), saw(None, 5, 6), saw(Some(1), 7, 8)];
        assert!(is_linearizable(&late));
        let back = [unknown, saw(Some(1), 5, 6), saw(None, 7, 8)];
        assert!(!is_linearizable(&back));
    }

    #[test]
    fn an_increment_that_took_effect_twice_is_found() {
        let twice = [record(Operation::Incr(1), 0, Some(1)), saw(Some(2), 2, 3)];
        assert!(!is_linearizable(&twice));
    }
}
