//! Every period of the cluster, derived from one knob, and the order that safety and liveness
//! need between them.

use std::time::Duration;

/// Beats of silence after which the primary asks to remove a backup.
const REMOVE_SILENT_BEATS: u32 = 4;
/// Beats that a lease lasts, counted from the sending of the message that was answered.
const LEASE_BEATS: u32 = 6;
/// Beats of silence after which the coordinator holds a node for down.
const DOWN_BEATS: u32 = 8;
/// Beats after which the primary asks to remove a backup whose acks stand still.
const REMOVE_STUCK_BEATS: u32 = 20;
/// Beats that a node which sends heartbeats may take to act upon a view, or its serving thread to make a
/// turn. One large value can keep it busy for several.
const STAND_STILL_BEATS: u32 = 2 * REMOVE_STUCK_BEATS;
/// Beats of silence after which a primary is failed over on the coordinator's word alone.
const DOWN_ALONE_BEATS: u32 = 10 * DOWN_BEATS;
/// A machine that moves less is too slow for large values: 32 MiB a second.
const SLOWEST_BYTES_PER_MS: u64 = (32 << 20) / 1000;
/// Hundredths by which a new primary waits longer than the lease: clocks may each run 10 % fast
/// or slow, and 1.1 / 0.9 = 1.222 must stay below it.
const WAIT_PERCENT: u32 = 125;

const _: () = {
    // The primary drops a silent backup before its own lease runs out on it, so that reads go on.
    assert!(REMOVE_SILENT_BEATS < LEASE_BEATS);
    // By the time the coordinator gives a node up, that node's lease has run out by itself.
    assert!(LEASE_BEATS < DOWN_BEATS);
    // A slow disk is given more time than a broken connection.
    assert!(DOWN_BEATS < REMOVE_STUCK_BEATS);
    assert!(REMOVE_STUCK_BEATS < STAND_STILL_BEATS);
    assert!(STAND_STILL_BEATS < DOWN_ALONE_BEATS);
    assert!(WAIT_PERCENT as u64 * 9 > 11 * 100);
};

/// The shortest heartbeat interval that a cluster may be given.
pub const HEARTBEAT_INTERVAL_MIN_MS: u32 = 5;
/// The longest heartbeat interval that a cluster may be given.
pub const HEARTBEAT_INTERVAL_MAX_MS: u32 = 10_000;

/// The periods that follow from a heartbeat interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    heartbeat_interval: Duration,
}

impl Timing {
    /// The periods for a heartbeat interval of `heartbeat_interval_ms`.
    #[must_use]
    pub fn from_ms(heartbeat_interval_ms: u32) -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(u64::from(heartbeat_interval_ms)),
        }
    }

    /// How often a node speaks to the coordinator, and a primary to each backup.
    #[must_use]
    pub fn heartbeat_interval(self) -> Duration {
        self.heartbeat_interval
    }

    /// Silence of a backup after which the primary asks for its removal.
    #[must_use]
    pub fn remove_silent(self) -> Duration {
        self.heartbeat_interval * REMOVE_SILENT_BEATS
    }

    /// Standstill of a backup's acks, while entries wait, after which the primary asks for its
    /// removal.
    #[must_use]
    pub fn remove_stuck(self) -> Duration {
        self.heartbeat_interval * REMOVE_STUCK_BEATS
    }

    /// How long a lease lasts from the sending of the message that the backup answered.
    #[must_use]
    pub fn lease(self) -> Duration {
        self.heartbeat_interval * LEASE_BEATS
    }

    /// Silence of a node after which the coordinator holds it for down.
    #[must_use]
    pub fn down(self) -> Duration {
        self.heartbeat_interval * DOWN_BEATS
    }

    /// How long a node that sends heartbeats may take to act upon a view, or its serving thread to
    /// make a turn, before the coordinator holds it for stuck.
    #[must_use]
    pub fn stand_still(self) -> Duration {
        self.heartbeat_interval * STAND_STILL_BEATS
    }

    /// Silence of a primary after which the coordinator needs no second witness.
    #[must_use]
    pub fn down_alone(self) -> Duration {
        self.heartbeat_interval * DOWN_ALONE_BEATS
    }
}

/// By how much every patience grows for `bytes` that are on their way to somebody, or to a disk.
#[must_use]
pub fn transfer_allowance(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Duration::from_millis(bytes / SLOWEST_BYTES_PER_MS)
}

/// How long a node that becomes primary holds back after the last message that it answered to an
/// earlier primary, given the lease that this primary relied on.
#[must_use]
pub fn takeover_wait(lease: Duration) -> Duration {
    lease * WAIT_PERCENT / 100
}

#[cfg(test)]
mod tests {
    use super::{Timing, takeover_wait};
    use std::time::Duration;

    #[test]
    fn a_slow_promise_outlasts_a_fast_lease() {
        let lease = Timing::from_ms(50).lease();
        // The holder's clock runs 10 % slow, so its lease lasts longer in true time; the
        // promiser's runs 10 % fast, so its wait is shorter.
        let held_in_truth = lease.as_secs_f64() / 0.9;
        let waited_in_truth = takeover_wait(lease).as_secs_f64() / 1.1;
        assert!(held_in_truth < waited_in_truth);
        assert_eq!(lease, Duration::from_millis(300));
    }
}
