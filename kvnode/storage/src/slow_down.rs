//! How long appends wait for a checkpoint that is behind: else the log would grow until the disk is full.

use std::time::Duration;

/// What a checkpoint takes for an entry, with a good margin, and how long an append waits for it at
/// most: far less than the patience of anybody who waits for the append.
const CHECKPOINT_ENTRY: Duration = Duration::from_micros(40);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// While room is tight: slower than a checkpoint is written, and far from nothing.
const TIGHT_BYTES_PER_MS: u64 = 10_000;

/// What goes into one write and flush while appends wait: no more entries than can be waited for in one go.
const GROUP_BYTES: usize = 256 << 10;

/// How large a group may be, if it will have to wait.
pub(crate) fn group_bytes(behind_bytes: u64, behind_max_bytes: u64) -> Option<usize> {
    (behind_bytes > free_bytes(behind_max_bytes)).then_some(GROUP_BYTES)
}

/// The wait for a group of `entries`. Over the last quarter of `behind_max_bytes` it grows with what the checkpoint is
/// behind, so that writers do not stop at some point, but come down to the rate at which it is written, wherever that is.
pub(crate) fn for_checkpoint(entries: u32, behind_bytes: u64, behind_max_bytes: u64) -> Duration {
    let free_bytes = free_bytes(behind_max_bytes);
    let over_bytes = behind_bytes.saturating_sub(free_bytes);
    if over_bytes == 0 {
        return Duration::ZERO;
    }
    let share = over_bytes as f64 / (behind_max_bytes - free_bytes).max(1) as f64;
    // Bounded before it is multiplied, for no product is to be out of range.
    (CHECKPOINT_ENTRY * entries)
        .mul_f64(share.min(1e6))
        .min(PAUSE_MAX)
}

/// What the checkpoint may be behind without a wait.
fn free_bytes(behind_max_bytes: u64) -> u64 {
    behind_max_bytes / 4 * 3
}

/// The wait for a group of `bytes` while the disk has little room, which the checkpoint has to make.
pub(crate) fn for_room(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1000) / TIGHT_BYTES_PER_MS).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::{CHECKPOINT_ENTRY, PAUSE_MAX, for_checkpoint, for_room, group_bytes};
    use std::time::Duration;

    #[test]
    fn the_wait_grows_over_the_last_quarter_of_the_bound() {
        let wait = |behind| for_checkpoint(100, behind, 1000);
        assert_eq!(wait(750), Duration::ZERO);
        assert_eq!(wait(875), CHECKPOINT_ENTRY * 50);
        assert_eq!(wait(1000), CHECKPOINT_ENTRY * 100);
        assert_eq!(wait(1250), CHECKPOINT_ENTRY * 200);
    }

    #[test]
    fn groups_are_small_while_they_wait() {
        assert_eq!(group_bytes(750, 1000), None);
        // A hundred bytes is a small entry in the log.
        let small = group_bytes(751, 1000).expect("it waits") / 100;
        let entries = u32::try_from(small).expect("a number of entries");
        let whole_wait = CHECKPOINT_ENTRY * entries;
        assert!(whole_wait.abs_diff(PAUSE_MAX) < PAUSE_MAX / 10);
    }

    #[test]
    fn no_wait_is_longer_than_who_waits_for_the_append_is_patient() {
        assert_eq!(for_checkpoint(u32::MAX, u64::MAX, 1000), PAUSE_MAX);
        assert_eq!(for_checkpoint(u32::MAX, u64::MAX, 0), PAUSE_MAX);
        assert_eq!(for_room(u64::MAX), PAUSE_MAX);
        assert_eq!(for_room(100_000), Duration::from_millis(10));
    }
}
