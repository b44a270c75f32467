//! Bringing a damaged data directory back from what is left in it, for the last node that has any
//! data: where there is another copy, a node is given that.
//!
//! | file | what it does |
//! |---|---|
//! | `sources.rs` | what is left: checkpoints, logs, `db.txt` |
//! | `text.rs` | how it is said what that covers |
//!
//! A base (a checkpoint, a `db.txt` with its position, or the empty state) and the log that goes on
//! from it give the state at the end of that log. Of all pairs that fit, the one that reaches
//! furthest counts. What is built becomes the current generation; what was there is set aside.

mod sources;
mod text;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use kv_common::history::{BaseId, History};
use kv_common::id::{Position, Seq};
use kv_store::ScanLimit;

use self::sources::{LogSource, Sources};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::checkpoint_record::{CLOCK_KEY, DATA_PREFIX, SESSION_PREFIX};
use crate::data_dir::DataDir;
use crate::dump::{self, DumpError};
use crate::generation::{self, Generation};
use crate::import::{self, ImportError};
use crate::log::Log;
use crate::log_error::{LogError, LogReadError};
use crate::options::StorageOptions;
use crate::pace::Pace;
use crate::recovery::{DataSetError, recover};
use crate::set_aside::set_aside;

/// What is read at once.
const READ_BYTES: usize = 4 << 20;
const PAGE: ScanLimit = ScanLimit {
    records: 1024,
    bytes: READ_BYTES,
};

/// What can be brought back, and from what. Nothing was changed yet.
#[derive(Debug)]
pub struct RebuildPlan {
    sources: Sources,
    base: Base,
    /// The log that goes on from the base.
    log: Option<usize>,
    covers: Position,
}

/// What the log goes on from: the generation or file, and the position it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    Checkpoint { source: usize, at: Position },
    DbTxt { at: Position },
    Empty,
}

/// What was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many keys.
    pub keys: u64,
    /// The position that they stand for.
    pub at: Position,
}

/// Why nothing can be brought back.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The current data is sound.
    #[error("{} is not damaged: start the node on it", path.display())]
    Sound {
        /// The data directory.
        path: PathBuf,
    },
    /// Neither a checkpoint nor a `db.txt` with a position can be read, nor a log from its start.
    #[error(
        "nothing can be brought back from {}: no checkpoint opens, {} has no position or is not \
         there, and no log begins with the first entry; restore a backup",
        path.display(), db_txt.display()
    )]
    NoBase {
        /// The data directory.
        path: PathBuf,
        /// Where `db.txt` was looked for.
        db_txt: PathBuf,
    },
    /// A checkpoint could not be looked at.
    #[error("{cause}; name another --scratch-dir")]
    NotLookedAt {
        /// Why.
        cause: String,
    },
    /// The system refused.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log that is written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log that is read.
    #[error(transparent)]
    Read(#[from] LogReadError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The `db.txt`.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The text that is written.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// What was built cannot be read back.
    #[error("what was built cannot be used: {0}")]
    NotSound(String),
}

/// Looks for what is left in the data directory. `db_txt` is where its text is; `scratch_dir` takes
/// copies of checkpoints, which are removed again.
///
/// # Errors
/// When nothing can be brought back, or nothing is damaged.
pub fn plan_rebuild(
    dir: &DataDir,
    db_txt: &Path,
    scratch_dir: &Path,
) -> Result<RebuildPlan, RebuildError> {
    let sources = Sources::look(dir.path(), db_txt, scratch_dir)?;
    if sources.current_is_sound() {
        return Err(RebuildError::Sound {
            path: dir.path().to_owned(),
        });
    }
    let mut best: Option<(Base, Option<usize>, Position)> = None;
    for base in sources.bases() {
        let at = base.at();
        let alone = sources.stands_alone(&base).then_some((None, at));
        let fitting = sources.logs().filter(|(_, log)| sources.fits(&base, log));
        let with_log = fitting.map(|(index, log)| (Some(index), log.last));
        for (log, covers) in with_log.chain(alone) {
            // The first of equals counts: a checkpoint has sessions, a text has none.
            if best
                .as_ref()
                .is_none_or(|(.., furthest)| covers > *furthest)
            {
                best = Some((base.clone(), log, covers));
            }
        }
    }
    match best {
        Some((base, log, covers)) => Ok(RebuildPlan {
            sources,
            base,
            log,
            covers,
        }),
        None => Err(RebuildError::NoBase {
            path: dir.path().to_owned(),
            db_txt: db_txt.to_owned(),
        }),
    }
}

impl Base {
    fn at(&self) -> Position {
        match self {
            Self::Checkpoint { at, .. } | Self::DbTxt { at } => *at,
            Self::Empty => Position::ZERO,
        }
    }
}

impl RebuildPlan {
    /// Up to where the data can be brought back.
    #[must_use]
    pub fn covers(&self) -> Position {
        self.covers
    }

    /// Builds the data anew and makes it the node's; what was there is set aside.
    ///
    /// # Errors
    /// When the disk refuses. The node's data is then as it was.
    pub fn carry_out(
        &self,
        dir: &DataDir,
        options: &StorageOptions,
    ) -> Result<Rebuilt, RebuildError> {
        let io = |source| RebuildError::Io {
            path: dir.path().to_owned(),
            source,
        };
        let former = generation::current(dir.path()).map_err(io)?;
        let target = generation::begin(dir.path(), options).map_err(io)?;
        let rebuilt = self.build(&target, options)?;
        generation::make_current(dir.path(), &target).map_err(io)?;
        if let Some(former) = former {
            set_aside(dir.path(), &former).map_err(io)?;
        }
        Ok(rebuilt)
    }

