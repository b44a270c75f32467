//! What load to make.

use std::time::Duration;

/// What load to make.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Clients, each with a connection and a session of its own.
    pub clients: u32,
    /// How many operations each client has under way.
    pub pipeline: u32,
    /// The length of values, in bytes; at least what a counter takes when values are verified.
    pub value_bytes: usize,
    /// How many of all operations are reads, from 0 to 1.
    pub read_share: f64,
    /// How many of all operations add 1 to a number, from 0 to 1; with the reads at most 1.
    pub increment_share: f64,
    /// Over how many keys operations are spread.
    pub keys: u64,
    /// How long new operations are begun.
    pub duration: Duration,
    /// What decides about keys and kinds of operations.
    pub seed: u64,
    /// Whether every acknowledged write is remembered and looked for.
    pub verify: bool,
    /// Part of each key, so that runs do not find each other's values.
    pub run: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            clients: 50,
            pipeline: 1,
            value_bytes: 64,
            read_share: 0.0,
            increment_share: 0.0,
            keys: 100_000,
            duration: Duration::from_secs(10),
            seed: 1,
            verify: false,
            run: 0,
        }
    }
}

impl LoadOptions {
    /// Loops that are under way side by side.
    pub(crate) fn lanes(&self) -> u64 {
        u64::from(self.clients) * u64::from(self.pipeline)
    }

    /// Keys of each lane: at least one, so that there may be more keys in all than were asked for.
    pub(crate) fn keys_per_lane(&self) -> u64 {
        self.keys.div_ceil(self.lanes().max(1)).max(1)
    }
}
