//! When work that takes long says how far it is.

use std::time::{Duration, Instant};

/// Between two messages.
const EVERY: Duration = Duration::from_secs(5);
/// The clock is asked once in so many steps.
const STEPS: u32 = 1024;

/// The beat of the messages about work with many small steps.
pub(crate) struct ProgressBeat {
    steps: u32,
    told: Instant,
}

impl ProgressBeat {
    pub(crate) fn new() -> Self {
        Self {
            steps: 0,
            told: Instant::now(),
        }
    }

    /// Counts a step. Says whether it is time for a message.
    pub(crate) fn step(&mut self) -> bool {
        self.steps = (self.steps + 1) % STEPS;
        let due = self.steps == 0 && self.told.elapsed() >= EVERY;
        if due {
            self.told = Instant::now();
        }
        due
    }
}
