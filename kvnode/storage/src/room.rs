//! The room that a disk has left, and what follows from it for the log.

use std::io;
use std::path::Path;

/// How much room the file system at `path` has left. Nothing: it is one of those that say nothing of themselves.
pub(crate) fn free_bytes(path: &Path) -> io::Result<Option<u64>> {
    let space = rustix::fs::statvfs(path)?;
    let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
    Ok((space.f_blocks > 0).then_some(free_bytes))
}

/// The room on the file system of a log, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    free_bytes: u64,
    wanted_bytes: u64,
}

impl Room {
    /// `free_bytes` are left; as long as these are less than `wanted_bytes`, the log does without what it can do
    /// without. Nothing: nobody can tell, and so nobody goes by it.
    pub(crate) fn new(free_bytes: Option<u64>, wanted_bytes: u64) -> Self {
        Self {
            free_bytes: free_bytes.unwrap_or(u64::MAX),
            wanted_bytes,
        }
    }

    /// Whether the log is to do without what it can do without.
    pub(crate) fn is_short(self) -> bool {
        self.free_bytes < self.wanted_bytes
    }

    /// Whether the log is to grow no faster than a checkpoint can follow: half of what is wanted is for the
    /// checkpoint to grow by until the log lets its head go.
    pub(crate) fn is_tight(self) -> bool {
        self.free_bytes < self.wanted_bytes / 2
    }

    /// How much of a log of `held_bytes` is kept although nobody here needs it: `retention_bytes`, or less by what the
    /// room lacks.
    pub(crate) fn retention_bytes(self, held_bytes: u64, retention_bytes: u64) -> u64 {
        let lacking_bytes = self.wanted_bytes.saturating_sub(self.free_bytes);
        match lacking_bytes {
            0 => retention_bytes,
            _ => retention_bytes.min(held_bytes.saturating_sub(lacking_bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn the_log_gives_up_what_the_room_lacks() {
        let kept = |free| Room::new(free, 200).retention_bytes(430, 256);
        assert_eq!(kept(None), 256);
        assert_eq!(kept(Some(1000)), 256);
        assert_eq!(kept(Some(200)), 256);
        assert_eq!(kept(Some(180)), 256, "no more than the retention");
        assert_eq!(kept(Some(20)), 250);
        assert_eq!(kept(Some(0)), 230);
        let small = Room::new(Some(0), 200).retention_bytes(100, 256);
        assert_eq!(small, 0);
    }

    #[test]
    fn room_is_short_before_it_is_tight() {
        let of = |free| {
            let room = Room::new(free, 200);
            (room.is_short(), room.is_tight())
        };
        assert_eq!(of(None), (false, false));
        assert_eq!(of(Some(200)), (false, false));
        assert_eq!(of(Some(199)), (true, false));
        assert_eq!(of(Some(99)), (true, true));
    }
}
