//! Deliberate breakages of the cores: texts that are replaced in a copy of the sources.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The list, from the root of the sources.
pub const LIST: &str = "ops/simulator/breakages.toml";

/// One mistake that somebody could make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakage {
    /// What it is called.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
    /// Why no schedule shows it, if that is known: another rule holds what it breaks.
    pub harmless: Option<String>,
    /// What finds it instead of the simulator: tests, as arguments of `cargo test`.
    #[serde(default)]
    pub tests: Vec<String>,
    /// How the sources change.
    pub edits: Vec<Edit>,
}

/// A text that is replaced.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, from the root of the sources.
    pub file: PathBuf,
    /// What stands there exactly once.
    pub find: String,
    /// What is to stand there.
    pub replace: String,
}

/// Why breakages cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum BreakageError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The list is none.
    #[error("{LIST}: {0}")]
    List(#[from] toml::de::Error),
    /// The sources have changed since the breakage was written.
    #[error("{name}: its text stands {times} times in {}, and should stand there once", file.display())]
    DoesNotFit {
        /// Which breakage.
        name: String,
        /// Where.
        file: PathBuf,
        /// How often it was found.
        times: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    breakage: Vec<Breakage>,
}

/// The breakages that are listed in the sources at `root`.
///
/// # Errors
/// When the list cannot be read.
pub fn read_all(root: &Path) -> Result<Vec<Breakage>, BreakageError> {
    let list: List = toml::from_str(&read(&root.join(LIST))?)?;
    Ok(list.breakage)
}

impl Breakage {
    /// The files of the sources at `root` that it changes, as they are and as they are to be.
    ///
    /// # Errors
    /// When a file cannot be read or an edit does not fit.
    pub fn changed_files(&self, root: &Path) -> Result<Vec<ChangedFile>, BreakageError> {
        let mut files: Vec<ChangedFile> = Vec::new();
        for edit in &self.edits {
            let path = root.join(&edit.file);
            let known = files.iter().position(|file| file.path == path);
            let index = match known {
                Some(index) => index,
                None => {
                    let original = read(&path)?;
                    let broken = original.clone();
                    files.push(ChangedFile {
                        path,
                        original,
                        broken,
                    });
                    files.len() - 1
                }
            };
            let broken = &mut files[index].broken;
            let times = broken.matches(&edit.find).count();
            if times != 1 {
                return Err(BreakageError::DoesNotFit {
                    name: self.name.clone(),
                    file: edit.file.clone(),
                    times,
                });
            }
            *broken = broken.replacen(&edit.find, &edit.replace, 1);
        }
        Ok(files)
    }
}

/// A file that a breakage changes.
#[derive(Clone, Debug)]
pub struct ChangedFile {
    path: PathBuf,
    original: String,
    broken: String,
}

impl ChangedFile {
    /// Breaks it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn break_it(&self) -> Result<(), BreakageError> {
        write(&self.path, &self.broken)
    }

    /// Mends it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mend(&self) -> Result<(), BreakageError> {
        write(&self.path, &self.original)
    }
}

fn read(path: &Path) -> Result<String, BreakageError> {
    fs::read_to_string(path).map_err(|source| io_error(path, source))
}

fn write(path: &Path, content: &str) -> Result<(), BreakageError> {
    fs::write(path, content).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> BreakageError {
    BreakageError::Io {
        path: path.to_owned(),
        source,
    }
}
