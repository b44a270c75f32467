//! What clients saw, and whether one copy of each key could have answered so.
//!
//! The checker is the search of Wing and Gong with the memory of Lowe ("Testing for
//! linearizability", 2017), one key at a time: take any operation that began before every other one
//! ended, apply it, go on; come back when an answer does not fit. Where it has been with the same
//! operations taken and the same value, it need not go again.

use std::collections::{BTreeMap, BTreeSet};

/// What a client did to a key, and what it was answered, if it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Wrote a value.
    Put {
        /// The value.
        value: u64,
    },
    /// Wrote a value that goes by itself.
    PutThatGoes {
        /// The value.
        value: u64,
        /// How long after the write it may go at the earliest.
        stays_ns: u64,
        /// How long after the write it is gone at the latest.
        gone_after_ns: u64,
    },
    /// Wrote a value if another was there.
    PutIfEquals {
        /// What was to be there.
        expected: u64,
        /// The value.
        value: u64,
        /// Whether it was written.
        done: Option<bool>,
    },
    /// Added to the value; an absent key counts as 0.
    Incr {
        /// How much.
        by: u64,
        /// What it came to.
        sum: Option<u64>,
    },
    /// Removed the key.
    Delete {
        /// Whether it was there.
        removed: Option<bool>,
    },
    /// Read.
    Get {
        /// What was there.
        seen: Option<Option<u64>>,
    },
}

impl Operation {
    /// Whether it changes nothing, whatever it is answered.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. })
    }
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    value: u64,
    /// Before this, it does not go by itself.
    stays_until_ns: u64,
    /// After this, it is gone.
    gone_at_ns: u64,
}

impl Held {
    fn for_good(value: u64) -> Self {
        Self {
            value,
            stays_until_ns: u64::MAX,
            gone_at_ns: u64::MAX,
        }
    }
}

/// One operation on one key.
#[derive(Clone, Debug)]
pub struct Record {
    /// The key.
    pub key: u32,
    /// What was done.
    pub operation: Operation,
    /// When it was sent first.
    pub invoked_ns: u64,
    /// When it was answered; none: the outcome is unknown, now or ever.
    pub answered_ns: Option<u64>,
}

impl Record {
    /// What may be there afterwards; nothing, if the answer does not fit what was there before. A value
    /// that goes by itself may have gone, or not yet.
    fn afters(&self, before: Option<Held>) -> impl Iterator<Item = Option<Held>> {
        let still_there = before.is_none_or(|held| self.invoked_ns <= held.gone_at_ns);
        let gone = before.is_some_and(|held| {
            self.answered_ns
                .is_none_or(|answered_ns| answered_ns >= held.stays_until_ns)
        });
        let there = still_there.then(|| self.after(before)).flatten();
        let not_there = gone.then(|| self.after(None)).flatten();
        there.into_iter().chain(not_there)
    }

    /// What is there afterwards, if the answer fits what was there before.
    fn after(&self, before: Option<Held>) -> Option<Option<Held>> {
        let fits = |answer: Option<bool>, truth: bool| answer.is_none_or(|answer| answer == truth);
        let value_before = before.map(|held| held.value);
        match self.operation {
            Operation::Put { value } => Some(Some(Held::for_good(value))),
            Operation::PutThatGoes {
                value,
                stays_ns,
                gone_after_ns,
            } => Some(Some(Held {
                value,
                stays_until_ns: self.invoked_ns + stays_ns,
                gone_at_ns: self
                    .answered_ns
                    .map_or(u64::MAX, |answered_ns| answered_ns + gone_after_ns),
            })),
            Operation::PutIfEquals {
                expected,
                value,
                done,
            } => {
                let holds = value_before == Some(expected);
                let after = if holds {
                    Some(Held::for_good(value))
                } else {
                    before
                };
                fits(done, holds).then_some(after)
            }
            Operation::Incr { by, sum } => {
                let value = value_before.unwrap_or(0) + by;
                // The key goes when it would have gone without.
                let held = before.unwrap_or(Held::for_good(value));
                let after = Held { value, ..held };
                sum.is_none_or(|sum| sum == value).then_some(Some(after))
            }
            Operation::Delete { removed } => fits(removed, before.is_some()).then_some(None),
            Operation::Get { seen } => seen
                .is_none_or(|seen| seen == value_before)
                .then_some(before),
        }
    }
}

/// The first key whose answers no order of the operations explains, each operation between its
/// beginning and its end; none if there is no such key.
#[must_use]
pub fn first_unexplained(records: &[Record]) -> Option<u32> {
    let mut by_key: BTreeMap<u32, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_key.entry(record.key).or_default().push(record);
    }
    by_key
        .into_iter()
        .find(|(_, records)| !is_linearizable(records))
        .map(|(key, _)| key)
}

/// Whether some order explains the answers on one key.
fn is_linearizable(records: &[&Record]) -> bool {
    let mut ordered = records.to_vec();
    ordered.sort_by_key(|record| record.invoked_ns);
    let mut search = Search {
        taken: Taken::none_of(ordered.len()),
        records: ordered,
        been: BTreeSet::new(),
    };
    search.go_on(None)
}

/// Which operations were taken, by number: all below `first_open`, and those of the bits above.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    first_open: usize,
    bits: Vec<u64>,
}

impl Taken {
    fn none_of(count: usize) -> Self {
        Self {
            first_open: 0,
            bits: vec![0; count.div_ceil(64)],
        }
    }

    fn has(&self, index: usize) -> bool {
        self.bits[index / 64] >> (index % 64) & 1 == 1
    }

    fn set(&mut self, index: usize, taken: bool) {
        let bit = 1 << (index % 64);
        if taken {
            self.bits[index / 64] |= bit;
        } else {
            self.bits[index / 64] &= !bit;
        }
    }
}

struct Search<'records> {
    records: Vec<&'records Record>,
    taken: Taken,
    been: BTreeSet<(Taken, Option<Held>)>,
}

impl Search<'_> {
    fn go_on(&mut self, held: Option<Held>) -> bool {
        let first_open_before = self.taken.first_open;
        while self.taken.first_open < self.records.len() && self.taken.has(self.taken.first_open) {
            self.taken.first_open += 1;
        }
        let found = self.go_on_from(self.taken.first_open, held);
        self.taken.first_open = first_open_before;
        found
    }

    fn go_on_from(&mut self, first_open: usize, held: Option<Held>) -> bool {
        // In the order of their beginning: those that may come next end where one begins after
        // another's end.
        let mut earliest_end = u64::MAX;
        let mut candidates = Vec::new();
        for index in first_open..self.records.len() {
            let record = self.records[index];
            if record.invoked_ns > earliest_end {
                break;
            }
            if !self.taken.has(index) {
                candidates.push(index);
                earliest_end = earliest_end.min(record.answered_ns.unwrap_or(u64::MAX));
            }
        }
        // What is left has no known outcome, and need never have happened.
        if earliest_end == u64::MAX {
            return true;
        }
        if !self.been.insert((self.taken.clone(), held)) {
            return false;
        }
        candidates.into_iter().any(|index| {
            let record = self.records[index];
            record.invoked_ns <= earliest_end && self.take(index, held)
        })
    }

    fn take(&mut self, index: usize, held: Option<Held>) -> bool {
        self.records[index].afters(held).any(|after| {
            self.taken.set(index, true);
            let found = self.go_on(after);
            self.taken.set(index, false);
            found
        })
    }
}

#[cfg(test)]
mod tests;
