//! Bringing a node's data back: checkpoint, then log.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use kv_common::batch::{Batch, BatchError};
use kv_common::history::{BaseId, History};
use kv_common::id::{Position, Seq};
use kv_common::message::control::DataSummary;
use kv_store::StoreError;
use kvnode_core::input::Recovered;
use kvnode_core::state::State;

use crate::checkpoint::{Checkpoint, CheckpointError, take_next};
use crate::data_dir::DataDir;
use crate::generation::{self, Generation};
use crate::import::{self, ImportError};
use crate::log::Log;
use crate::log_error::{LogError, LogReadError};
use crate::log_opening::LogOpening;
use crate::options::StorageOptions;
use crate::retirement;
use crate::set_aside::set_aside;

/// What is read from the log at once.
const READ_BYTES: usize = 4 << 20;

/// The data of a node: what the core starts from, and what the threads are to own.
#[derive(Debug)]
pub struct DataSet {
    /// For the core.
    pub recovered: Recovered,
    /// For the log thread.
    pub log: Log,
    /// For the checkpoint thread.
    pub checkpoint: Checkpoint,
    /// The base that was imported, as long as the log on it is empty.
    pub imported: Option<DataSummary>,
}

/// What a node was before this start, by its promises: it says what a data directory without data means.
#[derive(Clone, Copy, Debug)]
pub enum Past<'path> {
    /// It never adopted a view, so it never had data that counts.
    New {
        /// A file that becomes the base, if it is there.
        import_from: Option<&'path Path>,
    },
    /// It adopted a view. Data that is not there is lost.
    Member,
}

impl Past<'_> {
    /// A new node, and nothing to import.
    pub const NEW: Self = Self::New { import_from: None };
}

