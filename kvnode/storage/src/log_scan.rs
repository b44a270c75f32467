//! Reading a log through when it is opened: how far it goes, and why it ends there.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kv_common::history::BaseId;
use kv_common::id::{Position, Seq};

use crate::log_cut::PendingCut;
use crate::log_error::{LogDamage, LogError, TailCut};
use crate::log_index::{LogIndex, SegmentIndex};
use crate::record::{ALIGNMENT, RECORD_FRONT_BYTES, RecordFront, Salt};
use crate::record_stream::{RecordError, RecordStream};
use crate::segment::{SEGMENT_HEADER_BYTES, list_segments, read_header};

/// What a log's files come to.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Where the sound batches are. Empty when there is no segment that can be read.
    pub(crate) index: LogIndex,
    /// The base state, from the first segment.
    pub(crate) base: BaseId,
    /// The log's salt, from the first segment.
    pub(crate) salt: Salt,
    /// The entry before the first one.
    pub(crate) before: Position,
    /// The last entry.
    pub(crate) last: Position,
    /// The highest commit mark in any batch, at most the last entry.
    pub(crate) committed: Seq,
    /// The tail that has to be cut, if it is torn.
    pub(crate) torn: Option<TailCut>,
    /// What was lost before the tail.
    pub(crate) damage: Option<LogDamage>,
    /// Up to here, a record says that entries were durable when it was written.
    pub(crate) flushed: Seq,
    /// Segments behind the end that never got a durable record, or are cut off.
    pub(crate) unused: Vec<PathBuf>,
}

/// Reads all segments in `dir` through. Changes nothing.
pub(crate) fn scan(dir: &Path) -> Result<Scan, LogError> {
    let mut scan = Scan {
        index: LogIndex::default(),
        base: BaseId::default(),
        salt: Salt::default(),
        before: Position::ZERO,
        last: Position::ZERO,
        committed: Seq::ZERO,
        torn: None,
        damage: None,
        flushed: Seq::ZERO,
        unused: Vec::new(),
    };
    let cut = PendingCut::find(dir)?;
    let segments = list_segments(dir).map_err(|error| LogError::io(dir, error))?;
    let (mut ended, mut is_cut) = (false, false);
    for (first, path) in segments {
        let file = open(&path)?;
        let header = read_header(&file, &path)?;
        let follows = header.is_some_and(|header| {
            let fits = scan.index.segments.is_empty()
                || (header.base == scan.base
                    && header.salt == scan.salt
                    && header.first == scan.last.seq.next()
                    && header.epoch_before == scan.last.epoch);
            fits && header.first == first && first > Seq::ZERO
        });
        match header {
            Some(header) if follows && !ended => {
                if scan.index.segments.is_empty() {
                    scan.base = header.base;
                    scan.salt = header.salt;
                    scan.last = Position {
                        epoch: header.epoch_before,
                        seq: Seq(first.0 - 1),
                    };
                    scan.before = scan.last;
                }
                scan.index
                    .segments
                    .push_back(SegmentIndex::new(path.clone(), header.salt, first));
                let cut = cut.filter(|cut| cut.segment == first);
                ended = !scan.read_segment(&file, &path, cut)?;
                is_cut |= cut.is_some();
                scan.weigh_length(&file, &path, header.length)?;
            }
            _ => {
                ended = true;
                if !is_cut {
                    scan.weigh_rest(&file, &path, SEGMENT_HEADER_BYTES)?;
                }
                scan.unused.push(path);
            }
        }
        if scan.damage.is_some() {
            break;
        }
    }
    scan.committed = scan.committed.min(scan.last.seq);
    Ok(scan)
}

fn open(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .read(true)
        .open(path)
        .map_err(|error| LogError::io(path, error))
}

impl Scan {
    /// Takes it for damage when `witnessed` was in the log and is not.
    pub(crate) fn weigh_witness(&mut self, witnessed: Seq) {
        let end = self.index.segments.back();
        if let Some(end) = end.filter(|_| self.last.seq < witnessed && self.damage.is_none()) {
            self.damage = Some(LogDamage {
                segment: end.path.clone(),
                offset: end.end,
                missing: self.last.seq.next(),
            });
        }
    }

    /// Reads the records of the newest segment in the index, up to where the log is being `cut`. Says
    /// whether a further segment may follow: nothing was found behind the last record that looks like a
    /// record.
    fn read_segment(
        &mut self,
        file: &File,
        path: &Path,
        cut: Option<PendingCut>,
    ) -> Result<bool, LogError> {
        let io = |error| LogError::io(path, error);
        let length = file.metadata().map_err(io)?.len();
        let length = cut.map_or(length, |cut| length.min(cut.offset));
        let mut records = RecordStream::new(file, self.salt, SEGMENT_HEADER_BYTES, length);
        let end = loop {
            let at = records.offset();
            let found = match records.next() {
                Ok(Some(found)) => found,
                Ok(None) | Err(RecordError::Batch(_)) => break at,
                Err(RecordError::Io(error)) => return Err(io(error)),
            };
            let header = *found.batch.header();
            if header.first != self.last.seq.next() || header.epoch < self.last.epoch {
                break at;
            }
            self.last = Position {
                epoch: header.epoch,
                seq: header.last(),
            };
            self.committed = self.committed.max(header.committed);
            self.flushed = self.flushed.max(found.flushed);
            if let Some(segment) = self.index.segments.back_mut() {
                segment.note(&header, found.total_bytes);
            }
        };
        if cut.is_some_and(|cut| end == cut.offset) {
            return Ok(false);
        }
        self.weigh_rest(file, path, end)?;
        Ok(self.torn.is_none())
    }

    /// A segment has its length before it has its name, so nothing but damage makes it shorter; what
    /// was at its end cannot be known.
    fn weigh_length(&mut self, file: &File, path: &Path, length: u64) -> Result<(), LogError> {
        let found = file.metadata().map_err(|error| LogError::io(path, error))?;
        if found.len() < length && self.damage.is_none() {
            self.damage = Some(LogDamage {
                segment: path.to_owned(),
                offset: found.len(),
                missing: self.last.seq.next(),
            });
        }
        Ok(())
    }

    /// Looks at what lies in a file from `offset` on, behind the last sound record. A record there
    /// that was written after the missing one was durable shows damage; one that was not, a torn
    /// tail; older ones are what the segment's former life left.
    fn weigh_rest(&mut self, file: &File, path: &Path, offset: u64) -> Result<(), LogError> {
        let io = |error| LogError::io(path, error);
        let length = file.metadata().map_err(io)?.len();
        let mut rest = vec![0; usize::try_from(length.saturating_sub(offset)).unwrap_or(0)];
        file.read_exact_at(&mut rest, offset).map_err(io)?;
        let missing = self.last.seq.next();
        let mut torn = false;
        for start in (0..rest.len().saturating_sub(RECORD_FRONT_BYTES)).step_by(ALIGNMENT) {
            let Ok(front) = RecordFront::parse(&rest[start..], self.salt) else {
                continue;
            };
            if front.flushed >= missing {
                self.damage = Some(LogDamage {
                    segment: path.to_owned(),
                    offset,
                    missing,
                });
                return Ok(());
            }
            torn |= front.batch.first >= missing;
        }
        if torn && self.torn.is_none() {
            self.torn = Some(TailCut {
                segment: path.to_owned(),
                offset,
                last: self.last.seq,
            });
        }
        Ok(())
    }
}
