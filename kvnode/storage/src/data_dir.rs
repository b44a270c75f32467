//! The data directory of a node: one process, one format.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::file::{create_dir, dir_of, replace};
use crate::segment::create_zeroed;

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";
const VERSION: u32 = 1;
/// Given back when the disk is full, so that the databases open and the node can stop cleanly:
/// sled writes when it opens.
const RESERVE: &str = "RESERVE";
const RESERVE_BYTES: u64 = 16 << 20;

/// What a data directory of ours may hold before it has a `FORMAT`: what a first start that was
/// cut off, or the operator, put there.
const ALLOWED_AT_FIRST: [&str; 6] = [
    LOCK,
    "FORMAT.tmp",
    "db.txt",
    "lost+found",
    "config.toml",
    "kvnode.toml",
];

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
    #[error("{} is in use by another kvnode; stop that one or name another --data-dir", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("{} is no data directory of kvnode: it holds '{found}'; name an empty one", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// It was written by a newer version.
    #[error(
        "{} has format {found}, this kvnode knows up to {VERSION}; use the newer kvnode",
        path.display()
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
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
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(dir_of(path)).map_err(io)?;
        create_dir(path).map_err(io)?;
        let format = read_format(path)?;
        if format.is_none() {
            refuse_foreign(path)?;
        }
        let lock = lock(path)?;
        if format.is_none() {
            let content = format!("{VERSION}\n");
            replace(&path.join(FORMAT), content.as_bytes()).map_err(io)?;
        }
        let dir = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        dir.fill_reserve();
        Ok(dir)
    }

    /// Gives the space of the reserve back to the file system. Says whether there was any.
    #[must_use]
    pub fn release_reserve(&self) -> bool {
        let released = fs::remove_file(self.path.join(RESERVE)).is_ok();
        if released {
            tracing::warn!("the disk is full; the reserve was given up");
        }
        released
    }

    /// Runs `open`, and once more with the reserve given up if the disk was full.
    pub(crate) fn with_reserve<T, E>(
        &self,
        is_full: impl Fn(&E) -> bool,
        mut open: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        match open() {
            Err(error) if is_full(&error) && self.release_reserve() => open(),
            other => other,
        }
    }

    /// Sets space aside, if there is enough.
    fn fill_reserve(&self) {
        let path = self.path.join(RESERVE);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == RESERVE_BYTES) {
            return;
        }
        if let Err(error) = create_zeroed(&path, RESERVE_BYTES) {
            tracing::warn!(%error, "no space can be set aside for the time when the disk is full");
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let io = |source| DataDirError::Io {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(io)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::Locked {
            path: path.to_owned(),
        }),
        Err(error) => Err(io(error.into())),
    }
}

/// The format of the directory; nothing if it has none yet.
fn read_format(path: &Path) -> Result<Option<u32>, DataDirError> {
    let text = match fs::read(path.join(FORMAT)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(DataDirError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let number = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match number {
        Some(found) if found > VERSION => Err(DataDirError::NewerFormat {
            path: path.to_owned(),
            found,
        }),
        Some(found) if found > 0 => Ok(Some(found)),
        _ => Err(DataDirError::Foreign {
            path: path.to_owned(),
            found: FORMAT.to_owned(),
        }),
    }
}

fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    let io = |source| DataDirError::Io {
        path: path.to_owned(),
        source,
    };
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let hidden = name.starts_with('.');
        if !hidden && !ALLOWED_AT_FIRST.contains(&name.as_ref()) {
            return Err(DataDirError::Foreign {
                path: path.to_owned(),
                found: name.into_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{DataDir, DataDirError};
    use std::fs;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node");
        let open = DataDir::open(&path).expect("opens");
        assert!(matches!(
            DataDir::open(&path),
            Err(DataDirError::Locked { .. })
        ));
        drop(open);
        DataDir::open(&path).expect("opens again");
    }

    #[test]
    fn something_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("thesis.tex"), "x").expect("writes");
        let error = DataDir::open(dir.path()).expect_err("refused");
        assert!(matches!(&error, DataDirError::Foreign { found, .. } if found == "thesis.tex"));
        assert!(!error.to_string().contains('\n'));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_db_txt_may_wait_in_a_new_directory() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("db.txt"), "a n\n").expect("writes");
        DataDir::open(dir.path()).expect("opens");
    }

    #[test]
    fn a_full_disk_is_met_with_the_reserve_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = DataDir::open(dir.path()).expect("opens");
        let always = || Err::<(), _>("full");
        assert_eq!(open.with_reserve(|_| false, always), Err("full"));
        assert!(dir.path().join("RESERVE").exists());
        let mut tries = 0;
        let once = || {
            tries += 1;
            if tries < 2 { Err("full") } else { Ok(tries) }
        };
        assert_eq!(open.with_reserve(|_| true, once), Ok(2));
        assert!(!dir.path().join("RESERVE").exists());
        assert_eq!(open.with_reserve(|_| true, always), Err("full"));
        drop(open);
        DataDir::open(dir.path()).expect("opens");
        assert!(dir.path().join("RESERVE").exists(), "set aside anew");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("FORMAT"), "2\n").expect("writes");
        let error = DataDir::open(dir.path()).expect_err("refused");
        assert!(matches!(error, DataDirError::NewerFormat { found: 2, .. }));
        fs::write(dir.path().join("FORMAT"), "holiday\n").expect("writes");
        let error = DataDir::open(dir.path()).expect_err("refused");
        assert!(matches!(error, DataDirError::Foreign { .. }));
    }
}
