//! What becomes of data that a newer generation took the place of.

use std::io;
use std::path::Path;

use kv_common::history::History;
use kv_common::id::Position;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::generation::{self, Generation};
use crate::log_scan::scan;
use crate::options::StorageOptions;

/// Removes the data that the copy replaced, or sets it aside if the copy lacks something of it.
pub(crate) fn retire(
    data_dir: &Path,
    former: &Generation,
    history: &History,
    options: &StorageOptions,
) -> io::Result<()> {
    if is_covered(former, history, options) {
        generation::remove_replaced(data_dir, former)
    } else {
        generation::set_aside(data_dir, former).map(drop)
    }
}

/// Does with replaced data what a run was about to do that ended as soon as other data was current.
/// Whether a copy, a rebuild or an empty data set replaced it is not known any more, so more than
/// after a copy has to be certain before any is removed.
pub(crate) fn finish_replacing(
    data_dir: &Path,
    current: &Generation,
    options: &StorageOptions,
) -> io::Result<()> {
    let replaced = generation::replaced(data_dir, current)?;
    if replaced.is_empty() {
        return Ok(());
    }
    let history = match open(current, options) {
        Ok(checkpoint) if checkpoint.mark().unfit.is_none() => Some(checkpoint.history().clone()),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "the data that replaced other data does not open");
            None
        }
    };
    for former in replaced {
        match &history {
            Some(history) if is_log_sound(&former) => retire(data_dir, &former, history, options)?,
            _ => drop(generation::set_aside(data_dir, &former)?),
        }
    }
    Ok(())
}

fn open(generation: &Generation, options: &StorageOptions) -> Result<Checkpoint, CheckpointError> {
    let map = Checkpoint::store(&generation.checkpoint_dir(), options.checkpoint_cache_bytes)?;
    Checkpoint::over(map)
}

/// Whether `history` has everything that `former` holds.
fn is_covered(former: &Generation, history: &History, options: &StorageOptions) -> bool {
    match open(former, options) {
        Ok(checkpoint) => {
            is_checkpoint_covered(checkpoint.history(), history) && is_log_covered(former, history)
        }
        Err(error) => {
            tracing::warn!(%error, "the replaced data does not open");
            false
        }
    }
}

/// Whether everything in the checkpoint of `former` is in `history` as well.
fn is_checkpoint_covered(former: &History, history: &History) -> bool {
    let nothing = former.base() == History::default().base() && former.last() == Position::ZERO;
    nothing
        || history
            .common_point(former)
            .is_some_and(|common| common >= former.last())
}

/// Whether the log of `former` ends with an entry that is in `history`. One that goes on otherwise may
/// hold what was acknowledged: an operator may have made a node primary that lacked it.
fn is_log_covered(former: &Generation, history: &History) -> bool {
    match scan(&former.log_dir()) {
        Ok(found) => {
            let last = found.last;
            last.seq <= history.last().seq && history.position_of(last.seq) == last
        }
        Err(error) => {
            tracing::warn!(%error, "the log of the replaced data does not open");
            false
        }
    }
}

/// Whether the log of `former` can be read to its end.
fn is_log_sound(former: &Generation) -> bool {
    scan(&former.log_dir())
        .is_ok_and(|found| found.damage.is_none() && !found.index.segments.is_empty())
}
