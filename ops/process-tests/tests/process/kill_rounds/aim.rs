//! How long to wait from the beginning of something until a kill that is to fall into it.
//!
//! How long it takes is another matter on every machine. So the longest wait follows from what came of the
//! kills before: it grows with each that fell into it and shrinks faster with each that came too late, which
//! settles where three of four fall into it, at its beginning, in its middle and close before its end.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

const FIRST: Duration = Duration::from_millis(50);
const SHORTEST: Duration = Duration::from_micros(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The aim at one kind of moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    longest: Duration,
}

impl Aim {
    pub(super) fn new() -> Self {
        Self { longest: FIRST }
    }

    /// Any time up to the longest.
    pub(super) fn wait(self, random: &mut StdRng) -> Duration {
        random.random_range(Duration::ZERO..self.longest)
    }

    /// Takes note of whether a kill fell into it.
    pub(super) fn learn(&mut self, hit: bool) {
        let longest = if hit {
            self.longest * 5 / 4
        } else {
            self.longest / 2
        };
        self.longest = longest.clamp(SHORTEST, LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::Aim;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::time::Duration;

    #[test]
    fn most_waits_fall_into_what_they_are_meant_for_however_long_it_takes() {
        for takes_ms in [2, 40, 900] {
            let takes = Duration::from_millis(takes_ms);
            let mut random = StdRng::seed_from_u64(takes_ms);
            let mut aim = Aim::new();
            let waits: Vec<Duration> = (0..1000)
                .map(|_| {
                    let wait = aim.wait(&mut random);
                    aim.learn(wait < takes);
                    wait
                })
                .collect();
            let within = |from: Duration, to: Duration| {
                let hits = waits.iter().filter(|wait| (from..to).contains(*wait));
                hits.count()
            };
            let hits = within(Duration::ZERO, takes);
            assert!((600..900).contains(&hits), "{hits} of 1000 hit {takes:?}");
            let late = within(takes / 2, takes);
            assert!(late > hits / 4, "{late} of {hits} hit its second half");
        }
    }
}
