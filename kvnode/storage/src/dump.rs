//! Writing the key space out as text, from a checkpoint that stands still.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek};
use std::path::{Path, PathBuf};

use kv_common::db_txt::{EncodingScan, Writer};
use kv_common::id::Position;
use kv_common::message::client::DumpSummary;

use crate::checkpoint::{Checkpoint, CheckpointError};
use kv_store::file::{dir_of, sync_dir, with_suffix};

/// Why a dump came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The system refused.
    #[error("{} cannot be written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The checkpoint that it is written from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The entry that was asked for is not applied.
    #[error("entry {asked} is not applied yet, only {applied}")]
    NotApplied {
        /// What was asked for.
        asked: u64,
        /// What is there.
        applied: u64,
    },
}

/// The key space as text, for a client.
#[derive(Debug)]
pub struct Export {
    /// A file without a name, at its start.
    pub file: File,
    /// What is in it.
    pub summary: DumpSummary,
}

/// Writes the node's own `db.txt`: whoever looks sees the old file or the new.
pub(crate) fn dump(checkpoint: &Checkpoint, path: &Path) -> Result<DumpSummary, DumpError> {
    let temporary = with_suffix(path, ".tmp");
    let written = File::create(&temporary)
        .map_err(|source| io_error(&temporary, source))
        .and_then(|file| write(checkpoint, file, &temporary, Some(checkpoint.applied())));
    let (file, summary) = match written {
        Ok(written) => written,
        Err(error) => {
            // What is left of it is worth nothing; if it stays, the next dump overwrites it.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
    };
    let io = |source| io_error(path, source);
    file.sync_all().map_err(io)?;
    fs::rename(&temporary, path).map_err(io)?;
    sync_dir(dir_of(path)).map_err(io)?;
    Ok(DumpSummary {
        path: path.display().to_string(),
        ..summary
    })
}

/// Writes the same without the position into a file that has no name, near `near`.
pub(crate) fn export(checkpoint: &Checkpoint, near: &Path) -> Result<Export, DumpError> {
    let path = with_suffix(near, ".export");
    let io = |source| io_error(&path, source);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&path).map_err(io)?;
    fs::remove_file(&path).map_err(io)?;
    let (mut file, summary) = write(checkpoint, file, &path, None)?;
    file.rewind().map_err(io)?;
    Ok(Export { file, summary })
}

fn write(
    checkpoint: &Checkpoint,
    file: File,
    path: &Path,
    position: Option<Position>,
) -> Result<(File, DumpSummary), DumpError> {
    let io = |source| io_error(path, source);
    let mut scan = EncodingScan::new();
    let mut keys = 0;
    checkpoint.for_each(|key, value, _| {
        scan.note(key, value);
        keys += 1;
        Ok::<(), CheckpointError>(())
    })?;
    let mut writer = Writer::new(BufWriter::new(file), scan.encoding()).map_err(io)?;
    checkpoint
        .for_each(|key, value, expires_at| writer.pair(key, value, expires_at).map_err(io))?;
    if let Some(position) = position {
        writer.position(position).map_err(io)?;
    }
    let (buffered, bytes) = writer.finish().map_err(io)?;
    let file = buffered
        .into_inner()
        .map_err(|error| io(error.into_error()))?;
    let summary = DumpSummary {
        at: checkpoint.applied(),
        keys,
        bytes,
        path: String::new(),
    };
    Ok((file, summary))
}

fn io_error(path: &Path, source: io::Error) -> DumpError {
    DumpError::Io {
        path: path.to_owned(),
        source,
    }
}
