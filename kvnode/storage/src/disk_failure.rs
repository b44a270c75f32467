//! What a storage error says about the disk.

use std::io::ErrorKind;

use kv_common::message::control::{DiskFailure, DiskTrouble};
use kv_store::StoreError;

use crate::checkpoint::CheckpointError;
use crate::log_error::{LogError, LogReadError};
use crate::meta::MetaError;

/// What kind of trouble an error of the system stands for.
pub(crate) fn trouble_of(kind: ErrorKind) -> DiskTrouble {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskTrouble::Full,
        ErrorKind::ReadOnlyFilesystem => DiskTrouble::ReadOnly,
        _ => DiskTrouble::Failing,
    }
}

fn trouble_of_store(error: &StoreError) -> DiskTrouble {
    match error {
        StoreError::DiskFull { .. } => DiskTrouble::Full,
        StoreError::ReadOnly { .. } => DiskTrouble::ReadOnly,
        StoreError::Locked { .. }
        | StoreError::Foreign { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Io { .. }
        | StoreError::TooLong { .. }
        | StoreError::Failed { .. } => DiskTrouble::Failing,
    }
}

impl LogError {
    /// What it says about the disk.
    pub(crate) fn failure(&self) -> DiskFailure {
        let trouble = match self {
            Self::Io { source, .. } => trouble_of(source.kind()),
            Self::NoSegment { .. }
            | Self::Gap { .. }
            | Self::CutInsideBatch { .. }
            | Self::Damaged(_)
            | Self::Failed { .. }
            | Self::NewerFormat { .. } => DiskTrouble::Failing,
        };
        let cause = self.to_string();
        DiskFailure { trouble, cause }
    }
}

impl MetaError {
    /// What it says about the disk.
    pub(crate) fn failure(&self) -> DiskFailure {
        let trouble = match self {
            Self::Store(error) | Self::Damaged(error) => trouble_of_store(error),
            Self::Copy { source, .. } => trouble_of(source.kind()),
            Self::Unreadable { .. } | Self::Lost { .. } => DiskTrouble::Failing,
        };
        let cause = self.to_string();
        DiskFailure { trouble, cause }
    }
}

impl CheckpointError {
    /// What it says about the disk.
    pub(crate) fn failure(&self) -> DiskFailure {
        let trouble = match self {
            Self::Store(error) => trouble_of_store(error),
            Self::Log(LogReadError::Io { source, .. }) => trouble_of(source.kind()),
            Self::Log(_)
            | Self::Batch(_)
            | Self::Session(_)
            | Self::NoMark
            | Self::Unreadable { .. }
            | Self::Gap { .. } => DiskTrouble::Failing,
        };
        let cause = self.to_string();
        DiskFailure { trouble, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::trouble_of;
    use crate::log_error::LogError;
    use kv_common::message::control::DiskTrouble;
    use std::io::Error;
    use std::path::Path;

    #[test]
    fn what_an_operator_would_do_differs() {
        for (errno, trouble) in [
            (rustix::io::Errno::NOSPC, DiskTrouble::Full),
            (rustix::io::Errno::DQUOT, DiskTrouble::Full),
            (rustix::io::Errno::ROFS, DiskTrouble::ReadOnly),
            (rustix::io::Errno::IO, DiskTrouble::Failing),
        ] {
            assert_eq!(trouble_of(Error::from(errno).kind()), trouble, "{errno}");
        }
        let error = LogError::io(Path::new("1.seg"), rustix::io::Errno::NOSPC.into());
        let failure = error.failure();
        assert_eq!(failure.trouble, DiskTrouble::Full);
        assert!(failure.cause.contains("1.seg"), "{}", failure.cause);
    }
}
