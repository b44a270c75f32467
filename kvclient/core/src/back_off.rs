//! Pauses between attempts, as data.

use std::time::Duration;

/// Pauses that double from a shortest to a longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    shortest: Duration,
    longest: Duration,
    attempts: u32,
}

impl BackOff {
    /// Pauses from `shortest` on that do not exceed `longest`.
    #[must_use]
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            attempts: 0,
        }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        self.shortest.saturating_mul(factor).min(self.longest)
    }

    /// Begins again with the shortest pause.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::BackOff;
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let ms = Duration::from_millis;
        let mut back_off = BackOff::new(ms(3), ms(10));
        let pauses: Vec<_> = (0..4).map(|_| back_off.next_pause()).collect();
        assert_eq!(pauses, [ms(3), ms(6), ms(10), ms(10)]);
        for _ in 0..100 {
            assert_eq!(back_off.next_pause(), ms(10));
        }
        back_off.reset();
        assert_eq!(back_off.next_pause(), ms(3));
    }
}
