//! The checkpoint: the applied state on disk, written behind the log.
//!
//! A checkpoint moves in rounds. A round takes entries from the log, keeps the newest record of
//! each key, and writes them in key order. It goes to the store in batches of about a thousand
//! records: one long batch would hold sled's lock, which is the whole process's, and so keep a
//! promise waiting that has to be durable in milliseconds; and sled writes a batch in the order of a
//! hash map, so that short batches in key order are also the faster ones. While a round is under
//! way the mark says up to where keys may be ahead. Changes are absolute: whoever opens such a
//! checkpoint applies the log from the mark's position on, up to there at least, and gets the exact
//! state. Sessions, history and position change in the round's last batch.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use kv_common::batch::BatchError;
use kv_common::history::History;
use kv_common::id::{Position, Seq};
use kv_common::time::UnixMs;
use kv_store::{
    DurableMap, Record, ScanLimit, Store, StoreError, StoreOptions, WriteBatch, scan_all,
};
use kvnode_core::state::{SessionDecodeError, Sessions, State};

use crate::checkpoint_load::load_records;
use crate::checkpoint_record::{
    CLOCK_KEY, CheckpointMark, DATA_PREFIX, ImportMark, MARK_KEY, SESSION_PREFIX, decode_clock,
    decode_session_key, decode_value, encode_clock, session_key,
};
use crate::log_error::LogReadError;
use crate::log_reader::LogReader;
use crate::pace::Pace;
use crate::round::Round;

/// Records of a round: what is held in memory at a time.
const ROUND_BYTES: usize = 32 << 20;
/// What is read from the log at once.
const READ_BYTES: usize = 4 << 20;
/// One batch to the store.
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;

