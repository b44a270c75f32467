//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("{} is in use by another process; stop that one first", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something that this program did not write, or another version of it.
    #[error("{} holds no store of this program ({cause}); name another folder", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// The store is damaged.
    #[error("the store {} is damaged: {cause}", path.display())]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// There is no space left.
    #[error("no space left for the store {}; free some and start again", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// The file system takes no writes.
    #[error("the store {} is on a file system that is read-only", path.display())]
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused a read or a write.
    #[error("the store {} cannot be used: {cause}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A key or value is longer than a store takes.
    #[error("a record of {bytes} bytes is too long for a store")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A write failed before, so it is not known what the disk holds.
    #[error("the store takes no more writes since one failed: {cause}")]
    Failed {
        /// How the first one failed.
        cause: String,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io {
                path,
                cause: error.to_string(),
            },
        }
    }

    pub(crate) fn corrupt(path: &Path, cause: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            cause: cause.into(),
        }
    }

    /// Translates what sled says.
    pub(crate) fn sled(path: &Path, error: &sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
                Self::Locked {
                    path: path.to_owned(),
                }
            }
            // sled keeps an error that it met on another thread as text.
            sled::Error::Io(error) if error.to_string().contains("StorageFull") => Self::DiskFull {
                path: path.to_owned(),
            },
            sled::Error::Io(error) => Self::io(path, error),
            sled::Error::Unsupported(cause) => Self::Foreign {
                path: path.to_owned(),
                cause: cause.clone(),
            },
            sled::Error::Corruption { at, .. } => Self::corrupt(path, format!("at {at:?}")),
            other => Self::corrupt(path, other.to_string()),
        }
    }
}
