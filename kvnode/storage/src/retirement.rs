//! What becomes of data that a newer generation took the place of.
//!
//! It is removed only when the newer one certainly has all of it. Data that certainly holds more is set aside,
//! and stays until an operator removes it. Where nobody can know, because a part of it cannot be read, it is
//! set aside in doubt, and of such data the newest few are kept: a disk that damages something again and again
//! must not fill up with what it left.

use std::io;
use std::path::Path;

use kv_common::history::History;
use kv_common::id::{Position, Seq};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::generation::{self, Generation};
use crate::log_scan::scan;
use crate::options::StorageOptions;
use crate::set_aside::{set_aside, set_aside_in_doubt};

/// What a generation holds beyond the one that replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Beyond {
    Nothing,
    /// All that can be read is in the newer one, and something cannot be read.
    Unknown,
    Something,
}

/// Removes the data that the copy replaced, or sets it aside if the copy lacks something of it, or may.
pub(crate) fn retire(
    data_dir: &Path,
    former: &Generation,
    history: &History,
    options: &StorageOptions,
) -> io::Result<()> {
    match beyond(former, history, options) {
        Beyond::Nothing => generation::remove_replaced(data_dir, former),
        Beyond::Unknown => set_aside_in_doubt(data_dir, former).map(drop),
        Beyond::Something => set_aside(data_dir, former).map(drop),
    }
}

/// Does with replaced data what a run was about to do that ended as soon as other data was current.
/// Whether a copy, a rebuild or an empty data set replaced it is not known any more: where the current
/// data says nothing of what it has, all is set aside.
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
            Some(history) => retire(data_dir, &former, history, options)?,
            None => drop(set_aside(data_dir, &former)?),
        }
    }
    Ok(())
}

fn open(generation: &Generation, options: &StorageOptions) -> Result<Checkpoint, CheckpointError> {
    let map = Checkpoint::store(&generation.checkpoint_dir(), options.checkpoint_cache_bytes)?;
    Checkpoint::over(map)
}

/// What `former` holds beyond `history`.
fn beyond(former: &Generation, history: &History, options: &StorageOptions) -> Beyond {
    let (by_checkpoint, reached) = match open(former, options) {
        Ok(checkpoint) => {
            let by_checkpoint = if is_checkpoint_covered(checkpoint.history(), history) {
                Beyond::Nothing
            } else {
                Beyond::Something
            };
            (by_checkpoint, checkpoint.reached())
        }
        Err(error) => {
            tracing::warn!(%error, "the replaced data does not open");
            (Beyond::Unknown, Seq::ZERO)
        }
    };
    by_checkpoint.max(beyond_by_log(former, history, reached))
}

/// Whether everything in the checkpoint of `former` is in `history` as well.
fn is_checkpoint_covered(former: &History, history: &History) -> bool {
    let nothing = former.base() == History::default().base() && former.last() == Position::ZERO;
    nothing
        || history
            .common_point(former)
            .is_some_and(|common| common >= former.last())
}

/// What the log of `former` holds beyond `history`. One that ends with an entry that is not in it may hold
/// what was acknowledged: an operator may have made a node primary that lacked it. One that is damaged, or
/// does not reach what its checkpoint `reached`, went on nobody knows how far.
fn beyond_by_log(former: &Generation, history: &History, reached: Seq) -> Beyond {
    let mut found = match scan(&former.log_dir()) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the log of the replaced data does not open");
            return Beyond::Unknown;
        }
    };
    found.weigh_witness(reached);
    let last = found.last;
    if last.seq > history.last().seq || history.position_of(last.seq) != last {
        return Beyond::Something;
    }
    match &found.damage {
        Some(damage) => {
            tracing::warn!(%damage, "the log of the replaced data is damaged");
            Beyond::Unknown
        }
        None if found.index.segments.is_empty() => Beyond::Unknown,
        None => Beyond::Nothing,
    }
}
