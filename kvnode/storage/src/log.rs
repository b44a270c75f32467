//! The log: batches in segment files, durable before anything is said about them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kv_common::batch::Batch;
use kv_common::history::BaseId;
use kv_common::id::{Epoch, Position, Seq};

use crate::log_cut::PendingCut;
use crate::log_error::{LogDamage, LogError};
use crate::log_index::{SegmentIndex, SharedIndex};
use crate::log_opening::{LogOpening, settle};
use crate::log_reader::LogReader;
use crate::log_scan::scan;
use crate::record::{self, Salt, record_bytes};
use crate::record_stream::{RecordError, RecordStream};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, put_in_place, read_header, zero};
use crate::spare::Spares;
use kv_store::file::remove;

/// A write is handed to the system when so much is gathered.
const WRITE_BYTES: usize = 1 << 20;

/// The log of one generation. One thread owns it; [`LogReader`]s read it from others.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    base: BaseId,
    salt: Salt,
    segment_bytes: u64,
    index: SharedIndex,
    /// The last segment.
    file: File,
    path: PathBuf,
    /// The last segment's length on disk.
    length: u64,
    last: Position,
    /// The last entry that is durable.
    flushed: Seq,
    spares: Spares,
    damage: Option<LogDamage>,
    failed: Option<String>,
}