/// Why the data of a node cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum DataSetError {
    /// The folders.
    #[error("the data in {path} cannot be used: {source}")]
    Io {
        /// The data directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Reading the log back.
    #[error(transparent)]
    Read(#[from] LogReadError),
    /// A batch of the log.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The import.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Opens the data of a node. A new node gets an empty data set, or, if `import_from` names a file
/// that is there, one with that as its base; a former member whose data is gone gets an empty one
/// that is unfit. `tail_certain` is whether the log must still have everything that was ever
/// acknowledged, unless it is damaged.
///
/// Takes as long as reading everything takes.
///
/// # Errors
/// When the disk refuses or the import fails. Damage is no error: what can still be read is
/// returned, and `recovered.unfit` says why the node must not be chosen for it.
pub fn open_data_set(
    dir: &DataDir,
    options: &StorageOptions,
    tail_certain: bool,
    past: Past<'_>,
) -> Result<DataSet, DataSetError> {
    let open = || open_or_make(dir, options, tail_certain, past);
    dir.with_reserve(is_full_disk, open)
}

fn open_or_make(
    dir: &DataDir,
    options: &StorageOptions,
    tail_certain: bool,
    past: Past<'_>,
) -> Result<DataSet, DataSetError> {
    let io = |source| DataSetError::Io {
        path: dir.path().display().to_string(),
        source,
    };
    let current = generation::remove_unfinished(dir.path(), options).map_err(io)?;
    let generation = match current {
        Some(generation) => {
            retirement::finish_replacing(dir.path(), &generation, options).map_err(io)?;
            generation
        }
        None => make_first(dir.path(), options, past)?,
    };
    let mut data_set = match recover(&generation, options, tail_certain) {
        Err(error) if is_damage(&error) => {
            tracing::error!(%error, "the data is damaged; the node needs a copy");
            start_over(dir.path(), &generation, options, error.to_string())?
        }
        other => other?,
    };
    if let Past::New {
        import_from: Some(path),
    } = past
    {
        import::finish(path, &mut data_set.checkpoint)?;
    }
    Ok(data_set)
}

/// The data set of a node that has none.
fn make_first(
    data_dir: &Path,
    options: &StorageOptions,
    past: Past<'_>,
) -> Result<Generation, DataSetError> {
    let io = |source| DataSetError::Io {
        path: data_dir.display().to_string(),
        source,
    };
    let generation = generation::begin(data_dir, options).map_err(io)?;
    match past {
        Past::New {
            import_from: Some(path),
        } if path.exists() => import::import(path, &generation, options)?,
        Past::New { .. } => make_empty(&generation, options, None)?,
        Past::Member => {
            tracing::error!(
                "the node was a member of a view and its data is gone; it takes a copy from a primary. If no \
                 other node has the data, see `kvnode recover`, and `kvclient admin force-primary` on a node with \
                 an older copy"
            );
            let cause = "the node was a member of a view and its data is gone".to_owned();
            make_empty(&generation, options, Some(cause))?;
        }
    }
    generation::make_current(data_dir, &generation).map_err(io)?;
    Ok(generation)
}

/// An empty data set in a new generation. `unfit` is why the node must not be chosen for it.
fn make_empty(
    generation: &Generation,
    options: &StorageOptions,
    unfit: Option<String>,
) -> Result<(), DataSetError> {
    let map = Checkpoint::store(&generation.checkpoint_dir(), options.checkpoint_cache_bytes)
        .map_err(CheckpointError::from)?;
    let mut checkpoint = Checkpoint::create(map, History::default())?;
    if let Some(cause) = unfit {
        checkpoint.note_unfit(cause)?;
    }
    drop(checkpoint);
    let dir = generation.log_dir();
    Log::create(
        &dir,
        BaseId::default(),
        Position::ZERO,
        options.segment_bytes,
    )?;
    Ok(())
}

fn is_full_disk(error: &DataSetError) -> bool {
    match error {
        DataSetError::Checkpoint(CheckpointError::Store(error)) => {
            matches!(error, StoreError::DiskFull { .. })
        }
        DataSetError::Io { source, .. } | DataSetError::Log(LogError::Io { source, .. }) => {
            source.kind() == ErrorKind::StorageFull
        }
        DataSetError::Checkpoint(_)
        | DataSetError::Log(_)
        | DataSetError::Read(_)
        | DataSetError::Batch(_)
        | DataSetError::Import(_) => false,
    }
}

/// Whether the data is damaged, and not merely in use or on a full disk.
fn is_damage(error: &DataSetError) -> bool {
    match error {
        DataSetError::Checkpoint(CheckpointError::Store(error)) => {
            // The folder is ours, so it is foreign only by what happened to its files.
            matches!(
                error,
                StoreError::Corrupt { .. } | StoreError::Foreign { .. }
            )
        }
        DataSetError::Checkpoint(
            CheckpointError::NoMark
            | CheckpointError::Unreadable { .. }
            | CheckpointError::Session(_),
        ) => true,
        DataSetError::Log(error) => matches!(error, LogError::NoSegment { .. }),
        DataSetError::Checkpoint(
            CheckpointError::Log(_) | CheckpointError::Batch(_) | CheckpointError::Gap { .. },
        )
        | DataSetError::Io { .. }
        | DataSetError::Read(_)
        | DataSetError::Batch(_)
        | DataSetError::Import(_) => false,
    }
}

/// Sets a generation aside whose checkpoint does not open, and goes on with an empty one that is
/// marked as unfit until a copy replaces it.
fn start_over(
    data_dir: &Path,
    damaged: &Generation,
    options: &StorageOptions,
    cause: String,
) -> Result<DataSet, DataSetError> {
    let io = |source| DataSetError::Io {
        path: data_dir.display().to_string(),
        source,
    };
    let fresh = generation::begin(data_dir, options).map_err(io)?;
    make_empty(&fresh, options, Some(cause))?;
    generation::make_current(data_dir, &fresh).map_err(io)?;
    set_aside(data_dir, damaged).map_err(io)?;
    recover(&fresh, options, false)
}

/// Brings the data of one generation back.
pub(crate) fn recover(
    generation: &Generation,
    options: &StorageOptions,
    tail_certain: bool,
) -> Result<DataSet, DataSetError> {
    let started = Instant::now();
    let map = Checkpoint::store(&generation.checkpoint_dir(), options.checkpoint_cache_bytes)
        .map_err(CheckpointError::from)?;
    let mut checkpoint = Checkpoint::over(map)?;
    let mut state = State::new(options.hash_seed);
    checkpoint.load(&mut state)?;
    tracing::info!(
        keys = state.keys(),
        applied = %state.applied(),
        elapsed_ms = started.elapsed().as_millis(),
        "loaded the checkpoint"
    );
    let reached = checkpoint.reached();
    let (log, opening) = Log::open(&generation.log_dir(), options.segment_bytes, reached)?;
    let mut unfit = why_unfit(&checkpoint, &log, &opening);
    let mut history = checkpoint.history().clone();
    let mut tail = Vec::new();
    let continues = log.base() == history.base() && log.first_seq() <= history.last().seq.next();
    if continues {
        let ahead = checkpoint.mark().ahead.unwrap_or_default();
        let committed = opening.committed.max(ahead);
        match replay(&log, committed, &mut state, &mut history, &mut tail) {
            // Checkpoint and log are sound and do not belong together.
            Err(DataSetError::Checkpoint(error @ CheckpointError::Gap { .. })) => {
                unfit.get_or_insert(error.to_string());
            }
            other => other?,
        }
    }
    tracing::info!(
        keys = state.keys(),
        applied = %state.applied(),
        last = %history.last(),
        tail_cut = opening.tail_cut.is_some(),
        elapsed_ms = started.elapsed().as_millis(),
        "read the log"
    );
    if unfit.is_some() {
        checkpoint.covers_no_log();
    }
    report(&opening, unfit.as_deref());
    let import = checkpoint.mark().import.as_ref();
    let imported = import
        .filter(|_| history.last().seq == Seq::ZERO)
        .map(|import| import.summary);
    let recovered = Recovered {
        state,
        history,
        tail,
        log_from: log.first_seq(),
        tail_certain,
        unfit,
    };
    Ok(DataSet {
        recovered,
        log,
        checkpoint,
        imported,
    })
}

/// Why a node must not be chosen for its data.
fn why_unfit(checkpoint: &Checkpoint, log: &Log, opening: &LogOpening) -> Option<String> {
    if let Some(cause) = &checkpoint.mark().unfit {
        return Some(cause.clone());
    }
    if let Some(damage) = &opening.damage {
        return Some(damage.to_string());
    }
    if log.base() != checkpoint.history().base() {
        return Some("log and checkpoint build on different base states".to_owned());
    }
    let applied = checkpoint.applied();
    if log.first_seq() > applied.seq.next() {
        return Some(format!(
            "the log begins at {}, the checkpoint ends at {applied}",
            log.first_seq()
        ));
    }
    None
}

/// Applies what is certainly committed, and gathers the batches behind it.
fn replay(
    log: &Log,
    committed: Seq,
    state: &mut State,
    history: &mut History,
    tail: &mut Vec<Batch>,
) -> Result<(), DataSetError> {
    let reader = log.reader();
    while history.last().seq < log.last().seq {
        for batch in reader.read_from(history.last().seq.next(), READ_BYTES)? {
            for entry in batch.entries()? {
                let at = entry.position;
                if at.seq <= history.last().seq {
                    continue;
                }
                take_next(history, at)?;
                if at.seq <= committed {
                    state.apply(&entry);
                }
            }
            if batch.last() > committed {
                tail.push(batch);
            }
        }
    }
    Ok(())
}

fn report(opening: &LogOpening, unfit: Option<&str>) {
    if let Some(cut) = &opening.tail_cut {
        tracing::warn!("{cut}");
    }
    if let Some(cause) = unfit {
        tracing::error!(cause, "the node needs a copy");
    }
}
