//! Opening sled safely.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::error::StoreError;
use crate::store::StoreOptions;
use crate::unflushed;

/// Stored in the database and not to be changed: pages over a quarter of it are never synced.
const SEGMENT_BYTES: usize = 4 << 20;
/// sled frees the space of old segments on this beat and at no other time.
const GARBAGE_BEAT_MS: u64 = 500;
/// How long to wait for an earlier user of the store to let go of it, and between two tries.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// An open database, and the file that every batch is to be synced on.
pub(crate) struct Opened {
    pub(crate) db: sled::Db,
    pub(crate) file: File,
}

/// Opens or creates the database in `path`.
pub(crate) fn open(path: &Path, options: &StoreOptions) -> Result<Opened, StoreError> {
    let io = |error: &io::Error| StoreError::io(path, error);
    fs::create_dir_all(path).map_err(|error| io(&error))?;
    refuse_foreign(path)?;
    clean_up_alone(path)?;
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(options.cache_bytes)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(Some(GARBAGE_BEAT_MS));
    let db = guarded(path, || {
        config
            .open()
            .map_err(|error| StoreError::sled(path, &error))
    })?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join("db"))
        .map_err(|error| io(&error))?;
    sync_new_files(path, &file).map_err(|error| {
        unflushed::note(path);
        io(&error)
    })?;
    Ok(Opened { db, file })
}

/// Runs what may panic in sled.
pub(crate) fn guarded<T>(
    path: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // A store whose sled panicked while it wrote is marked as failed, and reading changes nothing
    // of ours, so nobody meets what the panic left behind.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(StoreError::corrupt(path, format!("sled panicked: {text}")))
        }
    }
}

/// A folder with files, but without sled's own, is not ours to write into.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(path).map_err(|error| StoreError::io(path, &error))?;
    for entry in entries {
        let name = entry
            .map_err(|error| StoreError::io(path, &error))?
            .file_name();
        let name = name.to_string_lossy();
        let of_sled = matches!(&*name, "db" | "conf" | "blobs" | unflushed::NOTE)
            || name.starts_with("snap.");
        if !of_sled {
            return Err(StoreError::Foreign {
                path: path.to_owned(),
                cause: format!("it holds '{name}'"),
            });
        }
    }
    Ok(())
}

/// Removes what a killed opening left behind, and makes up for a failed flush, while holding sled's own lock, so that it is not the
/// snapshot that another process is just writing.
fn clean_up_alone(path: &Path) -> Result<(), StoreError> {
    let io = |error: &io::Error| StoreError::io(path, error);
    let file = match OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join("db"))
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(&error)),
    };
    lock(path, &file)?;
    for entry in fs::read_dir(path).map_err(|error| io(&error))? {
        let entry = entry.map_err(|error| io(&error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(path = %entry.path().display(), "removing what a killed start left behind");
            fs::remove_file(entry.path()).map_err(|error| io(&error))?;
        }
    }
    unflushed::make_up(path).map_err(|error| io(&error))
}

/// Takes sled's own lock. sled lets go of it only when the last of its threads has ended, which may
/// be a moment after the store was dropped.
fn lock(path: &Path, file: &File) -> Result<(), StoreError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                thread::sleep(LOCK_RETRY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(StoreError::io(path, &error.into())),
        }
    }
}

/// What sled created while it opened survives a power cut from here on.
fn sync_new_files(path: &Path, db: &File) -> io::Result<()> {
    db.sync_all()?;
    File::open(path.join("conf"))?.sync_all()?;
    File::open(path)?.sync_all()?;
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
