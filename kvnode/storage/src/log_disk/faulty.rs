//! A disk that fails, fills up, stalls, takes writes in bits, and forgets what was not flushed.
//!
//! Its files are real and stand for the system's memory: what was written is read back at once. Beside them it
//! keeps what reached the disk. A flush brings the pages there that were written since the last one. One that
//! fails brings some of them there, and the system counts all of them as clean: no later flush brings the
//! others, unless they are written once more.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::LogDisk;

const PAGE_BYTES: u64 = 4096;
/// What a write takes at once while writes are short.
const SHORT_BYTES: usize = 1000;
/// How long a test waits for a stall.
const DEADLINE: Duration = Duration::from_secs(30);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails, and so much of what it was to bring gets there all the same.
    Fail(Part),
    /// From this call on files do not grow.
    Full,
    /// From this call on a write takes only a bit at once.
    Short,
    /// The flush does not come to an end until [`FaultyDisk::release`].
    Stall,
}

/// How much of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    Half,
    Everything,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Half, Self::Everything];

    fn of_bytes(self, bytes: &[u8]) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Half => &bytes[..bytes.len() / 2],
            Self::Everything => bytes,
        }
    }

    /// Half of the pages are the later ones: a disk takes them in any order.
    fn of_pages(self, pages: &BTreeSet<u64>) -> impl Iterator<Item = u64> {
        let lost = match self {
            Self::Nothing => pages.len(),
            Self::Half => pages.len() / 2,
            Self::Everything => 0,
        };
        pages.iter().copied().skip(lost)
    }
}

/// The disk. Calls on the thread that writes spare segments count apart, as nobody knows when they come.
#[derive(Debug, Default)]
pub(crate) struct FaultyDisk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By inode, as files are renamed.
    files: HashMap<u64, OnDisk>,
    calls: u64,
    fault: Option<(u64, Fault)>,
    fault_of_spares: Option<Fault>,
    free_bytes: Option<u64>,
    full: bool,
    short: bool,
    stalled: bool,
}

#[derive(Debug)]
struct OnDisk {
    /// Open as long as this, so that no other file gets its inode.
    file: File,
    /// What reached the disk.
    content: Vec<u8>,
    /// Pages that a flush has to bring there.
    dirty: BTreeSet<u64>,
}

/// A file that takes only a bit of a write at once.
struct Short<'file>(&'file File);

impl FileExt for Short<'_> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let taken = bytes.len().min(SHORT_BYTES);
        self.0.write_at(&bytes[..taken], offset)
    }
}

impl FaultyDisk {
    /// Says that so much room is left.
    pub(crate) fn leave(&self, free_bytes: u64) {
        self.lock().free_bytes = Some(free_bytes);
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.lock().free_bytes
    }

    /// The seam that leads here.
    pub(crate) fn disk(self: &Arc<Self>) -> LogDisk {
        LogDisk {
            faulty: Some(Arc::clone(self)),
        }
    }

    /// Has the write or flush number `call`, counted from now and from 0, meet the fault.
    pub(crate) fn fail_at(&self, call: u64, fault: Fault) {
        let mut state = self.lock();
        state.calls = 0;
        state.fault = Some((call, fault));
    }

    /// Has the next write or flush of a spare segment meet the fault.
    pub(crate) fn fail_spare(&self, fault: Fault) {
        self.lock().fault_of_spares = Some(fault);
    }

    /// Whether the fault is still to come.
    pub(crate) fn is_pending(&self) -> bool {
        let state = self.lock();
        state.fault.is_some() || state.fault_of_spares.is_some()
    }

    /// Nothing goes wrong any more. What was lost stays lost.
    pub(crate) fn mend(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.fault_of_spares = None;
        (state.full, state.short) = (false, false);
    }

