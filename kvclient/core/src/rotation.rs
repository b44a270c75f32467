//! Which of several equal addresses to try next.

use std::time::Duration;

use kv_common::id::Address;

use crate::back_off::BackOff;

const PAUSE_SHORTEST: Duration = Duration::from_millis(20);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// Addresses that are tried in turn: each once without a pause, then a pause, which doubles from
/// round to round.
#[derive(Clone, Debug)]
pub struct Rotation {
    addresses: Vec<Address>,
    next: usize,
    failed_in_round: usize,
    back_off: BackOff,
}

impl Rotation {
    /// Begins with the first address.
    #[must_use]
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            next: 0,
            failed_in_round: 0,
            back_off: BackOff::new(PAUSE_SHORTEST, PAUSE_LONGEST),
        }
    }

    /// The address to try now; none if there is none at all.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        self.addresses.get(self.next)
    }

    /// The address did not serve. Returns the pause before the next is tried.
    pub fn failed(&mut self) -> Duration {
        if self.addresses.is_empty() {
            return PAUSE_LONGEST;
        }
        self.next = (self.next + 1) % self.addresses.len();
        self.failed_in_round += 1;
        if self.failed_in_round < self.addresses.len() {
            return Duration::ZERO;
        }
        self.failed_in_round = 0;
        self.back_off.next_pause()
    }

    /// The address served. It stays the one to try.
    pub fn served(&mut self) {
        self.failed_in_round = 0;
        self.back_off.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::{PAUSE_SHORTEST, Rotation};
    use kv_common::id::Address;
    use std::time::Duration;

    fn address(text: &str) -> Address {
        Address(text.to_owned())
    }

    #[test]
    fn each_is_tried_once_before_a_pause() {
        let mut rotation = Rotation::new(vec![address("a:1"), address("b:1")]);
        assert_eq!(rotation.address(), Some(&address("a:1")));
        assert_eq!(rotation.failed(), Duration::ZERO);
        assert_eq!(rotation.address(), Some(&address("b:1")));
        assert_eq!(rotation.failed(), PAUSE_SHORTEST);
        assert_eq!(rotation.address(), Some(&address("a:1")));
        assert_eq!(rotation.failed(), Duration::ZERO);
        assert_eq!(rotation.failed(), PAUSE_SHORTEST * 2);
    }

    #[test]
    fn one_that_served_is_tried_first_and_without_a_pause() {
        let mut rotation = Rotation::new(vec![address("a:1"), address("b:1")]);
        rotation.failed();
        rotation.served();
        assert_eq!(rotation.address(), Some(&address("b:1")));
        assert_eq!(rotation.failed(), Duration::ZERO);
        assert_eq!(rotation.failed(), PAUSE_SHORTEST);
    }

    #[test]
    fn nobody_is_nobody() {
        let mut rotation = Rotation::new(Vec::new());
        assert_eq!(rotation.address(), None);
        assert!(rotation.failed() > Duration::ZERO);
    }
}
