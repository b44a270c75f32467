//! The note about a flush that failed.
//!
//! After such a flush the system counts what it did not bring to the disk as clean: it is read back like the
//! rest, no later flush brings it there, and a power cut takes it away. So it is noted in the store's folder,
//! and the next opening writes the files once more, as they are read, before anything is built on them. The note
//! need not be durable: a power cut that takes it takes what it warns of.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::file::{remove, sync_dir};

/// The note's name.
pub(crate) const NOTE: &str = "flush-failed";
const BLOCK_BYTES: usize = 1 << 20;

/// Takes note that something written in `folder` may be in memory alone.
pub(crate) fn note(folder: &Path) {
    if let Err(error) = File::create(folder.join(NOTE)) {
        tracing::warn!(%error, path = %folder.display(), "a failed flush cannot be noted");
    }
}

/// Makes durable what the files in `folder` show, if a flush of them failed before.
pub(crate) fn make_up(folder: &Path) -> io::Result<()> {
    let note = folder.join(NOTE);
    if !note.try_exists()? {
        return Ok(());
    }
    tracing::warn!(path = %folder.display(), "a flush failed in an earlier run; writing everything once more");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != NOTE {
            write_again(&entry.path())?;
        }
    }
    sync_dir(folder)?;
    remove(&note)
}

fn write_again(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut block, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(&block[..read], at)?;
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{NOTE, make_up, note};
    use std::fs::{self, File};
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::Path;

    /// A file with nothing but a few bytes in its middle, which takes no space but for these.
    fn sparse(path: &Path, length: u64) {
        let file = File::create(path).expect("creates");
        file.set_len(length).expect("has holes");
        file.write_all_at(b"x", length / 2).expect("writes");
    }

    #[test]
    fn every_byte_of_every_file_is_written_once_more_and_stays_as_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let lengths = [1, 5000, 3 << 20, (2 << 20) + 1];
        let path = |length: u64| dir.path().join(length.to_string());
        for length in lengths {
            sparse(&path(length), length);
        }
        let contents = lengths.map(|length| fs::read(path(length)).expect("reads"));
        let space = |length| fs::metadata(path(length)).expect("is there").blocks() * 512;
        make_up(dir.path()).expect("has nothing to do");
        assert!(space(3 << 20) < 1 << 20, "nothing was noted");
        note(dir.path());
        make_up(dir.path()).expect("writes");
        for (length, content) in lengths.into_iter().zip(contents) {
            assert!(space(length) >= length, "{length} has holes");
            assert_eq!(fs::read(path(length)).expect("reads"), content);
        }
        assert!(!dir.path().join(NOTE).exists());
    }
}
