//! What an opened log is told to be, and what is made sure of before it counts.

use std::fs::File;
use std::path::Path;

use kv_common::id::Seq;
use kv_store::file::{remove, sync_dir};

use crate::log_cut::PendingCut;
use crate::log_disk::LogDisk;
use crate::log_error::{LogDamage, LogError, TailCut};
use crate::log_index::SegmentIndex;
use crate::log_scan::Scan;
use crate::segment::{SEGMENT_HEADER_BYTES, write_again, zero};

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOpening {
    /// The highest commit mark in any batch.
    pub committed: Seq,
    /// The tail that was cut off because it was torn.
    pub tail_cut: Option<TailCut>,
    /// Damage before the tail: the log is only good for reading what comes before it.
    pub damage: Option<LogDamage>,
}

/// Makes durable what was found, and clears what lies behind it.
///
/// A former run may have ended between a write and its flush, and a flush that fails leaves what it was to
/// bring to the disk in memory, where reads find it. So entries of which no later record says that they were
/// durable are written once more before they count as held. What lies behind them is overwritten with zeros
/// even if zeros are read there, so that nothing of it can come back and be taken for a part of what will be
/// written before it. Segments but for the last were durable before the next one had its name.
pub(crate) fn settle(
    disk: &LogDisk,
    dir: &Path,
    found: &Scan,
    segment: &SegmentIndex,
    file: &File,
    length: u64,
) -> Result<(), LogError> {
    for path in found.unused.iter().rev() {
        remove(path).map_err(|error| LogError::io(path, error))?;
    }
    let io = |error| LogError::io(&segment.path, error);
    if found.flushed < segment.last {
        let mark = segment.mark_before(found.flushed.next());
        let from = mark.map_or(SEGMENT_HEADER_BYTES, |mark| mark.offset);
        write_again(disk, file, from, segment.end).map_err(io)?;
    }
    zero(disk, file, segment.end, length).map_err(io)?;
    disk.sync_data(file).map_err(io)?;
    // The segment's name may be in memory alone, too.
    sync_dir(dir).map_err(io)?;
    PendingCut::end(dir).map_err(io)
}
