//! The data directory of a daemon: one program, one process, one format.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::file::{create_dir, dir_of, replace, sync_dir};

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";

/// Whose data a directory holds.
#[derive(Clone, Copy, Debug)]
pub struct DataDirOwner {
    /// The program, as it stands in the directory's `FORMAT`.
    pub program: &'static str,
    /// The newest format that it knows; it writes this one.
    pub version: u32,
    /// What an operator may have put into a directory that is to become one of ours.
    pub may_be_there: &'static [&'static str],
}

/// A data directory that this process alone may use, for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error(
        "{} is in use by another {program}; stop that one or name another --data-dir",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        program: &'static str,
    },
    /// It holds something else.
    #[error(
        "{} is no data directory of {program}: it holds '{found}'; name an empty one",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is not.
        program: &'static str,
        /// What was found.
        found: String,
    },
    /// It was written by a newer version.
    #[error(
        "{} has format {found}, this {program} knows up to {known}; use the newer {program}",
        path.display()
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        program: &'static str,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The system refused.
    #[error("{} cannot be used as data directory: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDir {
    /// Opens the data directory at `path`, or makes one there.
    ///
    /// # Errors
    /// When it cannot be used. Nothing in it is touched then.
    pub fn open(path: &Path, owner: &DataDirOwner) -> Result<Self, DataDirError> {
        let io = |source| io_error(path, source);
        fs::create_dir_all(dir_of(path)).map_err(io)?;
        create_dir(path).map_err(io)?;
        let is_new = !has_format(path, owner)?;
        if is_new {
            refuse_foreign(path, owner)?;
        }
        let lock = lock(path, owner)?;
        if is_new {
            let content = format!("{} {}\n", owner.program, owner.version);
            replace(&path.join(FORMAT), content.as_bytes()).map_err(io)?;
        }
        // A former run may have ended between a change here and its flush.
        sync_dir(path).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Whether there is a data directory of `owner` at `path`. Changes nothing.
    ///
    /// # Errors
    /// When it is another program's, has a newer format, or cannot be read.
    pub fn exists(path: &Path, owner: &DataDirOwner) -> Result<bool, DataDirError> {
        has_format(path, owner)
    }

    /// Whether a process uses the data directory at `path`. Changes nothing.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn is_in_use(path: &Path) -> io::Result<bool> {
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn io_error(path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Whether the directory has a format, and one that the owner knows.
fn has_format(path: &Path, owner: &DataDirOwner) -> Result<bool, DataDirError> {
    let text = match fs::read(path.join(FORMAT)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(io_error(path, source)),
    };
    let text = String::from_utf8_lossy(&text);
    let (program, version) = text.trim().rsplit_once(' ').unwrap_or(("", ""));
    match version.parse() {
        Ok(found) if program == owner.program && found > owner.version => {
            Err(DataDirError::NewerFormat {
                path: path.to_owned(),
                program: owner.program,
                found,
                known: owner.version,
            })
        }
        Ok(found) if program == owner.program && found > 0 => Ok(true),
        _ => Err(foreign(path, owner, FORMAT)),
    }
}

fn refuse_foreign(path: &Path, owner: &DataDirOwner) -> Result<(), DataDirError> {
    let io = |source| io_error(path, source);
    // What a first start that was cut off leaves behind, and what file systems put there.
    let ours = [LOCK, "FORMAT.tmp", "lost+found"];
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let known = ours.iter().chain(owner.may_be_there);
        if !name.starts_with('.') && known.into_iter().all(|known| *known != name) {
            return Err(foreign(path, owner, &name));
        }
    }
    Ok(())
}

fn foreign(path: &Path, owner: &DataDirOwner, found: &str) -> DataDirError {
    DataDirError::Foreign {
        path: path.to_owned(),
        program: owner.program,
        found: found.to_owned(),
    }
}

fn lock(path: &Path, owner: &DataDirOwner) -> Result<File, DataDirError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(|source| io_error(path, source))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::Locked {
            path: path.to_owned(),
            program: owner.program,
        }),
        Err(error) => Err(io_error(path, error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::{DataDir, DataDirError, DataDirOwner};
    use std::fs;

    const OWNER: DataDirOwner = DataDirOwner {
        program: "tester",
        version: 1,
        may_be_there: &["db.txt"],
    };

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node");
        assert!(!DataDir::is_in_use(&path).expect("looks"));
        let open = DataDir::open(&path, &OWNER).expect("opens");
        assert!(DataDir::is_in_use(&path).expect("looks"));
        assert!(matches!(
            DataDir::open(&path, &OWNER),
            Err(DataDirError::Locked { .. })
        ));
        drop(open);
        assert!(!DataDir::is_in_use(&path).expect("looks"));
        DataDir::open(&path, &OWNER).expect("opens again");
    }

    #[test]
    fn something_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("thesis.tex"), "x").expect("writes");
        let error = DataDir::open(dir.path(), &OWNER).expect_err("refused");
        assert!(matches!(&error, DataDirError::Foreign { found, .. } if found == "thesis.tex"));
        assert!(!error.to_string().contains('\n'));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn what_an_operator_put_there_may_wait() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("db.txt"), "a n\n").expect("writes");
        DataDir::open(dir.path(), &OWNER).expect("opens");
    }

    #[test]
    fn a_newer_format_and_another_programs_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let refused = |content: &str| {
            fs::write(dir.path().join("FORMAT"), content).expect("writes");
            DataDir::open(dir.path(), &OWNER).expect_err("refused")
        };
        assert!(matches!(
            refused("tester 2\n"),
            DataDirError::NewerFormat { found: 2, .. }
        ));
        for content in ["holiday\n", "1\n", "other 1\n", "tester 0\n", ""] {
            assert!(matches!(refused(content), DataDirError::Foreign { .. }));
        }
    }
}
