//! The one way by which the log's files are written and made durable.
//!
//! In a program this is nothing but the calls to the system. In the tests of this crate it may lead to a disk
//! that fails, fills up, stalls, and forgets what was not flushed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
#[cfg(test)]
use std::sync::Arc;

use crate::room::free_bytes;

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod tests;

/// Where a log's files are.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogDisk {
    #[cfg(test)]
    faulty: Option<Arc<faulty::FaultyDisk>>,
}

impl LogDisk {
    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faulty) = &self.faulty {
            return faulty.write_all_at(file, bytes, offset);
        }
        file.write_all_at(bytes, offset)
    }

    /// Makes what was written durable (`fdatasync`).
    pub(crate) fn sync_data(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faulty) = &self.faulty {
            return faulty.sync(file);
        }
        file.sync_data()
    }

    /// The same with all that the system knows of the file (`fsync`).
    pub(crate) fn sync_all(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faulty) = &self.faulty {
            return faulty.sync(file);
        }
        file.sync_all()
    }

    /// How much room the file system at `path` has left, if that can be told.
    pub(crate) fn free_bytes(&self, path: &Path) -> Option<u64> {
        #[cfg(test)]
        if let Some(faulty) = &self.faulty {
            return faulty.free_bytes();
        }
        free_bytes(path).ok().flatten()
    }
}
