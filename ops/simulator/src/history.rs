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
    search.finds_an_order()
}

/// Which operations were taken, by number: all below `first_open`, and those of the bits above.
#[derive(Debug)]
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

    /// The same for the same operations, and short: without the words in which all are taken, or none.
    fn summary(&self) -> TakenSummary {
        let words = &self.bits[(self.first_open / 64).min(self.bits.len())..];
        let used = words.iter().rposition(|word| *word != 0);
        let used = used.map_or(0, |last| last + 1);
        (self.first_open, words[..used].to_vec())
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

/// Which operations were taken: all below a number, and those of the bits from there on.
type TakenSummary = (usize, Vec<u64>);

struct Search<'records> {
    records: Vec<&'records Record>,
    taken: Taken,
    been: BTreeSet<(TakenSummary, Option<Held>)>,
}

/// An operation that may come next, and what is held after it.
type Choice = (usize, Option<Held>);

/// A place on the way of the search.
struct Step {
    /// What was taken to get here; nothing at the start.
    taken: Option<usize>,
    first_open_before: usize,
    /// What is still to be tried from here, the next one last.
    choices: Vec<Choice>,
}

impl Search<'_> {
    /// Tries until an order is found that explains all, or none is left. The way back is kept in a list: a key
    /// has thousands of operations, and a stack would not be deep enough for as many calls.
    fn finds_an_order(&mut self) -> bool {
        let Some(choices) = self.choices(None) else {
            return true;
        };
        let mut steps = vec![Step {
            taken: None,
            first_open_before: 0,
            choices,
        }];
        while let Some(step) = steps.last_mut() {
            let Some((index, after)) = step.choices.pop() else {
                let step = steps.pop();
                self.go_back(step);
                continue;
            };
            let first_open_before = self.taken.first_open;
            self.take(index);
            let Some(choices) = self.choices(after) else {
                return true;
            };
            steps.push(Step {
                taken: Some(index),
                first_open_before,
                choices,
            });
        }
        false
    }

    fn take(&mut self, index: usize) {
        self.taken.set(index, true);
        while self.taken.first_open < self.records.len() && self.taken.has(self.taken.first_open) {
            self.taken.first_open += 1;
        }
    }

    fn go_back(&mut self, step: Option<Step>) {
        if let Some(step) = step
            && let Some(index) = step.taken
        {
            self.taken.set(index, false);
            self.taken.first_open = step.first_open_before;
        }
    }

    /// What may come next while `held` is there; none: everything is explained.
    fn choices(&mut self, held: Option<Held>) -> Option<Vec<Choice>> {
        // In the order of their beginning: those that may come next end where one begins after
        // another's end.
        let mut earliest_end = u64::MAX;
        let mut candidates = Vec::new();
        for index in self.taken.first_open..self.records.len() {
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
            return None;
        }
        if !self.been.insert((self.taken.summary(), held)) {
            return Some(Vec::new());
        }
        let mut choices: Vec<Choice> = candidates
            .into_iter()
            .filter(|index| self.records[*index].invoked_ns <= earliest_end)
            .flat_map(|index| {
                let afters = self.records[index].afters(held);
                afters.map(move |after| (index, after))
            })
            .collect();
        choices.reverse();
        Some(choices)
    }
}

#[cfg(test)]
mod tests;
