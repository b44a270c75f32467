//! Reading a database without changing it: a copy of its files is opened, and removed again.

use std::fs;
use std::io;
use std::path::Path;

use kv_common::history::History;
use kv_common::id::Seq;
use kv_store::{DurableMap, Store, StoreOptions};

use super::size_of;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::meta::{self, MetaFault, MetaRecord};
use crate::room::free_bytes;

/// What sled may use for one copy.
const CACHE_BYTES: u64 = 64 << 20;
/// What is left free in the scratch folder beside a copy: sled writes when it opens.
const SPACE_LEFT_BYTES: u64 = 64 << 20;

/// A database, as far as it could be looked at.
#[derive(Debug)]
pub(crate) enum Database<T> {
    /// It was read through.
    Read {
        /// What its files take.
        bytes: u64,
        /// What is in it.
        content: T,
    },
    /// There is none.
    Missing,
    /// A running node is writing it.
    InUse,
    /// The scratch folder has no room for a copy.
    NoRoom {
        /// What its files take.
        bytes: u64,
        /// Where there is no room.
        scratch_dir: String,
    },
    /// It could not be copied.
    NotCopied {
        /// Why.
        cause: String,
    },
    /// It does not open, or some record in it is damaged.
    Damaged {
        /// How that shows.
        cause: String,
    },
}

/// What the meta records hold.
#[derive(Debug)]
pub(crate) struct MetaContent {
    pub(crate) record: MetaRecord,
    pub(crate) fault: Option<MetaFault>,
}

/// What a checkpoint holds.
#[derive(Debug)]
pub(crate) struct CheckpointContent {
    pub(crate) history: History,
    pub(crate) ahead: Option<Seq>,
    pub(crate) unfit: Option<String>,
    pub(crate) keys: u64,
    pub(crate) sessions: usize,
}

impl<T> Database<T> {
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Read { .. } | Self::InUse | Self::NoRoom { .. } | Self::NotCopied { .. } => true,
            // A run that was killed at its first start may leave nothing yet.
            Self::Missing => true,
            Self::Damaged { .. } => false,
        }
    }
}

impl Database<MetaContent> {
    /// Whether both places of the record are sound.
    pub(crate) fn is_twofold(&self) -> bool {
        match self {
            Self::Read { content, .. } => content.fault.is_none(),
            _ => true,
        }
    }
}

impl Database<CheckpointContent> {
    /// Whether the node may be chosen for it.
    pub(crate) fn is_fit(&self) -> bool {
        match self {
            Self::Read { content, .. } => content.unfit.is_none(),
            _ => true,
        }
    }
}

/// Looks at the meta records of a data directory.
pub(crate) fn meta(data_dir: &Path, scratch_dir: &Path, in_use: bool) -> Database<MetaContent> {
    let dir = data_dir.join(meta::META_FOLDER);
    look(&dir, scratch_dir, in_use, |map| {
        let found = meta::read_record(&*map, data_dir).map_err(|error| error.to_string())?;
        let (record, fault) = found.ok_or_else(|| "it has no record".to_owned())?;
        Ok(MetaContent { record, fault })
    })
}

/// Looks at the checkpoint in `dir`, at every record of it.
pub(crate) fn checkpoint(
    dir: &Path,
    scratch_dir: &Path,
    in_use: bool,
) -> Database<CheckpointContent> {
    look(dir, scratch_dir, in_use, |map| {
        let read = || {
            let mut checkpoint = Checkpoint::over(map)?;
            let mut keys = 0;
            checkpoint.for_each(|_, _, _| {
                keys += 1;
                Ok::<(), CheckpointError>(())
            })?;
            let mark = checkpoint.mark().clone();
            Ok(CheckpointContent {
                history: mark.history,
                ahead: mark.ahead,
                unfit: mark.unfit,
                keys,
                sessions: checkpoint.sessions_mut().ids().count(),
            })
        };
        read().map_err(|error: CheckpointError| error.to_string())
    })
}

fn look<T>(
    dir: &Path,
    scratch_dir: &Path,
    in_use: bool,
    read: impl FnOnce(Box<dyn DurableMap>) -> Result<T, String>,
) -> Database<T> {
    if in_use {
        return Database::InUse;
    }
    let not_copied = |error: io::Error| Database::NotCopied {
        cause: error.to_string(),
    };
    let bytes = match size_of(dir) {
        Ok(bytes) => bytes,
        Err(error) => return not_copied(error),
    };
    if bytes == 0 {
        return Database::Missing;
    }
    match free_bytes(scratch_dir).map(Option::unwrap_or_default) {
        Ok(free) if free >= bytes.saturating_add(SPACE_LEFT_BYTES) => {}
        Ok(_) => {
            return Database::NoRoom {
                bytes,
                scratch_dir: scratch_dir.display().to_string(),
            };
        }
        Err(error) => return not_copied(error),
    }
    let scratch = tempfile::Builder::new()
        .prefix("kvnode-inspect-")
        .tempdir_in(scratch_dir);
    let scratch = match scratch {
        Ok(scratch) => scratch,
        Err(error) => return not_copied(error),
    };
    if let Err(error) = copy_dir(dir, scratch.path()) {
        return not_copied(error);
    }
    let options = StoreOptions {
        cache_bytes: CACHE_BYTES,
    };
    let opened = Store::open(scratch.path(), options).map_err(|error| error.to_string());
    match opened.and_then(|store| read(Box::new(store))) {
        Ok(content) => Database::Read { bytes, content },
        Err(cause) => {
            // Nobody has to know of the copy.
            let copy = scratch.path().display().to_string();
            let cause = cause.replace(&copy, &dir.display().to_string());
            Database::Damaged { cause }
        }
    }
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
