//! The data directory of a node, with space set aside for the time when the disk is full.

use std::fs;
use std::io;
use std::path::Path;

use kv_store::{DataDirError, DataDirOwner};

use crate::log_disk::LogDisk;
use crate::room::free_bytes;
use crate::segment::{SEGMENT_BYTES, create_zeroed};
use kv_store::file::remove;

const OWNER: DataDirOwner = DataDirOwner {
    program: "kvnode",
    version: 1,
    may_be_there: &["db.txt", "config.toml", "kvnode.toml"],
};
/// Given back when the disk is full, so that the databases open and the node can stop cleanly:
/// sled writes when it opens.
const RESERVE: &str = "RESERVE";
const RESERVE_BYTES: u64 = 16 << 20;

/// A file by which it is tried whether the disk takes anything.
const TRIAL: &str = "TRIAL";
const TRIAL_BYTES: u64 = 64 << 10;
/// The reserve, segments of the log, and what the checkpoint grows by meanwhile.
const SPACE_TO_GO_ON_BYTES: u64 = RESERVE_BYTES + 3 * SEGMENT_BYTES;

/// A data directory that this process alone may use, for as long as this value lives.
#[derive(Debug)]
pub struct DataDir(kv_store::DataDir);

impl DataDir {
    /// Opens the data directory at `path`, or makes one there.
    ///
    /// # Errors
    /// When it cannot be used. Nothing in it is touched then.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let dir = Self(kv_store::DataDir::open(path, &OWNER)?);
        dir.fill_reserve();
        Ok(dir)
    }

    /// Whether there is a data directory of a node at `path`. Changes nothing.
    ///
    /// # Errors
    /// When it is another program's, has a newer format, or cannot be read.
    pub fn exists(path: &Path) -> Result<bool, DataDirError> {
        kv_store::DataDir::exists(path, &OWNER)
    }

    /// Whether a process uses the data directory at `path`. Changes nothing.
    pub(crate) fn is_in_use(path: &Path) -> io::Result<bool> {
        kv_store::DataDir::is_in_use(path)
    }

    /// Gives the space of the reserve back to the file system. Says whether there was any.
    #[must_use]
    pub fn release_reserve(&self) -> bool {
        let released = fs::remove_file(self.path().join(RESERVE)).is_ok();
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
        let path = self.path().join(RESERVE);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == RESERVE_BYTES) {
            return;
        }
        if let Err(error) = create_zeroed(&LogDisk::default(), &path, RESERVE_BYTES) {
            tracing::warn!(%error, "no space can be set aside for the time when the disk is full");
        }
    }

    /// Whether the disk takes what it is given, with space enough to start and to go on for a while:
    /// writes a small file, makes it durable and removes it.
    ///
    /// # Errors
    /// Why it does not.
    pub fn try_disk(&self) -> io::Result<()> {
        if free_bytes(self.path())?.unwrap_or(0) < SPACE_TO_GO_ON_BYTES {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let path = self.path().join(TRIAL);
        create_zeroed(&LogDisk::default(), &path, TRIAL_BYTES)?;
        remove(&path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::DataDir;

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
}
