//! How many connections a node takes, of the files that the system lets it have open. Idle clients must not keep it
//! from opening those that hold its data.

/// Connections of one kind at a time.
const CONNECTIONS_MAX: u64 = 10_000;
/// Files that are for the data and all else; a quarter where there are few.
const RESERVED_FILES: u64 = 1024;

/// How many connections a node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// Of clients and other nodes.
    pub(super) main: u64,
    /// Of Redis clients.
    pub(super) redis: u64,
}

impl ConnectionLimits {
    /// What comes of so many open files: Redis clients never leave the others without any.
    pub(crate) fn of(open_files: u64) -> Self {
        let left = open_files - RESERVED_FILES.min(open_files / 4);
        let redis = CONNECTIONS_MAX.min(left / 4 * 3);
        Self {
            main: CONNECTIONS_MAX.min(left - redis),
            redis,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectionLimits;

    #[test]
    fn some_files_are_left_whatever_the_limit() {
        for (open_files, main, redis) in [
            (0, 0, 0),
            (1024, 192, 576),
            (4096, 768, 2304),
            (20_000, 8976, 10_000),
            (32_768, 10_000, 10_000),
            (u64::MAX, 10_000, 10_000),
        ] {
            let limits = ConnectionLimits::of(open_files);
            assert_eq!(limits, ConnectionLimits { main, redis }, "{open_files}");
        }
    }
}
