//! The log: batches in segment files, durable before anything is said about them.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use kv_common::batch::Batch;
use kv_common::history::BaseId;
use kv_common::id::{Position, Seq};

use crate::log_cut::{PendingCut, find_cut};
use crate::log_disk::LogDisk;
use crate::log_error::{LogDamage, LogError};
use crate::log_index::{SegmentIndex, SharedIndex};
use crate::log_opening::{LogOpening, settle};
use crate::log_reader::LogReader;
use crate::log_scan::scan;
use crate::log_sync::BackgroundSync;
use crate::record::{self, Salt, record_bytes};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, put_in_place, zero};
use crate::spare::Spares;
use kv_store::file::remove;

/// A write is handed to the system when so much is gathered.
const WRITE_BYTES: usize = 1 << 20;
/// What the system reads and writes at once.
const PAGE_BYTES: u64 = 4096;

/// The log of one generation. One thread owns it; [`LogReader`]s read it from others.
#[derive(Debug)]
pub struct Log {
    disk: LogDisk,
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
    /// The end of the last segment's pages that were written since it was opened; those behind may not be in memory.
    written_to: u64,
    last: Position,
    /// The last entry that is durable.
    flushed: Seq,
    spares: Spares,
    background_sync: Option<BackgroundSync>,
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
        Self::create_on(LogDisk::default(), dir, base, after, segment_bytes)
    }

    pub(crate) fn create_on(
        disk: LogDisk,
        dir: &Path,
        base: BaseId,
        after: Position,
        segment_bytes: u64,
    ) -> Result<Self, LogError> {
        let io = |error| LogError::io(dir, error);
        let mut spares = Spares::open(disk.clone(), dir, segment_bytes).map_err(io)?;
        let (spare, file) = spares.take(segment_bytes).map_err(io)?;
        let salt = Salt(rand::random());
        let header = SegmentHeader {
            base,
            first: after.seq.next(),
            epoch_before: after.epoch,
            length: segment_bytes,
            salt,
        };
        let path = put_in_place(&disk, dir, &spare, &file, &header).map_err(io)?;
        let index = SharedIndex::default();
        let segment = SegmentIndex::new(path.clone(), salt, header.first);
        index.lock().segments.push_back(segment);
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            base,
            salt,
            segment_bytes,
            index,
            file,
            path,
            length: segment_bytes,
            written_to: SEGMENT_HEADER_BYTES,
            last: after,
            flushed: after.seq,
            spares,
            background_sync: None,
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
        Self::open_on(LogDisk::default(), dir, segment_bytes, witnessed)
    }

    pub(crate) fn open_on(
        disk: LogDisk,
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
            settle(&disk, dir, &found, &segment, &file, length)?;
        }
        let opening = LogOpening {
            committed: found.committed,
            tail_cut: found.torn.clone(),
            damage: found.damage.clone(),
        };
        let spares = Spares::open(disk.clone(), dir, segment_bytes);
        let log = Self {
            disk,
            dir: dir.to_owned(),
            base: found.base,
            salt: found.salt,
            segment_bytes,
            file,
            path: segment.path,
            length,
            written_to: segment.end,
            last: found.last,
            flushed: found.last.seq,
            spares: spares.map_err(|error| LogError::io(dir, error))?,
            background_sync: None,
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
        LogReader::new(self.disk.clone(), self.index.clone())
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

    /// Begins to make durable what was appended, on a thread of its own, unless that is under way.
    /// [`Self::end_sync`] says what came of it.
    ///
    /// # Errors
    /// As [`Self::sync`], which takes its place when the system has no thread left.
    pub fn begin_sync(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        if self.flushed == self.last.seq || self.background_sync.is_some() {
            return Ok(());
        }
        let Ok(sync) = BackgroundSync::begin(&self.disk, &self.file, self.last.seq) else {
            return self.sync();
        };
        self.background_sync = Some(sync);
        Ok(())
    }

    /// Whether something that [`Self::begin_sync`] began was not ended.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        self.background_sync.is_some()
    }

    /// Ends what [`Self::begin_sync`] began, if it is over.
    ///
    /// # Errors
    /// When the disk refused: the log then takes nothing more.
    pub fn end_sync(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        if !self
            .background_sync
            .as_ref()
            .is_some_and(BackgroundSync::is_over)
        {
            return Ok(());
        }
        let ended = self.wait_for_background_sync();
        self.note_failure(ended)
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
    /// `retention_bytes` of log are left. Says where the log begins now. The head can be dropped whatever
    /// became of the tail, so that a full disk gets room.
    ///
    /// # Errors
    /// When the disk refuses, or the log is damaged.
    pub fn release_below(&mut self, seq: Seq, retention_bytes: u64) -> Result<Seq, LogError> {
        if let Some(damage) = &self.damage {
            return Err(LogError::Damaged(damage.clone()));
        }
        let mut released = Vec::new();
        {
            let mut index = self.index.lock();
            while index.is_droppable(seq, retention_bytes) {
                released.extend(index.segments.pop_front().map(|segment| segment.path));
            }
        }
        self.spares
            .recycle(&released)
            .map_err(|error| LogError::io(&self.dir, error))?;
        Ok(self.first_seq())
    }

    /// Keeps so many at most of the segments that are let go, to write them again. Says whether some had to go.
    pub(crate) fn keep_spares(&mut self, at_most: usize) -> Result<bool, LogError> {
        let kept = self.spares.keep(at_most);
        kept.map_err(|error| LogError::io(&self.dir, error))
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
        let mut end = self.index.lock().end();
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

    /// Writes what is gathered, with zeros up to the end of the page where it ends: the system would have to read
    /// a page from the disk that is written in part and is not in memory, as those of a new segment are not.
    fn write_at(&mut self, gathered: &mut Vec<u8>, offset: u64) -> Result<(), LogError> {
        let end = offset + gathered.len() as u64;
        if end > self.written_to {
            self.written_to = end.next_multiple_of(PAGE_BYTES).min(self.length);
            let zeros = usize::try_from(self.written_to - end).unwrap_or(0);
            gathered.resize(gathered.len() + zeros, 0);
        }
        self.disk
            .write_all_at(&self.file, gathered, offset)
            .map_err(|error| LogError::io(&self.path, error))?;
        gathered.clear();
        Ok(())
    }

    fn wait_for_background_sync(&mut self) -> Result<(), LogError> {
        let Some(sync) = self.background_sync.take() else {
            return Ok(());
        };
        let through = sync
            .end()
            .map_err(|error| LogError::io(&self.path, error))?;
        self.flushed = self.flushed.max(through);
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), LogError> {
        self.wait_for_background_sync()?;
        if self.flushed == self.last.seq {
            return Ok(());
        }
        self.disk
            .sync_data(&self.file)
            .map_err(|error| LogError::io(&self.path, error))?;
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
        self.path = put_in_place(&self.disk, &self.dir, &spare, &file, &header).map_err(io)?;
        self.file = file;
        self.written_to = SEGMENT_HEADER_BYTES;
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
        self.wait_for_background_sync()?;
        let (cut, epoch) = find_cut(&self.index, after)?;
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
        let end = self.index.lock().end();
        zero(&self.disk, &self.file, cut.offset, end).map_err(io)?;
        self.written_to = cut.offset;
        self.disk.sync_data(&self.file).map_err(io)?;
        PendingCut::end(&self.dir).map_err(io)?;
        if let Some(segment) = self.index.lock().segments.back_mut() {
            segment.cut(after, cut.offset);
        }
        self.last = Position { epoch, seq: after };
        self.flushed = after;
        Ok(())
    }
}
