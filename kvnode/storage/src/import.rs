//! Taking a `db.txt` for the base state of a new node.
//!
//! The import fills a generation that is not current yet, so one that is cut off is removed at the
//! next start and begins anew. The file keeps its name until the generation counts.
//!
//! The pairs come in any order, and a store that is a tree takes them many times faster in its own: a
//! page is then written once, not once for each batch that has a key on it. So they are gathered to
//! runs, and each run is written in the order of its keys.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kv_common::db_txt::{DbTxtError, Item, Reader};
use kv_common::history::{BaseId, History};
use kv_common::id::Position;
use kv_common::message::control::DataSummary;
use kv_common::time::UnixMs;
use kv_store::{DurableMap, WriteBatch};
use kvnode_core::state::State;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::checkpoint_record::{ImportMark, data_key, decode_value, encode_value};
use crate::generation::Generation;
use crate::log::Log;
use crate::log_error::LogError;
use crate::options::StorageOptions;
use crate::progress::ProgressBeat;
use kv_store::file::{dir_of, sync_dir, with_suffix};

/// One batch to the store.
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;
/// What a run may take of the memory. The table takes more as soon as the import has ended.
const RUN_BYTES: usize = 1 << 30;
/// What a pair takes in a run beside its bytes, about.
const PAIR_OVERHEAD_BYTES: usize = 160;
/// So many odd tokens are warned of one by one.
const WARNINGS_MAX: u64 = 10;

/// Why a `db.txt` cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{} cannot be imported: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DbTxtError,
    },
    /// The system refused.
    #[error("{} cannot be imported: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The checkpoint that takes it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log that begins behind it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Fills a new generation from the file at `path`.
pub(crate) fn import(
    path: &Path,
    generation: &Generation,
    options: &StorageOptions,
) -> Result<(), ImportError> {
    let file = File::open(path).map_err(|source| ImportError::Io {
        path: path.to_owned(),
        source,
    })?;
    let store = |cache_bytes| Checkpoint::store(&generation.checkpoint_dir(), cache_bytes);
    let map = store(options.checkpoint_cache_bytes).map_err(CheckpointError::from)?;
    let map = fill(map, path, BufReader::new(file))?;
    let mut checkpoint = Checkpoint::create(map, History::default())?;
    let mut state = State::new(options.hash_seed);
    checkpoint.load(&mut state)?;
    let summary = DataSummary {
        keys: state.keys(),
        digest: state.digest(),
    };
    let base = BaseId(summary.digest);
    let import = ImportMark {
        summary,
        renamed: false,
    };
    checkpoint.stand_for_import(History::on_base(base), import)?;
    Log::create(
        &generation.log_dir(),
        base,
        Position::ZERO,
        options.segment_bytes,
    )?;
    tracing::info!(file = %path.display(), keys = summary.keys, "imported");
    Ok(())
}

/// Puts all pairs of the file at `path`, which `input` reads, into `map`.
pub(crate) fn fill(
    map: Box<dyn DurableMap>,
    path: &Path,
    input: impl io::BufRead,
) -> Result<Box<dyn DurableMap>, ImportError> {
    let mut target = Target::new(path, map, RUN_BYTES);
    target.take_all(Reader::new(input))?;
    Ok(target.map)
}

/// Renames the file that was imported, if that was not done yet.
pub(crate) fn finish(path: &Path, checkpoint: &mut Checkpoint) -> Result<(), ImportError> {
    let Some(import) = checkpoint.mark().import.clone() else {
        return Ok(());
    };
    if import.renamed {
        return Ok(());
    }
    let io = |source| ImportError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::rename(path, with_suffix(path, ".imported")) {
        Ok(()) => sync_dir(dir_of(path)).map_err(io)?,
        // Renamed by a run that was cut off before it could note that.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    checkpoint.note_import(ImportMark {
        renamed: true,
        ..import
    })?;
    Ok(())
}

/// Where the pairs go.
struct Target<'path> {
    path: &'path Path,
    map: Box<dyn DurableMap>,
    /// The records that are not in the map yet. A later pair takes the place of an earlier one.
    run: BTreeMap<Bytes, Bytes>,
    run_bytes: usize,
    run_max_bytes: usize,
    pairs: u64,
    written: u64,
    beat: ProgressBeat,
}

impl<'path> Target<'path> {
    fn new(path: &'path Path, map: Box<dyn DurableMap>, run_max_bytes: usize) -> Self {
        Self {
            path,
            map,
            run: BTreeMap::new(),
            run_bytes: 0,
            run_max_bytes,
            pairs: 0,
            written: 0,
            beat: ProgressBeat::new(),
        }
    }

    fn take_all<R: io::BufRead>(&mut self, mut reader: Reader<R>) -> Result<(), ImportError> {
        let mut odd_tokens = 0;
        loop {
            let item = reader
                .next_item()
                .map_err(|source| ImportError::Unreadable {
                    path: self.path.to_owned(),
                    source,
                })?;
            match item {
                Some(Item::Pair { key, value }) => {
                    self.put(data_key(&key), encode_value(&value, None))?;
                    self.pairs += 1;
                }
                Some(Item::Expires { key, at }) => self.expires(&key, at)?,
                Some(Item::Position(_)) => {}
                Some(Item::OddToken { line }) => {
                    odd_tokens += 1;
                    if odd_tokens <= WARNINGS_MAX {
                        let file = self.path.display();
                        tracing::warn!(%file, line, "the odd last token of a line is ignored");
                    }
                }
                None => break,
            }
            self.tell();
        }
        if odd_tokens > WARNINGS_MAX {
            tracing::warn!(lines = odd_tokens, "lines had an odd last token");
        }
        self.write_run()
    }

    fn put(&mut self, key: Bytes, record: Bytes) -> Result<(), ImportError> {
        self.run_bytes += key.len() + record.len() + PAIR_OVERHEAD_BYTES;
        self.run.insert(key, record);
        if self.run_bytes >= self.run_max_bytes {
            self.write_run()?;
        }
        Ok(())
    }

    fn expires(&mut self, key: &Bytes, at: UnixMs) -> Result<(), ImportError> {
        let key = data_key(key);
        let record = match self.run.get(&key) {
            Some(record) => Some(record.clone()),
            None => self.map.get(&key).map_err(CheckpointError::from)?,
        };
        match record.and_then(decode_value) {
            Some(stored) => self.put(key, encode_value(&stored.value, Some(at))),
            None => Ok(()),
        }
    }

    fn write_run(&mut self) -> Result<(), ImportError> {
        self.run_bytes = 0;
        let mut batch = WriteBatch::new();
        for (key, record) in std::mem::take(&mut self.run) {
            batch.put(key, record);
            self.written += 1;
            if batch.len() >= BATCH_RECORDS || batch.bytes() >= BATCH_BYTES {
                let full = std::mem::take(&mut batch);
                self.map.apply(full).map_err(CheckpointError::from)?;
            }
            self.tell();
        }
        if batch.is_empty() {
            return Ok(());
        }
        Ok(self.map.apply(batch).map_err(CheckpointError::from)?)
    }

    /// An import of many gigabytes takes minutes.
    fn tell(&mut self) {
        if self.beat.step() {
            let (pairs, written) = (self.pairs, self.written);
            tracing::info!(file = %self.path.display(), pairs, written, "importing");
        }
    }
}

#[cfg(test)]
mod tests;