impl Log {
    /// Makes an empty log in the empty folder `dir`, for entries behind `after`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        dir: &Path,
        base: BaseId,
        after: Position,
        segment_bytes: u64,
    ) -> Result<Self, LogError> {
        let io = |error| LogError::io(dir, error);
        let mut spares = Spares::open(dir, segment_bytes).map_err(io)?;
        let (spare, file) = spares.take(segment_bytes).map_err(io)?;
        let salt = Salt(rand::random());
        let header = SegmentHeader {
            base,
            first: after.seq.next(),
            epoch_before: after.epoch,
            length: segment_bytes,
            salt,
        };
        let path = put_in_place(dir, &spare, &file, &header).map_err(io)?;
        let index = SharedIndex::default();
        let segment = SegmentIndex::new(path.clone(), salt, header.first);
        index.lock().segments.push_back(segment);
        Ok(Self {
            dir: dir.to_owned(),
            base,
            salt,
            segment_bytes,
            index,
            file,
            path,
            length: segment_bytes,
            last: after,
            flushed: after.seq,
            spares,
            damage: None,
            failed: None,
        })
    }

    /// Opens the log in `dir`: reads it through, cuts a torn tail off, ends a cut that was under way, and
    /// makes durable what it found. A damaged log is left as it is, and so is one that does not reach `witnessed`, the last entry that is known from
    /// elsewhere to have been in it.
    ///
    /// # Errors
    /// When the disk refuses, when there is no segment that can be read, or when one was written
    /// by a newer version.
    pub fn open(
        dir: &Path,
        segment_bytes: u64,
        witnessed: Seq,
    ) -> Result<(Self, LogOpening), LogError> {
        let mut found = scan(dir)?;
        found.weigh_witness(witnessed);
        let Some(segment) = found.index.segments.back().cloned() else {
            return Err(LogError::NoSegment {
                path: dir.to_owned(),
            });
        };
        let io = |error| LogError::io(&segment.path, error);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(found.damage.is_none());
        let file = file.open(&segment.path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if found.damage.is_none() {
            settle(dir, &found, &segment, &file, length)?;
        }
        let opening = LogOpening {
            committed: found.committed,
            tail_cut: found.torn.clone(),
            damage: found.damage.clone(),
        };
        let log = Self {
            dir: dir.to_owned(),
            base: found.base,
            salt: found.salt,
            segment_bytes,
            file,
            path: segment.path,
            length,
            last: found.last,
            flushed: found.last.seq,
            spares: Spares::open(dir, segment_bytes).map_err(|error| LogError::io(dir, error))?,
            damage: found.damage,
            failed: None,
            index: SharedIndex::holding(found.index),
        };
        Ok((log, opening))
    }

    /// The base state that the log builds on.
    #[must_use]
    pub fn base(&self) -> BaseId {
        self.base
    }

    /// The last entry, flushed or not.
    #[must_use]
    pub fn last(&self) -> Position {
        self.last
    }

    /// The last entry that is durable.
    #[must_use]
    pub fn flushed(&self) -> Seq {
        self.flushed
    }

    /// The first entry that the log still has; the one after the last if it has none.
    #[must_use]
    pub fn first_seq(&self) -> Seq {
        self.index.lock().first()
    }

    /// The bytes of all segments that are in use.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.index.lock().total_bytes()
    }

    /// A reader, for any thread.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.index.clone())
    }

    /// Appends batches and makes them durable.
    ///
    /// # Errors
    /// As [`Self::append_unsynced`].
    pub fn append(&mut self, batches: &[Batch]) -> Result<(), LogError> {
        self.append_unsynced(batches)?;
        self.sync()
    }

    /// Hands batches to the system. They survive a crash of the process, and of the machine only
    /// after [`Self::sync`].
    ///
    /// # Errors
    /// [`LogError::Gap`] when a batch does not follow; nothing of it and of those behind it is
    /// taken. When the disk refuses: the log then takes nothing more.
    pub fn append_unsynced(&mut self, batches: &[Batch]) -> Result<(), LogError> {
        self.check_usable()?;
        let appended = self.write_batches(batches);
        self.note_failure(appended)
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// When the disk refuses: the log then takes nothing more.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        let synced = self.sync_file();
        self.note_failure(synced)
    }

    /// Forgets every entry after `after`, durably, so that none can come back.
    ///
    /// # Errors
    /// [`LogError::CutInsideBatch`] when no batch ends there. When the disk refuses: the log then
    /// takes nothing more.
    pub fn cut_after(&mut self, after: Seq) -> Result<(), LogError> {
        self.check_usable()?;
        if after >= self.last.seq {
            return Ok(());
        }
        let cut = self.cut(after);
        self.note_failure(cut)
    }

    /// Drops whole segments at the head that hold only entries below `seq`, as long as
    /// `retention_bytes` of log are left. Says where the log begins now.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn release_below(&mut self, seq: Seq, retention_bytes: u64) -> Result<Seq, LogError> {
        self.check_usable()?;
        loop {
            let released = {
                let mut index = self.index.lock();
                let total = index.total_bytes();
                let several = index.segments.len() > 1;
                let droppable = several.then(|| index.segments.front()).flatten();
                let droppable = droppable.is_some_and(|segment| {
                    segment.last < seq && total - segment.end >= retention_bytes
                });
                if droppable {
                    index.segments.pop_front()
                } else {
                    None
                }
            };
            let Some(segment) = released else {
                return Ok(self.first_seq());
            };
            self.spares
                .recycle(&segment.path)
                .map_err(|error| LogError::io(&segment.path, error))?;
        }
    }

    fn check_usable(&self) -> Result<(), LogError> {
        if let Some(damage) = &self.damage {
            return Err(LogError::Damaged(damage.clone()));
        }
        if let Some(cause) = &self.failed {
            return Err(LogError::Failed {
                cause: cause.clone(),
            });
        }
        Ok(())
    }

    /// After the disk refused, nobody knows what it holds.
    fn note_failure(&mut self, outcome: Result<(), LogError>) -> Result<(), LogError> {
        if let Err(error @ LogError::Io { .. }) = &outcome {
            self.failed = Some(error.to_string());
        }
        outcome
    }

    fn write_batches(&mut self, batches: &[Batch]) -> Result<(), LogError> {
        let mut gathered = Vec::new();
        let mut end = self.end();
        for batch in batches {
            let got = Position {
                epoch: batch.epoch(),
                seq: batch.first(),
            };
            if got.seq != self.last.seq.next() || got.epoch < self.last.epoch {
                self.write_at(&mut gathered, end)?;
                return Err(LogError::Gap {
                    last: self.last,
                    got,
                });
            }
            let length = record_bytes(batch.bytes().len());
            let at = end + gathered.len() as u64;
            if at + length as u64 > self.length || gathered.len() >= WRITE_BYTES {
                self.write_at(&mut gathered, end)?;
                end = at;
            }
            if end + length as u64 > self.length {
                self.begin_segment(length as u64)?;
                end = SEGMENT_HEADER_BYTES;
            }
            record::encode(batch, self.salt, self.flushed, &mut gathered);
            self.note_batch(batch, length);
        }
        self.write_at(&mut gathered, end)
    }

    /// Takes note of a batch whose record is about to be written. Readers on other threads are asked
    /// only for what was reported as written.
    fn note_batch(&mut self, batch: &Batch, length: usize) {
        let mut index = self.index.lock();
        if let Some(segment) = index.segments.back_mut() {
            segment.note(batch.header(), length);
        }
        self.last = Position {
            epoch: batch.epoch(),
            seq: batch.last(),
        };
    }

    fn end(&self) -> u64 {
        let index = self.index.lock();
        index
            .segments
            .back()
            .map_or(SEGMENT_HEADER_BYTES, |segment| segment.end)
    }

    fn write_at(&self, gathered: &mut Vec<u8>, offset: u64) -> Result<(), LogError> {
        self.file
            .write_all_at(gathered, offset)
            .map_err(|error| LogError::io(&self.path, error))?;
        gathered.clear();
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), LogError> {
        if self.flushed == self.last.seq {
            return Ok(());
        }
        rustix::fs::fdatasync(&self.file)
            .map_err(|error| LogError::io(&self.path, error.into()))?;
        self.flushed = self.last.seq;
        Ok(())
    }

    /// Goes on in a new segment with room for a record of `record_bytes`. The one before it is
    /// made durable first, so that a segment with a record in it shows that all before it were
    /// whole.
    fn begin_segment(&mut self, record_bytes: u64) -> Result<(), LogError> {
        self.sync_file()?;
        let io = |error| LogError::io(&self.dir, error);
        let length = (SEGMENT_HEADER_BYTES + record_bytes).max(self.segment_bytes);
        let (spare, file) = self.spares.take(length).map_err(io)?;
        self.length = file.metadata().map_err(io)?.len();
        let header = SegmentHeader {
            base: self.base,
            first: self.last.seq.next(),
            epoch_before: self.last.epoch,
            length: self.length,
            salt: self.salt,
        };
        self.path = put_in_place(&self.dir, &spare, &file, &header).map_err(io)?;
        self.file = file;
        let segment = SegmentIndex::new(self.path.clone(), self.salt, header.first);
        let mut index = self.index.lock();
        // A segment without a record is too short for this one: it had the same name, and is gone.
        index
            .segments
            .pop_back_if(|last| last.first == header.first);
        index.segments.push_back(segment);
        drop(index);
        self.spares.prepare().map_err(io)
    }

    fn cut(&mut self, after: Seq) -> Result<(), LogError> {
        let (cut, epoch) = self.find_end_of(after)?;
        cut.begin(&self.dir)
            .map_err(|error| LogError::io(&self.dir, error))?;
        loop {
            let unneeded = {
                let mut index = self.index.lock();
                let several = index.segments.len() > 1;
                match index.segments.back() {
                    Some(segment) if several && segment.first > after => index.segments.pop_back(),
                    _ => None,
                }
            };
            let Some(segment) = unneeded else { break };
            // Deleted and not reused: its entries would follow what comes to stand before them.
            remove(&segment.path).map_err(|error| LogError::io(&segment.path, error))?;
        }
        let path = self
            .index
            .lock()
            .segments
            .back()
            .map(|segment| segment.path.clone());
        self.path = path.unwrap_or_else(|| self.path.clone());
        let io = |error| LogError::io(&self.path, error);
        let mut options = OpenOptions::new();
        self.file = options
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(io)?;
        self.length = self.file.metadata().map_err(io)?.len();
        let end = self.end();
        zero(&self.file, cut.offset, end).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        PendingCut::end(&self.dir).map_err(io)?;
        if let Some(segment) = self.index.lock().segments.back_mut() {
            segment.cut(after, cut.offset);
        }
        self.last = Position { epoch, seq: after };
        self.flushed = after;
        Ok(())
    }

    /// Where the batch that ends with `after` ends, and its epoch.
    fn find_end_of(&self, after: Seq) -> Result<(PendingCut, Epoch), LogError> {
        let index = self.index.lock();
        let Some(segment) = index.segment_of(after).cloned() else {
            let first = index.segments.front().cloned();
            drop(index);
            let before_head = first.filter(|segment| segment.first == after.next());
            return match before_head {
                Some(segment) => self.epoch_before(&segment),
                None => Err(LogError::CutInsideBatch { after }),
            };
        };
        drop(index);
        let io = |error| LogError::io(&segment.path, error);
        let file = File::open(&segment.path).map_err(io)?;
        let from = segment
            .mark_before(after)
            .map_or(segment.end, |mark| mark.offset);
        let mut records = RecordStream::new(&file, segment.salt, from, segment.end);
        loop {
            match records.next() {
                Ok(Some(found)) if found.batch.last() == after => {
                    let cut = PendingCut {
                        segment: segment.first,
                        offset: found.offset + found.total_bytes as u64,
                    };
                    return Ok((cut, found.batch.epoch()));
                }
                Ok(Some(found)) if found.batch.last() < after => {}
                Ok(_) => return Err(LogError::CutInsideBatch { after }),
                Err(RecordError::Io(error)) => return Err(io(error)),
                Err(RecordError::Batch(error)) => return Err(io(io::Error::other(error))),
            }
        }
    }

    /// A cut before everything: the start of the first segment.
    fn epoch_before(&self, segment: &SegmentIndex) -> Result<(PendingCut, Epoch), LogError> {
        let io = |error| LogError::io(&segment.path, error);
        let file = File::open(&segment.path).map_err(io)?;
        let header = read_header(&file, &segment.path)?;
        let header = header.ok_or_else(|| io(io::Error::other("the header is damaged")))?;
        let cut = PendingCut {
            segment: segment.first,
            offset: SEGMENT_HEADER_BYTES,
        };
        Ok((cut, header.epoch_before))
    }
}
