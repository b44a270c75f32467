//! How often something happened, by kind.

use std::collections::BTreeMap;

/// How often something happened, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<K> {
    counts: BTreeMap<K, u64>,
    total: u64,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            total: 0,
        }
    }
}

impl<K: Ord + Copy> Tally<K> {
    /// It happened once more.
    pub fn count(&mut self, kind: K) {
        *self.counts.entry(kind).or_default() += 1;
        self.total += 1;
    }

    /// How often `kind` happened.
    #[must_use]
    pub fn of(&self, kind: K) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// How often anything happened: tells at a glance whether there is something new.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn kinds_are_counted_apart_and_together() {
        let mut tally = Tally::default();
        tally.count('a');
        tally.count('b');
        tally.count('a');
        assert_eq!((tally.of('a'), tally.of('b'), tally.of('c')), (2, 1, 0));
        assert_eq!(tally.total(), 3);
    }
}