    /// Builds the data beside `file` and writes it there as text; changes nothing in the data
    /// directory.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_text(
        &self,
        file: &Path,
        options: &StorageOptions,
    ) -> Result<Rebuilt, RebuildError> {
        let io = |source| RebuildError::Io {
            path: file.to_owned(),
            source,
        };
        let near = kv_store::file::dir_of(file);
        let scratch = tempfile::Builder::new()
            .prefix(".kvnode-recover-")
            .tempdir_in(near)
            .map_err(io)?;
        let target = generation::begin(scratch.path(), options).map_err(io)?;
        let rebuilt = self.build(&target, options)?;
        let sound = |error: DataSetError| RebuildError::NotSound(error.to_string());
        let data_set = recover(&target, options, true).map_err(sound)?;
        let mut checkpoint = data_set.checkpoint;
        checkpoint.advance(&data_set.log.reader(), self.covers.seq, Pace::AtOnce)?;
        dump::dump(&checkpoint, file)?;
        Ok(rebuilt)
    }

    fn build(
        &self,
        target: &Generation,
        options: &StorageOptions,
    ) -> Result<Rebuilt, RebuildError> {
        let log = self.log.and_then(|index| self.sources.log(index));
        self.build_checkpoint(target, options, log)?;
        let base_id = self.base_id(log);
        let (after, batches) = match log {
            Some(log) => (log.before, Some(log.reader()?)),
            None => (self.covers, None),
        };
        let mut built = Log::create(&target.log_dir(), base_id, after, options.segment_bytes)?;
        if let Some(reader) = batches {
            while built.last().seq < self.covers.seq {
                let next = built.last().seq.next();
                built.append(&reader.read_through(next, self.covers.seq, READ_BYTES)?)?;
            }
        }
        drop(built);
        let sound = |error: DataSetError| RebuildError::NotSound(error.to_string());
        let found = recover(target, options, true).map_err(sound)?.recovered;
        if let Some(cause) = found.unfit {
            return Err(RebuildError::NotSound(cause));
        }
        let mut state = found.state;
        for batch in &found.tail {
            let entries = batch
                .entries()
                .map_err(|error| RebuildError::NotSound(error.to_string()))?;
            for entry in entries {
                if entry.position.seq > state.applied().seq {
                    state.apply(&entry);
                }
            }
        }
        let (keys, at) = (state.keys(), state.applied());
        if at != self.covers {
            let cause = format!("it ends at {at} and not at {}", self.covers);
            return Err(RebuildError::NotSound(cause));
        }
        Ok(Rebuilt { keys, at })
    }

    fn build_checkpoint(
        &self,
        target: &Generation,
        options: &StorageOptions,
        log: Option<&LogSource>,
    ) -> Result<(), RebuildError> {
        let cache_bytes = options.checkpoint_cache_bytes;
        let map = Checkpoint::store(&target.checkpoint_dir(), cache_bytes);
        let map = map.map_err(CheckpointError::from)?;
        match &self.base {
            Base::Empty => drop(Checkpoint::create(map, History::default())?),
            Base::DbTxt { at } => {
                let path = self.sources.db_txt();
                let file = File::open(path).map_err(|source| RebuildError::Io {
                    path: path.to_owned(),
                    source,
                })?;
                let map = import::fill(map, path, BufReader::new(file))?;
                drop(Checkpoint::create(map, self.history_at(*at, log))?);
            }
            Base::Checkpoint { source, .. } => {
                let dir = self.sources.checkpoint_dir(*source);
                let from = Checkpoint::store(dir, cache_bytes).map_err(CheckpointError::from)?;
                let from = Checkpoint::over(from)?;
                let mut to = Checkpoint::create(map, from.history().clone())?;
                for prefix in [DATA_PREFIX, SESSION_PREFIX, CLOCK_KEY] {
                    copy_records(&from, &mut to, prefix)?;
                }
                to.note_ahead(from.mark().ahead)?;
            }
        }
        Ok(())
    }

    /// The history up to a position of which only the log knows more.
    fn history_at(&self, at: Position, log: Option<&LogSource>) -> History {
        match log {
            Some(log) if log.before.seq < at.seq => {
                let mut history = log.history.clone();
                history.cut_after(at.seq);
                history
            }
            _ => History::known_from(self.base_id(log), at),
        }
    }

    fn base_id(&self, log: Option<&LogSource>) -> BaseId {
        match (log, &self.base) {
            (Some(log), _) => log.base,
            (None, Base::Checkpoint { source, .. }) => self.sources.base_of(*source),
            // Nobody knows what it builds on, so it is like no other.
            (None, Base::DbTxt { at }) => {
                BaseId(u128::from(at.seq.0) << 64 | u128::from(at.epoch.0))
            }
            (None, Base::Empty) => BaseId::default(),
        }
    }
}

fn copy_records(from: &Checkpoint, to: &mut Checkpoint, prefix: &[u8]) -> Result<(), RebuildError> {
    let mut after = None;
    loop {
        let page = from.scan(prefix, after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        to.put_records(page)?;
    }
}

/// The last entry that a checkpoint's records may be of.
fn reached(ahead: Option<Seq>, at: Position) -> Seq {
    ahead.unwrap_or(at.seq).max(at.seq)
}
