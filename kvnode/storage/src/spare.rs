//! Segments that wait to be used: old ones that the log no longer needs, and new ones that are
//! written full of zeros on a thread of their own, so that an append never waits for that.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::log_disk::LogDisk;
use crate::segment::{create_zeroed, create_zeroed_in_pieces};
use kv_store::file::{remove, sync_dir};

const PREFIX: &str = "spare-";
const UNFINISHED: &str = "spare.tmp";
/// More than this many are deleted: as many as the log can do without at once when a checkpoint was taken. To delete
/// some and write others anew costs the disk as much as the log itself, and its flushes wait for that.
pub(crate) const SPARES_MAX: usize = 8;
/// A spare that nobody waits for yet takes the disk for this part of the time, one in so many: flushes of the
/// log come between its pieces. A segment takes longer to fill than its spare takes to be written.
const DISK_SHARE: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// The spare segments of a log.
#[derive(Debug)]
pub(crate) struct Spares {
    disk: LogDisk,
    dir: PathBuf,
    length: u64,
    ready: VecDeque<PathBuf>,
    at_most: usize,
    under_way: Option<UnderWay>,
    next_number: u64,
}

/// A spare that is being written.
#[derive(Debug)]
struct UnderWay {
    thread: JoinHandle<io::Result<PathBuf>>,
    is_waited_for: Arc<AtomicBool>,
}

impl Spares {
    /// Finds the spares that a former run left in `dir`.
    pub(crate) fn open(disk: LogDisk, dir: &Path, length: u64) -> io::Result<Self> {
        remove(&dir.join(UNFINISHED))?;
        let mut spares = Self {
            disk,
            dir: dir.to_owned(),
            length,
            ready: VecDeque::new(),
            at_most: SPARES_MAX,
            under_way: None,
            next_number: 0,
        };
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            spares.next_number = spares.next_number.max(number.saturating_add(1));
            if entry.metadata()?.len() == length && spares.ready.len() < SPARES_MAX {
                spares.ready.push_back(entry.path());
            } else {
                remove(&entry.path())?;
            }
        }
        Ok(spares)
    }

    /// Keeps so many at most from now on. Says whether some had to go.
    pub(crate) fn keep(&mut self, at_most: usize) -> io::Result<bool> {
        self.at_most = at_most;
        let surplus = self.ready.len().saturating_sub(at_most);
        for spare in self.ready.drain(..surplus) {
            remove(&spare)?;
        }
        Ok(surplus > 0)
    }

    /// Takes segments that the log no longer needs.
    pub(crate) fn recycle(&mut self, segments: &[PathBuf]) -> io::Result<()> {
        let mut renamed = Vec::new();
        for path in segments {
            let fits = fs::metadata(path)?.len() == self.length;
            if !fits || self.ready.len() + renamed.len() >= self.at_most {
                remove(path)?;
            } else {
                let spare = self.next_path();
                fs::rename(path, &spare)?;
                renamed.push(spare);
            }
        }
        if !renamed.is_empty() {
            // Before a file gets another header under its old name.
            sync_dir(&self.dir)?;
        }
        self.ready.extend(renamed);
        Ok(())
    }

    /// A file of at least `length` bytes to be made a segment. Waits for one that is being
    /// written, or writes one.
    pub(crate) fn take(&mut self, length: u64) -> io::Result<(PathBuf, File)> {
        if length > self.length {
            let path = self.dir.join(UNFINISHED);
            self.wait()?;
            let file = create_zeroed(&self.disk, &path, length)?;
            return Ok((path, file));
        }
        if self.ready.is_empty() {
            self.wait()?;
        }
        if let Some(path) = self.ready.pop_front() {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            return Ok((path, file));
        }
        let path = self.next_path();
        let file = create_zeroed(&self.disk, &path, self.length)?;
        Ok((path, file))
    }

    /// Begins to write the next spare, if there is none.
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        if !self.ready.is_empty() || self.under_way.is_some() {
            return Ok(());
        }
        let unfinished = self.dir.join(UNFINISHED);
        let path = self.next_path();
        let (disk, length) = (self.disk.clone(), self.length);
        let is_waited_for = Arc::new(AtomicBool::new(false));
        let in_a_hurry = Arc::clone(&is_waited_for);
        let thread = thread::Builder::new()
            .name("log-spare".to_owned())
            .spawn(move || {
                create_zeroed_in_pieces(&disk, &unfinished, length, |took| {
                    if !in_a_hurry.load(Ordering::Relaxed) {
                        thread::park_timeout((took * (DISK_SHARE - 1)).min(PAUSE_MAX));
                    }
                })?;
                fs::rename(&unfinished, &path)?;
                Ok(path)
            })?;
        self.under_way = Some(UnderWay {
            thread,
            is_waited_for,
        });
        Ok(())
    }

    /// Waits for the spare that is being written.
    fn wait(&mut self) -> io::Result<()> {
        let Some(under_way) = self.under_way.take() else {
            return Ok(());
        };
        under_way.is_waited_for.store(true, Ordering::Relaxed);
        under_way.thread.thread().unpark();
        let written = under_way
            .thread
            .join()
            .map_err(|_| io::Error::other("the thread that wrote a segment panicked"))?;
        self.ready.push_back(written?);
        Ok(())
    }

    fn next_path(&mut self) -> PathBuf {
        let path = self.dir.join(format!("{PREFIX}{}", self.next_number));
        self.next_number += 1;
        path
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        // A failure shows when a spare is needed; here nobody needs one any more.
        let _ = self.wait();
    }
}
