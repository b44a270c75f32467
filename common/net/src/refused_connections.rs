//! Connections that were not taken, counted by reason, for whoever looks from another thread.

use std::sync::atomic::{AtomicU64, Ordering};

use kv_common::message::hello::HelloRefusal;

use crate::AcceptError;

/// The reasons that are told apart, in the order of the counts.
const REASONS: [&str; 7] = [
    "timeout",
    "no-hello",
    "protocol",
    "other-cluster",
    "wrong-door",
    "too-many-connections",
    "not-a-hello",
];

/// Connections that were not taken, by reason.
#[derive(Debug, Default)]
pub struct RefusedConnections([AtomicU64; REASONS.len()]);

impl RefusedConnections {
    /// One more was not taken.
    pub fn count(&self, error: &AcceptError) {
        let index = match error {
            AcceptError::Timeout { .. } => 0,
            AcceptError::NoHello(_) => 1,
            AcceptError::Refused(HelloRefusal::Protocol { .. }) => 2,
            AcceptError::Refused(HelloRefusal::Cluster { .. }) => 3,
            AcceptError::Refused(HelloRefusal::WrongDoor) => 4,
            AcceptError::Refused(HelloRefusal::TooManyConnections { .. }) => 5,
            AcceptError::Refused(HelloRefusal::NotAHello) => 6,
        };
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Each reason, and how often it was one.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        REASONS.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::RefusedConnections;
    use crate::AcceptError;
    use kv_common::id::ClusterId;
    use kv_common::message::hello::HelloRefusal;

    #[test]
    fn a_caller_of_another_cluster_is_counted_as_that() {
        let refused = RefusedConnections::default();
        refused.count(&AcceptError::Refused(HelloRefusal::Cluster {
            ours: ClusterId(1),
            theirs: ClusterId(2),
        }));
        refused.count(&AcceptError::Timeout { waited_ms: 5 });
        let counted: Vec<_> = refused.read().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("timeout", 1), ("other-cluster", 1)]);
    }
}
