//! Looking at a data directory without changing it, whether a node runs on it or not.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kv_common::history::BaseId;
use kv_common::id::{Position, Seq};

use crate::generation;
use crate::log_error::{LogDamage, LogError, TailCut};
use crate::log_scan::{Scan, scan};

/// What a data directory holds, as far as its files can be read without opening the databases,
/// which would change them. While a node runs on it, the end of the log may be half written.
#[derive(Debug)]
pub struct Inspection {
    path: PathBuf,
    format: String,
    meta_bytes: u64,
    /// The current generation's name, and what is in it.
    current: Option<(String, GenerationContent)>,
    /// Other folders with data: copies under way, and what was set aside.
    others: Vec<(String, u64)>,
}

#[derive(Debug)]
struct GenerationContent {
    checkpoint_bytes: u64,
    segments: usize,
    base: BaseId,
    first: Seq,
    last: Position,
    committed: Seq,
    torn: Option<TailCut>,
    damage: Option<LogDamage>,
}

/// Why a data directory cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// The system refused.
    #[error("{} cannot be inspected: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Looks at the data directory at `path`. Changes nothing.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn inspect(path: &Path) -> Result<Inspection, InspectionError> {
    let io = |source| InspectionError::Io {
        path: path.to_owned(),
        source,
    };
    let format = fs::read_to_string(path.join("FORMAT")).map_err(io)?;
    let current = generation::current(path).map_err(io)?;
    let mut others = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_current = current
            .as_ref()
            .is_some_and(|current| current.name() == name);
        if !is_current && (name.starts_with("gen-") || name.starts_with("set-aside-")) {
            others.push((name, size_of(&entry.path()).map_err(io)?));
        }
    }
    others.sort();
    let current = match current {
        None => None,
        Some(generation) => {
            let found = scan(&generation.log_dir())?;
            let checkpoint_bytes = size_of(&generation.checkpoint_dir()).map_err(io)?;
            let content = GenerationContent::new(found, checkpoint_bytes);
            Some((generation.name(), content))
        }
    };
    Ok(Inspection {
        path: path.to_owned(),
        format: format.trim().to_owned(),
        meta_bytes: size_of(&path.join("meta")).map_err(io)?,
        current,
        others,
    })
}

impl GenerationContent {
    fn new(found: Scan, checkpoint_bytes: u64) -> Self {
        Self {
            checkpoint_bytes,
            segments: found.index.segments.len(),
            base: found.base,
            first: found.index.first(),
            last: found.last,
            committed: found.committed,
            torn: found.torn,
            damage: found.damage,
        }
    }
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

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (format {})", self.path.display(), self.format)?;
        writeln!(f, "  meta records: {} bytes", self.meta_bytes)?;
        match &self.current {
            None => writeln!(f, "  no data yet")?,
            Some((name, content)) => {
                writeln!(f, "  current data: {name}")?;
                content.fmt(f)?;
            }
        }
        for (name, bytes) in &self.others {
            writeln!(f, "  beside it: {name}, {bytes} bytes")?;
        }
        Ok(())
    }
}

impl fmt::Display for GenerationContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    checkpoint: {} bytes", self.checkpoint_bytes)?;
        let (first, last, committed) = (self.first, self.last, self.committed);
        writeln!(
            f,
            "    log: {} segments, first entry {first}, last entry {last}, committed at least to {committed}",
            self.segments
        )?;
        if self.base != BaseId::default() {
            writeln!(f, "    base: {:032x}, imported", self.base.0)?;
        }
        match &self.damage {
            Some(damage) => writeln!(f, "    {damage}")?,
            None => writeln!(f, "    no damage before the tail")?,
        }
        match &self.torn {
            Some(torn) => writeln!(f, "    the tail is torn behind entry {}", torn.last),
            None => Ok(()),
        }
    }
}
