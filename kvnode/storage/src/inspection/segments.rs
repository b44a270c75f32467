//! Looking at the segments of a log, of which the last may be written to meanwhile.

use std::fs;
use std::io;
use std::path::Path;

use kv_common::history::BaseId;
use kv_common::id::{Position, Seq};

use crate::log_error::{LogDamage, LogError, TailCut};
use crate::log_scan::{Scan, scan};

/// How often a log that is written to is read again before what was found is believed.
const TRIES: usize = 3;

/// A log, as far as it could be read.
#[derive(Debug)]
pub(super) enum LogContent {
    /// It was read through.
    Read(FoundLog),
    /// It cannot be read.
    Unreadable {
        /// Why.
        cause: String,
    },
}

/// What a log holds.
#[derive(Debug)]
pub(super) struct FoundLog {
    pub(super) segments: Vec<FoundSegment>,
    pub(super) base: BaseId,
    pub(super) first: Seq,
    pub(super) last: Position,
    pub(super) committed: Seq,
    pub(super) torn: Option<TailCut>,
    pub(super) damage: Option<LogDamage>,
}

/// One file of a log.
#[derive(Debug)]
pub(super) struct FoundSegment {
    pub(super) name: String,
    pub(super) first: Seq,
    /// One before `first` if it has no entry.
    pub(super) last: Seq,
    pub(super) used_bytes: u64,
    pub(super) length_bytes: u64,
}

impl LogContent {
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Read(found) => found.damage.is_none(),
            Self::Unreadable { .. } => false,
        }
    }
}

/// Looks at the log in `dir`.
pub(super) fn look(dir: &Path, in_use: bool) -> LogContent {
    let tries = if in_use { TRIES } else { 1 };
    let mut content = look_once(dir);
    for _ in 1..tries {
        // What looks like damage may have been written between two reads.
        if content.is_sound() {
            break;
        }
        content = look_once(dir);
    }
    content
}

fn look_once(dir: &Path) -> LogContent {
    let unreadable = |error: LogError| LogContent::Unreadable {
        cause: error.to_string(),
    };
    let found = match scan(dir) {
        Ok(found) => found,
        Err(error) => return unreadable(error),
    };
    if found.index.segments.is_empty() && found.damage.is_none() {
        let path = dir.to_owned();
        return unreadable(LogError::NoSegment { path });
    }
    match FoundLog::new(found) {
        Ok(found) => LogContent::Read(found),
        Err(error) => unreadable(LogError::io(dir, error)),
    }
}

impl FoundLog {
    fn new(found: Scan) -> io::Result<Self> {
        let first = found.index.first();
        let mut segments = Vec::new();
        for segment in found.index.segments {
            let name = segment.path.file_name().unwrap_or_default();
            segments.push(FoundSegment {
                name: name.to_string_lossy().into_owned(),
                first: segment.first,
                last: segment.last,
                used_bytes: segment.end,
                length_bytes: fs::metadata(&segment.path)?.len(),
            });
        }
        Ok(Self {
            segments,
            base: found.base,
            first,
            last: found.last,
            committed: found.committed,
            torn: found.torn,
            damage: found.damage,
        })
    }
}