/// The checkpoint of one generation. One thread owns it.
pub struct Checkpoint {
    map: Box<dyn DurableMap>,
    mark: CheckpointMark,
    clock: UnixMs,
    sessions: Sessions,
    /// What the keys and values come to, about.
    data_bytes: u64,
    covers_log: bool,
}

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log that it is written from.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// A batch of the log is of another version.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A stored session.
    #[error(transparent)]
    Session(#[from] SessionDecodeError),
    /// There is no mark, so the checkpoint was never finished.
    #[error("the checkpoint is not whole: it has no mark")]
    NoMark,
    /// A record is none of ours.
    #[error("the checkpoint holds a record that cannot be read: '{}'", key.escape_ascii())]
    Unreadable {
        /// Its key.
        key: Bytes,
    },
    /// The log does not go on where the checkpoint ends.
    #[error("the log goes on at {got}, the checkpoint ends at {last}")]
    Gap {
        /// Where the checkpoint ends.
        last: Position,
        /// What the log has next.
        got: Position,
    },
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Makes a checkpoint of what is in `map`, standing for `history`.
    pub(crate) fn create(
        mut map: Box<dyn DurableMap>,
        history: History,
    ) -> Result<Self, CheckpointError> {
        let mark = CheckpointMark::new(history);
        write_mark(&mut *map, &mark)?;
        Self::over(map)
    }

    /// Opens the store in `dir`.
    pub(crate) fn store(dir: &Path, cache_bytes: u64) -> Result<Box<dyn DurableMap>, StoreError> {
        Ok(Box::new(Store::open(dir, StoreOptions { cache_bytes })?))
    }

    /// Opens the checkpoint in `map`.
    pub(crate) fn over(map: Box<dyn DurableMap>) -> Result<Self, CheckpointError> {
        let mark = map.get(MARK_KEY)?.ok_or(CheckpointError::NoMark)?;
        let mark = rmp_serde::from_slice(&mark).map_err(|_| unreadable(MARK_KEY))?;
        let mut checkpoint = Self {
            map,
            mark,
            clock: UnixMs::default(),
            sessions: Sessions::new(),
            data_bytes: 0,
            covers_log: true,
        };
        checkpoint.load_sessions_and_clock()?;
        Ok(checkpoint)
    }

    /// The last entry that the records hold as a whole.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.mark.history.last()
    }

    /// The last entry that any of the records may be of.
    pub(crate) fn reached(&self) -> Seq {
        self.mark.ahead.unwrap_or(self.applied().seq)
    }

    /// Whether the log beside it may let go what is in it.
    pub(crate) fn covers_log(&self) -> bool {
        self.covers_log
    }

    /// Says that the log beside it does not go on from it, or is damaged: nobody knows what of it is needed still.
    pub(crate) fn covers_no_log(&mut self) {
        self.covers_log = false;
    }

    pub(crate) fn history(&self) -> &History {
        &self.mark.history
    }

    pub(crate) fn mark(&self) -> &CheckpointMark {
        &self.mark
    }

    /// What keys and values come to, about.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// What it takes on the disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.map.size_on_disk()
    }

    /// Loads everything into an empty state.
    pub(crate) fn load(&mut self, state: &mut State) -> Result<(), CheckpointError> {
        self.data_bytes = load_records(&*self.map, state)?;
        for id in self.sessions.ids() {
            if let Some(encoded) = self.sessions.encode(id) {
                state.load_session(id, &encoded)?;
            }
        }
        state.finish_loading(self.applied(), self.clock);
        Ok(())
    }

    /// Takes in the log up to the entry `through`. Says how many entries it took.
    pub(crate) fn advance(
        &mut self,
        log: &LogReader,
        through: Seq,
        pace: Pace<'_>,
    ) -> Result<u64, CheckpointError> {
        let mut entries = 0;
        while self.applied().seq < through {
            let mut round = Round::default();
            let mut history = self.mark.history.clone();
            while history.last().seq < through && round.bytes < ROUND_BYTES {
                pace.piece(|| self.gather(log, through, &mut round, &mut history))?;
            }
            entries += round.entries;
            self.write(round, history, pace)?;
        }
        Ok(entries)
    }

    /// Takes in what comes next in the log, as much as is read at once.
    fn gather(
        &mut self,
        log: &LogReader,
        through: Seq,
        round: &mut Round,
        history: &mut History,
    ) -> Result<(), CheckpointError> {
        let from = history.last().seq.next();
        for batch in log.read_through(from, through, READ_BYTES)? {
            for entry in batch.entries()? {
                let at = entry.position;
                if at.seq <= history.last().seq || at.seq > through {
                    continue;
                }
                take_next(history, at)?;
                round.take(&entry, &mut self.sessions);
            }
        }
        Ok(())
    }

    /// Writes a round that ends at the end of `history`.
    pub(crate) fn write(
        &mut self,
        mut round: Round,
        history: History,
        pace: Pace<'_>,
    ) -> Result<(), CheckpointError> {
        let through = history.last().seq;
        let clock = self.clock.max(round.clock);
        self.data_bytes = if round.cleared { 0 } else { self.data_bytes };
        self.data_bytes += round.bytes as u64;
        let one_batch =
            !round.cleared && round.keys() <= BATCH_RECORDS && round.bytes <= BATCH_BYTES;
        let mut last = WriteBatch::new();
        if one_batch {
            add_changes(&mut last, round.take_changes());
        } else {
            let ahead = CheckpointMark {
                ahead: Some(through),
                ..self.mark.clone()
            };
            write_mark(&mut *self.map, &ahead)?;
            self.mark = ahead;
            if round.cleared {
                self.remove_all_but(&round)?;
            }
            write_changes(&mut *self.map, round.take_changes(), pace)?;
        }
        for id in round.sessions {
            match self.sessions.encode(id) {
                Some(encoded) => last.put(session_key(id), encoded),
                None => last.delete(session_key(id)),
            }
        }
        let mark = CheckpointMark {
            history,
            ahead: None,
            ..self.mark.clone()
        };
        last.put(CLOCK_KEY, encode_clock(clock));
        last.put(MARK_KEY, encode_mark(&mark)?);
        self.map.apply(last)?;
        self.mark = mark;
        self.clock = clock;
        Ok(())
    }

    /// Takes in records of another checkpoint, as they came.
    pub(crate) fn put_records(&mut self, records: Vec<Record>) -> Result<(), CheckpointError> {
        for (key, record) in &records {
            let sound = if key.starts_with(DATA_PREFIX) {
                decode_value(record.clone()).is_some()
            } else if key.starts_with(SESSION_PREFIX) {
                decode_session_key(key).is_some()
            } else {
                key == CLOCK_KEY && decode_clock(record).is_some()
            };
            if !sound {
                return Err(unreadable(key));
            }
            self.data_bytes += (key.len() + record.len()) as u64;
        }
        let changes = records.into_iter().map(|(key, record)| (key, Some(record)));
        write_changes(&mut *self.map, changes, Pace::AtOnce)
    }

    /// The sessions and the clock as the records have them.
    pub(crate) fn load_sessions_and_clock(&mut self) -> Result<(), CheckpointError> {
        let mut sessions = Sessions::new();
        scan_all(&*self.map, SESSION_PREFIX, |(key, record)| {
            let id = decode_session_key(&key).ok_or_else(|| unreadable(&key))?;
            sessions.load(id, &record)?;
            Ok::<(), CheckpointError>(())
        })?;
        self.sessions = sessions;
        if let Some(record) = self.map.get(CLOCK_KEY)? {
            self.clock = decode_clock(&record).ok_or_else(|| unreadable(CLOCK_KEY))?;
        }
        Ok(())
    }

    /// Changes the sessions together with a round that is being gathered.
    pub(crate) fn sessions_mut(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// Says that the history of the records is another one from here on.
    pub(crate) fn stand_for(&mut self, history: History) -> Result<(), CheckpointError> {
        let mark = CheckpointMark::new(history);
        write_mark(&mut *self.map, &mark)?;
        self.mark = mark;
        Ok(())
    }

    /// Says that the records are those of an import, whose file still has its name.
    pub(crate) fn stand_for_import(
        &mut self,
        history: History,
        import: ImportMark,
    ) -> Result<(), CheckpointError> {
        // In one step: a base without the import would look like data that counted.
        let mark = CheckpointMark {
            import: Some(import),
            ..CheckpointMark::new(history)
        };
        write_mark(&mut *self.map, &mark)?;
        self.mark = mark;
        Ok(())
    }

    /// Notes that the file of an import was renamed.
    pub(crate) fn note_import(&mut self, import: ImportMark) -> Result<(), CheckpointError> {
        let mark = CheckpointMark {
            import: Some(import),
            ..self.mark.clone()
        };
        write_mark(&mut *self.map, &mark)?;
        self.mark = mark;
        Ok(())
    }

    /// Notes that some of the records that were put may be newer than the position.
    pub(crate) fn note_ahead(&mut self, ahead: Option<Seq>) -> Result<(), CheckpointError> {
        let mark = CheckpointMark {
            ahead,
            ..self.mark.clone()
        };
        write_mark(&mut *self.map, &mark)?;
        self.mark = mark;
        Ok(())
    }

    /// Notes that the records must not be taken for the node's data, at any later start either.
    pub(crate) fn note_unfit(&mut self, cause: String) -> Result<(), CheckpointError> {
        let mark = CheckpointMark {
            unfit: Some(cause),
            ..self.mark.clone()
        };
        write_mark(&mut *self.map, &mark)?;
        self.mark = mark;
        Ok(())
    }

    /// The next records in key order.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Record>, CheckpointError> {
        Ok(self.map.scan(prefix, after, limit)?)
    }

    /// Calls `take` with every key, value and expiry, in key order.
    pub(crate) fn for_each<E: From<CheckpointError>>(
        &self,
        mut take: impl FnMut(&[u8], &[u8], Option<UnixMs>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after: Option<Bytes> = None;
        let limit = ScanLimit {
            records: BATCH_RECORDS,
            bytes: BATCH_BYTES,
        };
        loop {
            let page = self.scan(DATA_PREFIX, after.as_deref(), limit)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (key, record) in page {
                let stored = decode_value(record).ok_or_else(|| unreadable(&key))?;
                take(&key[DATA_PREFIX.len()..], &stored.value, stored.expires_at)?;
            }
        }
    }

    /// Removes every key that `round` does not set anew.
    fn remove_all_but(&mut self, round: &Round) -> Result<(), CheckpointError> {
        let limit = ScanLimit {
            records: BATCH_RECORDS,
            bytes: BATCH_BYTES,
        };
        let mut after: Option<Bytes> = None;
        loop {
            let page = self.map.scan(DATA_PREFIX, after.as_deref(), limit)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            let mut batch = WriteBatch::new();
            for (key, _) in page {
                if !round.touches(&key) {
                    batch.delete(key);
                }
            }
            self.map.apply(batch)?;
        }
    }
}

