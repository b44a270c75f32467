//! The data sets of a node: one is current, and a copy makes the next.
//!
//! A generation is a folder with a log and a checkpoint. The file `CURRENT` names the one that
//! counts; it changes in one step. One with a higher number is unfinished and of no use after a stop;
//! one with a lower number was replaced, and may hold what is nowhere else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kv_common::history::BaseId;
use kv_common::id::Seq;
use kv_store::file::{create_dir, remove, replace, sync_dir};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::log_scan::{Scan, scan};
use crate::options::StorageOptions;
use crate::segment::list_segments;

const CURRENT: &str = "CURRENT";
/// How the names of generations begin.
pub(crate) const PREFIX: &str = "gen-";
/// What was found to be of no use. Under this name half of it is never taken for data.
const REMOVED: &str = "removed-";

/// A folder with a log and a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    number: u64,
    path: PathBuf,
}

impl Generation {
    fn new(data_dir: &Path, number: u64) -> Self {
        Self {
            number,
            path: data_dir.join(format!("{PREFIX}{number:06}")),
        }
    }

    /// Where the log is.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the checkpoint is.
    pub(crate) fn checkpoint_dir(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's name.
    pub(crate) fn name(&self) -> String {
        format!("{PREFIX}{:06}", self.number)
    }
}

/// The generation that counts; nothing in a new data directory.
pub(crate) fn current(data_dir: &Path) -> io::Result<Option<Generation>> {
    let text = match fs::read_to_string(data_dir.join(CURRENT)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let number = text
        .trim()
        .strip_prefix(PREFIX)
        .and_then(|digits| digits.parse().ok());
    let Some(number) = number else {
        let what = format!(
            "the file CURRENT names no generation: '{}'; write the name of the folder gen-… into it that holds the data",
            text.trim()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    };
    let generation = Generation::new(data_dir, number);
    if !generation.path.is_dir() {
        let what = format!(
            "the folder {} is gone, which holds the data",
            generation.name()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    Ok(Some(generation))
}

/// Removes what unfinished copies and imports left, and makes the folders of a new generation.
pub(crate) fn begin(data_dir: &Path, options: &StorageOptions) -> io::Result<Generation> {
    let current = remove_unfinished(data_dir, options)?;
    let number = current.map_or(0, |generation| generation.number) + 1;
    let generation = Generation::new(data_dir, number);
    create_dir(&generation.path)?;
    create_dir(&generation.log_dir())?;
    create_dir(&generation.checkpoint_dir())?;
    Ok(generation)
}

/// Removes every generation that never counted, and returns the current one. What that one replaced
/// is left as it is.
pub(crate) fn remove_unfinished(
    data_dir: &Path,
    options: &StorageOptions,
) -> io::Result<Option<Generation>> {
    let current = current(data_dir)?;
    if current.is_none() {
        refuse_lost_current(data_dir, options)?;
    }
    for generation in list(data_dir)? {
        let never_counted = current
            .as_ref()
            .is_none_or(|current| generation.number > current.number);
        if never_counted {
            tracing::info!(folder = %generation.path.display(), "removing unfinished data");
            remove(&generation.path)?;
        }
    }
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(REMOVED) {
            remove(&entry.path())?;
        }
    }
    Ok(current)
}

/// The generations that the current one took the place of.
pub(crate) fn replaced(data_dir: &Path, current: &Generation) -> io::Result<Vec<Generation>> {
    let mut generations = list(data_dir)?;
    generations.retain(|generation| generation.number < current.number);
    Ok(generations)
}

/// All generations, the oldest first.
fn list(data_dir: &Path) -> io::Result<Vec<Generation>> {
    let mut generations = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            generations.push(Generation {
                number,
                path: data_dir.join(name),
            });
        }
    }
    generations.sort_by_key(|generation| generation.number);
    Ok(generations)
}

/// A generation that never counted holds nothing that was acknowledged. Where one may, `CURRENT` was
/// lost.
fn refuse_lost_current(data_dir: &Path, options: &StorageOptions) -> io::Result<()> {
    let generations = list(data_dir)?;
    let newest = generations
        .iter()
        .rev()
        .find(|generation| has_entries(generation) || has_checkpoint(generation, options));
    let Some(generation) = newest else {
        return Ok(());
    };
    let what = format!(
        "the file CURRENT is gone, and {} holds data: write its name into CURRENT",
        generation.name()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}

fn has_entries(generation: &Generation) -> bool {
    let log = generation.log_dir();
    // Nobody knows what is in a log that cannot be read.
    let counts = |found: Scan| found.last > found.before || found.damage.is_some();
    log.is_dir() && scan(&log).map_or(true, counts)
}

/// Whether the checkpoint may ever have counted. While a copy or an import fills it, its mark says
/// nothing, and there is no log; an import counts when its file was renamed.
fn has_checkpoint(generation: &Generation, options: &StorageOptions) -> bool {
    let dir = generation.checkpoint_dir();
    if !dir.is_dir() {
        return false;
    }
    let opened = Checkpoint::store(&dir, options.checkpoint_cache_bytes)
        .map_err(CheckpointError::from)
        .and_then(Checkpoint::over);
    match opened {
        Ok(checkpoint) => {
            let unfinished = checkpoint.mark().import.as_ref();
            let unfinished = unfinished.is_some_and(|import| !import.renamed);
            let base = checkpoint.history().base();
            !unfinished && (checkpoint.reached() > Seq::ZERO || base != BaseId::default())
        }
        Err(CheckpointError::NoMark) => false,
        Err(_) => list_segments(&generation.log_dir()).is_ok_and(|found| !found.is_empty()),
    }
}

/// Makes a generation the one that counts, in one step. Everything in it is durable already.
pub(crate) fn make_current(data_dir: &Path, generation: &Generation) -> io::Result<()> {
    sync_dir(&generation.path)?;
    sync_dir(data_dir)?;
    let content = format!("{}\n", generation.name());
    replace(&data_dir.join(CURRENT), content.as_bytes())
}

/// Removes a generation of which everything is in the current one.
pub(crate) fn remove_replaced(data_dir: &Path, generation: &Generation) -> io::Result<()> {
    remove_folder(data_dir, &generation.path)
}

/// Removes a folder with data that is of no use any more.
pub(crate) fn remove_folder(data_dir: &Path, folder: &Path) -> io::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let path = data_dir.join(format!("{REMOVED}{name}"));
    remove(&path)?;
    fs::rename(folder, &path)?;
    sync_dir(data_dir)?;
    tracing::info!(folder = %path.display(), "removing replaced data");
    remove(&path)
}

#[cfg(test)]
mod tests {
    use super::{begin, current, make_current, remove_unfinished};
    use crate::options::StorageOptions;

    fn options() -> StorageOptions {
        StorageOptions::default()
    }

    #[test]
    fn only_the_current_generation_survives() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        assert_eq!(current(dir).expect("reads"), None);
        let first = begin(dir, &options()).expect("begins");
        let first_again = begin(dir, &options()).expect("begins");
        assert_eq!(first, first_again, "an unfinished one leaves no trace");
        make_current(dir, &first).expect("switches");
        let second = begin(dir, &options()).expect("begins");
        assert_ne!(first, second);
        assert_eq!(
            remove_unfinished(dir, &options()).expect("cleans"),
            Some(first.clone())
        );
        assert!(first.path.is_dir() && !second.path.exists());
    }

    #[test]
    fn a_current_generation_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = begin(dir.path(), &options()).expect("begins");
        make_current(dir.path(), &first).expect("switches");
        std::fs::remove_dir_all(&first.path).expect("removes");
        assert!(current(dir.path()).is_err());
        assert!(
            begin(dir.path(), &options()).is_err(),
            "nothing takes its place"
        );
    }
}