    pub(crate) fn wait_until_stalled(&self) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), DEADLINE, |state| !state.stalled);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.stalled, "no flush stalled");
    }

    pub(crate) fn release(&self) {
        self.lock().stalled = false;
        self.changed.notify_all();
    }

    /// Makes in `to` what a power cut now leaves of the files in `from`, with a part of what was not flushed.
    pub(crate) fn power_cut(&self, from: &Path, to: &Path, part: Part) {
        let state = self.lock();
        for entry in fs::read_dir(from).expect("lists") {
            let entry = entry.expect("lists");
            let mut content = fs::read(entry.path()).expect("reads");
            let inode = entry.metadata().expect("has metadata").ino();
            if let Some(on_disk) = state.files.get(&inode) {
                let length = content.len();
                content = on_disk.with(part);
                content.resize(length, 0);
            }
            fs::write(to.join(entry.file_name()), content).expect("writes");
        }
    }

    pub(super) fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.take_fault();
        let taken = match fault {
            Some(Fault::Fail(part)) => part.of_bytes(bytes),
            _ => bytes,
        };
        let end = offset + taken.len() as u64;
        if state.full && end > file.metadata()?.len() {
            return Err(Errno::NOSPC.into());
        }
        let short = state.short;
        let on_disk = state.on_disk(file)?;
        if !taken.is_empty() {
            let pages = offset / PAGE_BYTES..=(end - 1) / PAGE_BYTES;
            on_disk.dirty.extend(pages);
        }
        if short {
            Short(file).write_all_at(taken, offset)?;
        } else {
            file.write_all_at(taken, offset)?;
        }
        match fault {
            Some(Fault::Fail(_)) => Err(Errno::IO.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.take_fault();
        if fault == Some(Fault::Stall) {
            state.stalled = true;
            self.changed.notify_all();
            let released = self
                .changed
                .wait_timeout_while(state, DEADLINE, |state| state.stalled);
            (state, _) = released.unwrap_or_else(PoisonError::into_inner);
        }
        let part = match fault {
            Some(Fault::Fail(part)) => part,
            _ => Part::Everything,
        };
        let on_disk = state.on_disk(file)?;
        on_disk.content = on_disk.with(part);
        on_disk.dirty.clear();
        match fault {
            Some(Fault::Fail(_)) => Err(Errno::IO.into()),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The fault that this call meets.
    fn take_fault(&mut self) -> Option<Fault> {
        let fault = if thread::current().name() == Some("log-spare") {
            self.fault_of_spares.take()
        } else {
            let call = self.calls;
            self.calls += 1;
            self.fault
                .take_if(|(at, _)| *at == call)
                .map(|(_, fault)| fault)
        };
        self.full |= fault == Some(Fault::Full);
        self.short |= fault == Some(Fault::Short);
        fault
    }

    /// What the disk has of a file: all of one that was not written yet.
    fn on_disk(&mut self, file: &File) -> io::Result<&mut OnDisk> {
        let metadata = file.metadata()?;
        match self.files.entry(metadata.ino()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                // Opened anew: a spare is written past the system's memory, and what is read so has to begin anywhere.
                let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
                let mut content = vec![0; usize::try_from(metadata.len()).unwrap_or(0)];
                file.read_exact_at(&mut content, 0)?;
                Ok(entry.insert(OnDisk {
                    file,
                    content,
                    dirty: BTreeSet::new(),
                }))
            }
        }
    }
}

impl OnDisk {
    /// What is on the disk when a part of the pages that were written has reached it.
    fn with(&self, part: Part) -> Vec<u8> {
        let length = self.file.metadata().expect("has a length").len();
        let length = usize::try_from(length).expect("is small");
        let mut content = self.content.clone();
        content.resize(length, 0);
        for page in part.of_pages(&self.dirty) {
            let from = usize::try_from(page * PAGE_BYTES).expect("is small");
            let to = length.min(from + PAGE_BYTES as usize);
            if from < to {
                let page = &mut content[from..to];
                self.file.read_exact_at(page, from as u64).expect("reads");
            }
        }
        content
    }
}
