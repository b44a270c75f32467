//! The numbers of a session's requests.

use std::collections::BTreeSet;

use kv_common::id::{RequestId, SessionId};
use kv_common::limits::SESSION_WINDOW;
use kv_common::message::client::SessionStamp;

/// How far above the floor the client goes. Half of what a node takes: the floor that a node knows
/// comes from entries that it has applied, and lags behind the client's by what is in flight.
pub const SESSION_IN_FLIGHT_MAX: u64 = SESSION_WINDOW / 2;

/// The numbers of one session: given out from 1 up, and up to where all are answered.
#[derive(Clone, Debug)]
pub struct SessionNumbers {
    session: SessionId,
    last: u64,
    floor: u64,
    /// Answered, above the floor.
    answered: BTreeSet<u64>,
}

impl SessionNumbers {
    /// A session that was just opened.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            last: 0,
            floor: 0,
            answered: BTreeSet::new(),
        }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// A number for a new request; none while too many are open.
    pub fn take(&mut self) -> Option<u64> {
        if self.last - self.floor >= SESSION_IN_FLIGHT_MAX {
            return None;
        }
        self.last += 1;
        Some(self.last)
    }

    /// What to send with request `number`.
    #[must_use]
    pub fn stamp(&self, number: u64) -> SessionStamp {
        SessionStamp {
            id: RequestId {
                session: self.session,
                number,
            },
            floor: self.floor,
        }
    }

    /// The request has its end, and will not be sent again.
    pub fn end(&mut self, number: u64) {
        debug_assert!(number <= self.last, "number {number} was never given out");
        if number <= self.floor {
            return;
        }
        self.answered.insert(number);
        while self.answered.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
    }

    /// Whether every request has its end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.floor == self.last
    }
}

#[cfg(test)]
mod tests {
    use super::{SESSION_IN_FLIGHT_MAX, SessionNumbers};
    use kv_common::id::{Position, SessionId};
    use proptest::prelude::*;

    fn numbers() -> SessionNumbers {
        SessionNumbers::new(SessionId(Position::ZERO))
    }

    #[test]
    fn numbers_begin_with_one_and_the_floor_with_zero() {
        let mut numbers = numbers();
        assert!(numbers.is_idle());
        assert_eq!(numbers.take(), Some(1));
        assert_eq!(numbers.stamp(1).floor, 0);
        assert!(!numbers.is_idle());
        numbers.end(1);
        numbers.end(1);
        assert_eq!(numbers.stamp(2).floor, 1);
        assert!(numbers.is_idle());
    }

    #[test]
    fn the_oldest_open_request_holds_the_window() {
        let mut numbers = numbers();
        for _ in 0..SESSION_IN_FLIGHT_MAX {
            assert!(numbers.take().is_some());
        }
        for number in 2..=SESSION_IN_FLIGHT_MAX {
            numbers.end(number);
        }
        assert_eq!(numbers.take(), None);
        numbers.end(1);
        assert_eq!(numbers.take(), Some(SESSION_IN_FLIGHT_MAX + 1));
    }

    proptest! {
        #[test]
        fn the_floor_is_the_highest_number_up_to_which_all_are_ended(
            order in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut numbers = numbers();
            for expected in 1..=40 {
                prop_assert_eq!(numbers.take(), Some(expected));
            }
            let mut ended = std::collections::BTreeSet::new();
            for number in order {
                numbers.end(number);
                ended.insert(number);
                let floor = (1..).take_while(|number| ended.contains(number)).count() as u64;
                prop_assert_eq!(numbers.stamp(41).floor, floor);
            }
            prop_assert!(numbers.is_idle());
        }
    }
}
