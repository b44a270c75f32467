//! A flush of the log beside the appends, with `everysec`: whoever appends does not wait for the disk.

use std::fs::File;
use std::io;
use std::thread::{self, JoinHandle};

use kv_common::id::Seq;

use crate::log_disk::LogDisk;

/// A flush under way. It is waited for before the file is flushed in any other way: a failure is told to
/// whoever asks first, and to nobody after that.
#[derive(Debug)]
pub(crate) struct BackgroundSync {
    thread: JoinHandle<io::Result<()>>,
    through: Seq,
}

impl BackgroundSync {
    /// Begins to flush `file`, in which everything up to `through` was written.
    pub(crate) fn begin(disk: &LogDisk, file: &File, through: Seq) -> io::Result<Self> {
        let disk = disk.clone();
        let file = file.try_clone()?;
        let thread = thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || disk.sync_data(&file))?;
        Ok(Self { thread, through })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end, and says up to where entries are durable.
    pub(crate) fn end(self) -> io::Result<Seq> {
        let synced = self.thread.join();
        synced.map_err(|_| io::Error::other("the thread that flushed the log panicked"))??;
        Ok(self.through)
    }
}
