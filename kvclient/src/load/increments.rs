//! A number that one lane adds to, and what it may be by what was answered.

use bytes::Bytes;

/// A number that one lane adds 1 to, again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Increments {
    /// What it was when it was last known.
    known: u64,
    /// Increments since begun whose outcome is not known; each may still take effect once.
    unknown: u64,
    /// Findings so far.
    pub(crate) found: IncrementFindings,
}

/// What must not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IncrementFindings {
    /// Acknowledged increments that are not in the number.
    pub(crate) lost: u64,
    /// Increments that took effect once more than they were asked for.
    pub(crate) doubled: u64,
    /// Numbers that could not be read back, or were none.
    pub(crate) unread: u64,
}

impl Increments {
    /// An increment was acknowledged, and the number is `value` with it.
    pub(crate) fn acknowledged(&mut self, value: i64) {
        self.known += 1;
        self.judge(Some(value));
    }

    /// An increment may have taken effect or not.
    pub(crate) fn outcome_unknown(&mut self) {
        self.unknown += 1;
    }

    /// Whether there is anything to read back.
    pub(crate) fn any(&self) -> bool {
        self.known + self.unknown > 0
    }

    /// The number was read when no increment was under way; no value is 0.
    pub(crate) fn read_back(&mut self, value: Option<&Bytes>) {
        let number = match value {
            None => Some(0),
            Some(value) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok()),
        };
        self.judge(number);
    }

    /// The number could not be read back.
    pub(crate) fn unread(&mut self) {
        self.found.unread += 1;
    }

    fn judge(&mut self, value: Option<i64>) {
        let Some(value) = value.and_then(|value| u64::try_from(value).ok()) else {
            self.unread();
            return;
        };
        let most = self.known + self.unknown;
        if value < self.known {
            self.found.lost += self.known - value;
        } else if value > most {
            self.found.doubled += value - most;
            self.unknown = 0;
        } else {
            self.unknown -= value - self.known;
        }
        self.known = value;
    }
}

#[cfg(test)]
mod tests {
    use super::{IncrementFindings, Increments};
    use bytes::Bytes;

    #[test]
    fn each_acknowledged_increment_counts_once() {
        let mut increments = Increments::default();
        assert!(!increments.any());
        increments.acknowledged(1);
        increments.acknowledged(2);
        increments.read_back(Some(&Bytes::from_static(b"2")));
        assert!(increments.any());
        assert_eq!(increments.found, IncrementFindings::default());
    }

    #[test]
    fn an_unknown_outcome_is_either_and_later_still_possible() {
        let mut increments = Increments::default();
        increments.outcome_unknown();
        increments.outcome_unknown();
        // One of the two took effect before this one.
        increments.acknowledged(2);
        // The other after it.
        increments.acknowledged(4);
        assert_eq!(increments.found, IncrementFindings::default());
        // There is no third.
        increments.acknowledged(6);
        assert_eq!(increments.found.doubled, 1);
    }

    #[test]
    fn what_was_lost_or_done_twice_is_found_once() {
        let mut increments = Increments::default();
        for value in 1..=10 {
            increments.acknowledged(value);
        }
        // Seven of ten are gone.
        increments.acknowledged(4);
        increments.acknowledged(5);
        assert_eq!((increments.found.lost, increments.found.doubled), (7, 0));
        increments.acknowledged(7);
        increments.read_back(None);
        assert_eq!((increments.found.lost, increments.found.doubled), (14, 1));
        increments.read_back(Some(&Bytes::from_static(b"text")));
        assert_eq!(increments.found.unread, 1);
    }
}
