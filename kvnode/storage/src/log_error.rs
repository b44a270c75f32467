//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

use kv_common::batch::BatchError;
use kv_common::id::{Position, Seq};

/// Why a log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("the log file {} cannot be used: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds no segment that can be read.
    #[error("no segment of the log in {} can be read", path.display())]
    NoSegment {
        /// The folder.
        path: PathBuf,
    },
    /// A batch does not follow the last one.
    #[error("a batch at {got} does not follow {last}")]
    Gap {
        /// The log's last entry.
        last: Position,
        /// The batch's first entry.
        got: Position,
    },
    /// A cut is not at the end of a batch, or before the log's head.
    #[error("the log cannot be cut after {after}: no batch ends there")]
    CutInsideBatch {
        /// Where the cut was asked for.
        after: Seq,
    },
    /// The log is damaged before its tail and takes nothing more.
    #[error("the log takes nothing: {0}")]
    Damaged(LogDamage),
    /// A write failed before, so it is not known what the disk holds.
    #[error("the log takes nothing more since a write failed: {cause}")]
    Failed {
        /// How the first one failed.
        cause: String,
    },
    /// A file in the log's folder is of a newer version.
    #[error("{} was written by a newer version of this program; use that one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
    },
}

impl LogError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Why batches cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// The log no longer reaches back so far.
    #[error("the log begins at {first}, entry {asked} is gone")]
    Gone {
        /// What was asked for.
        asked: Seq,
        /// The first entry that the log has.
        first: Seq,
    },
    /// The log does not reach that far yet.
    #[error("the log ends at {last}, entry {asked} is not there")]
    Beyond {
        /// What was asked for.
        asked: Seq,
        /// The last entry that the log has.
        last: Seq,
    },
    /// The batch on the disk is not what was written.
    #[error("entry {asked} cannot be read back from {}: {cause}", path.display())]
    Damaged {
        /// What was asked for.
        asked: Seq,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: BatchError,
    },
    /// The system refused.
    #[error("the log file {} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Damage before the log's tail: something that was durable once is not there any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is damaged at byte {offset}: entry {missing} was or may have been durable and is not there",
    segment.display()
)]
pub struct LogDamage {
    /// The segment.
    pub segment: PathBuf,
    /// Where reading stopped.
    pub offset: u64,
    /// The entry that should have been there.
    pub missing: Seq,
}

/// A tail that was cut off at the start, because it was not written to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} had a torn tail, cut off at byte {offset} behind entry {last}", segment.display())]
pub struct TailCut {
    /// The segment.
    pub segment: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// The last entry that is left.
    pub last: Seq,
}