/// Notes an entry that must be the next one.
pub(crate) fn take_next(history: &mut History, at: Position) -> Result<(), CheckpointError> {
    if !history.accepts(at) {
        return Err(CheckpointError::Gap {
            last: history.last(),
            got: at,
        });
    }
    history.extend(at);
    Ok(())
}

fn write_changes(
    map: &mut dyn DurableMap,
    changes: impl IntoIterator<Item = (Bytes, Option<Bytes>)>,
    pace: Pace<'_>,
) -> Result<(), CheckpointError> {
    let mut batch = WriteBatch::new();
    for (key, record) in changes {
        add_changes(&mut batch, [(key, record)]);
        if batch.len() >= BATCH_RECORDS || batch.bytes() >= BATCH_BYTES {
            pace.piece(|| map.apply(std::mem::take(&mut batch)))?;
        }
    }
    if !batch.is_empty() {
        map.apply(batch)?;
    }
    Ok(())
}

fn add_changes(batch: &mut WriteBatch, changes: impl IntoIterator<Item = (Bytes, Option<Bytes>)>) {
    for (key, record) in changes {
        match record {
            Some(record) => batch.put(key, record),
            None => batch.delete(key),
        }
    }
}

fn encode_mark(mark: &CheckpointMark) -> Result<Vec<u8>, CheckpointError> {
    rmp_serde::to_vec_named(mark).map_err(|_| unreadable(MARK_KEY))
}

fn write_mark(map: &mut dyn DurableMap, mark: &CheckpointMark) -> Result<(), CheckpointError> {
    let mut batch = WriteBatch::new();
    batch.put(MARK_KEY, encode_mark(mark)?);
    map.apply(batch)?;
    Ok(())
}

pub(crate) fn unreadable(key: &[u8]) -> CheckpointError {
    CheckpointError::Unreadable {
        key: Bytes::copy_from_slice(key),
    }
}

#[cfg(test)]
mod tests;
