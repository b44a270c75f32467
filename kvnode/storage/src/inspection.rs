//! Looking at a data directory without changing it, whether a node runs on it or not.
//!
//! | file | what it looks at |
//! |---|---|
//! | `database.rs` | meta records and checkpoint, in a copy, because opening a database changes it |
//! | `segments.rs` | the log |
//! | `db_txt.rs` | `db.txt` |
//! | `text.rs` | how all of it is said |

pub(crate) mod database;
pub(crate) mod db_txt;
mod segments;
mod text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kv_store::DataDirError;

use self::database::{CheckpointContent, Database, MetaContent};
use self::db_txt::DbTxtContent;
use self::segments::LogContent;
use crate::data_dir::DataDir;
use crate::generation::{self, PREFIX};
use crate::set_aside::SET_ASIDE;

/// What a data directory holds.
///
/// While a node runs on it, its databases cannot be read, and the end of the log may be half
/// written.
#[derive(Debug)]
pub struct Inspection {
    path: PathBuf,
    in_use: bool,
    meta: Database<MetaContent>,
    /// The current generation's name, and what is in it.
    current: Option<(String, GenerationContent)>,
    /// Other folders with data: copies under way, and what was set aside.
    others: Vec<(String, u64)>,
    db_txt: Option<DbTxtContent>,
}

#[derive(Debug)]
struct GenerationContent {
    checkpoint: Database<CheckpointContent>,
    log: LogContent,
}

/// What to look at besides the data directory.
#[derive(Clone, Debug)]
pub struct InspectionOptions {
    /// Where `db.txt` is.
    pub db_txt: PathBuf,
    /// A folder for copies of the databases, which are removed again.
    pub scratch_dir: PathBuf,
}

/// Why a data directory cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// There is none.
    #[error("{} is no data directory of kvnode: it has no file FORMAT", path.display())]
    NoDataDir {
        /// The directory.
        path: PathBuf,
    },
    /// It is another program's, or of a newer version.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The system refused.
    #[error("{} cannot be inspected: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Looks at the data directory at `path`. Changes nothing in it.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn inspect(path: &Path, options: &InspectionOptions) -> Result<Inspection, InspectionError> {
    let io = |source| InspectionError::Io {
        path: path.to_owned(),
        source,
    };
    if !DataDir::exists(path)? {
        return Err(InspectionError::NoDataDir {
            path: path.to_owned(),
        });
    }
    let is_used = || DataDir::is_in_use(path).map_err(io);
    let scratch = &options.scratch_dir;
    let mut in_use = is_used()?;
    let meta = database::meta(path, scratch, in_use);
    let current = generation::current(path).map_err(io)?;
    let others = others(path, current.as_ref()).map_err(io)?;
    let content = current.as_ref().map(|generation| GenerationContent {
        checkpoint: database::checkpoint(&generation.checkpoint_dir(), scratch, in_use),
        log: segments::look(&generation.log_dir(), in_use),
    });
    let mut inspection = Inspection {
        path: path.to_owned(),
        in_use,
        meta,
        current: current.map(|current| current.name()).zip(content),
        others,
        db_txt: db_txt::look(&options.db_txt).map_err(io)?,
    };
    // A node that started meanwhile has changed the files while they were read.
    if !in_use && is_used()? {
        in_use = true;
        inspection.meta = Database::InUse;
        if let Some((_, content)) = &mut inspection.current {
            content.checkpoint = Database::InUse;
        }
    }
    inspection.in_use = in_use;
    Ok(inspection)
}

impl Inspection {
    /// Whether nothing that was looked at is damaged. A torn tail of the log is no damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let current = self.current.as_ref().map(|(_, content)| content);
        self.meta.is_sound()
            && self.meta.is_twofold()
            && self.db_txt.as_ref().is_none_or(DbTxtContent::is_sound)
            && current.is_none_or(|content| {
                content.checkpoint.is_sound()
                    && content.checkpoint.is_fit()
                    && content.log.is_sound()
            })
    }
}

/// The folders with data beside the current one, and what they take.
fn others(path: &Path, current: Option<&generation::Generation>) -> io::Result<Vec<(String, u64)>> {
    let mut others = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_current = current.is_some_and(|current| current.name() == name);
        if !is_current && (name.starts_with(PREFIX) || name.starts_with(SET_ASIDE)) {
            others.push((name, size_of(&entry.path())?));
        }
    }
    others.sort();
    Ok(others)
}

/// What the files under `path` take; nothing if it is not there.
fn size_of(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // A running node removes files at any time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += size_of(&entry?.path())?;
    }
    Ok(bytes)
}
