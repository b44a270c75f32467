//! The thread that owns the log: gathers what waits into one write and one flush.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kv_common::batch::Batch;
use kv_common::id::{NodeId, Seq};
use kv_common::message::control::{DiskFailure, DiskTrouble, FsyncMode};
use kvnode_core::input::{LinkId, Ticket};

use crate::log::Log;
use crate::log_error::{LogError, LogReadError};
use crate::log_pulse::LogPulse;
use crate::log_reader::LogReader;
use crate::options::StorageOptions;
use crate::queue::{QueueError, ThreadPanicked, offer};
use crate::room::Room;
use crate::slow_down;
use crate::spare::SPARES_MAX;

/// Requests that may wait: several times what a primary lets be on its way to a follower.
const QUEUE_REQUESTS: usize = 16_384;
/// What goes into one write and flush at most.
const GROUP_BYTES: usize = 8 << 20;
/// How often it is looked how much room the disk has left: others fill it up, too.
const LOOK_EVERY_BYTES: usize = 4 << 20;
/// While room is tight: what goes into one write, and how far the checkpoint may be behind without a wait, one part in
/// so many of the room that is wanted.
const TIGHT_GROUP_BYTES: usize = 1 << 20;
const TIGHT_BEHIND: u64 = 12;
/// Segments that are kept to be written again while room is short.
const SPARES_SHORT: usize = 1;
/// How far the disk may lag behind with `everysec`, and by how much: a new segment waits for what is left of the
/// one before it.
const EVERY_SEC: Duration = Duration::from_secs(1);
const UNSYNCED_MAX_BYTES: usize = 4 << 20;
/// How often it is looked whether a flush beside the appends is over, while nothing else comes.
const SYNC_LOOK_EVERY: Duration = Duration::from_millis(2);

/// Batches that a follower lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogReadRequest {
    /// The follower; comes back.
    pub node: NodeId,
    /// The connection; comes back.
    pub link: LinkId,
    /// The first entry that it lacks.
    pub from: Seq,
    /// Stop after so many bytes; one batch at least.
    pub max_bytes: usize,
}

/// What the log thread did.
#[derive(Debug)]
pub enum LogEvent {
    /// Everything up to here is held: on disk, or with `everysec` handed to the system.
    Flushed {
        /// The last entry.
        through: Seq,
    },
    /// The log was cut, durably.
    Cut {
        /// The order.
        ticket: Ticket,
    },
    /// What a follower lacks.
    Read {
        /// What was asked for.
        request: LogReadRequest,
        /// Whole batches, the first of which holds `from`; none: the log does not have it.
        batches: Vec<Batch>,
    },
    /// The log's head was cut off.
    Released {
        /// The first entry that it still has.
        log_from: Seq,
    },
    /// The disk failed, or the log is damaged: nothing more is taken.
    Failed(DiskFailure),
}

enum Request {
    Append(Batch),
    Cut { after: Seq, ticket: Ticket },
    Read(LogReadRequest),
    Release,
    Stop,
}

/// The running thread.
#[derive(Debug)]
pub struct LogThread {
    handle: LogHandle,
    thread: JoinHandle<()>,
}

/// Hands work to the log thread, in order.
#[derive(Clone, Debug)]
pub struct LogHandle {
    queue: SyncSender<Request>,
    pulse: Arc<LogPulse>,
    reader: LogReader,
}

impl LogThread {
    /// Starts the thread. `on_event` is called on it and must not wait.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn spawn(
        log: Log,
        options: &StorageOptions,
        on_event: impl FnMut(LogEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, requests) = sync_channel(QUEUE_REQUESTS);
        let pulse = Arc::new(LogPulse::new(log.flushed().0));
        let handle = LogHandle {
            queue,
            pulse: Arc::clone(&pulse),
            reader: log.reader(),
        };
        let worker = Worker {
            reader: log.reader(),
            log,
            fsync: options.fsync,
            retention_bytes: options.retention_bytes,
            behind_max_bytes: options.checkpoint_behind_max_bytes,
            room_bytes: options.disk_room_bytes,
            room: Room::new(None, 0),
            unlooked_bytes: LOOK_EVERY_BYTES,
            on_event,
            pulse,
            unsynced_since: None,
            unsynced_bytes: 0,
            failed: false,
        };
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || worker.run(&requests))?;
        Ok(Self { handle, thread })
    }

    /// Hands work to the thread.
    #[must_use]
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }

    /// Does what waits, makes it durable, and ends the thread.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn stop(self) -> Result<(), ThreadPanicked> {
        // Waits for room in the queue; an error means that the thread has ended already.
        let _ = self.handle.queue.send(Request::Stop);
        self.thread.join().map_err(|_| ThreadPanicked)
    }
}

impl LogHandle {
    /// Appends a batch → [`LogEvent::Flushed`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn append(&self, batch: Batch) -> Result<(), QueueError> {
        offer(&self.queue, Request::Append(batch))
    }

    /// Cuts off everything after `after`, durably → [`LogEvent::Cut`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn cut_after(&self, after: Seq, ticket: Ticket) -> Result<(), QueueError> {
        offer(&self.queue, Request::Cut { after, ticket })
    }

    /// Reads batches back → [`LogEvent::Read`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn read(&self, request: LogReadRequest) -> Result<(), QueueError> {
        offer(&self.queue, Request::Read(request))
    }

    /// Drops old segments that hold only entries below `below` and are beyond the retention →
    /// [`LogEvent::Released`], if any was.
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn release_below(&self, below: Seq) -> Result<(), QueueError> {
        // Told beside the queue, too: when room is tight, what waits in it is what needs the room.
        self.pulse.needs_from(below);
        offer(&self.queue, Request::Release)
    }

    /// How the disk does.
    #[must_use]
    pub fn pulse(&self) -> &Arc<LogPulse> {
        &self.pulse
    }

    /// Reads the log on the caller's thread.
    #[must_use]
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }
}

struct Worker<F> {
    log: Log,
    reader: LogReader,
    fsync: FsyncMode,
    retention_bytes: u64,
    behind_max_bytes: u64,
    room_bytes: u64,
    /// As it was found last, and what was written since then.
    room: Room,
    unlooked_bytes: usize,
    on_event: F,
    pulse: Arc<LogPulse>,
    /// With `everysec`: since when something waits for its flush, and how much.
    unsynced_since: Option<Instant>,
    unsynced_bytes: usize,
    failed: bool,
}

impl<F: FnMut(LogEvent)> Worker<F> {
    fn run(mut self, requests: &Receiver<Request>) {
        let mut waiting = VecDeque::new();
        loop {
            match self.next(requests) {
                Ok(request) => waiting.push_back(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => waiting.push_back(Request::Stop),
            }
            waiting.extend(requests.try_iter().take(QUEUE_REQUESTS));
            while let Some(request) = waiting.pop_front() {
                match request {
                    Request::Append(batch) => {
                        let behind_bytes = self.behind_bytes();
                        let group = gather(batch, &mut waiting, self.group_bytes(behind_bytes));
                        self.wait_for_checkpoint(&group, behind_bytes);
                        self.append(&group);
                        self.sync_beside();
                    }
                    Request::Cut { after, ticket } => self.cut(after, ticket),
                    Request::Read(request) => self.read(request),
                    Request::Release => self.release(),
                    Request::Stop => return self.sync(),
                }
            }
            self.sync_beside();
        }
    }

    /// The next request; a timeout when there is something to look after before one comes.
    fn next(&self, requests: &Receiver<Request>) -> Result<Request, RecvTimeoutError> {
        match self.unsynced_since {
            _ if self.log.is_syncing() => requests.recv_timeout(SYNC_LOOK_EVERY),
            Some(since) => requests.recv_timeout(EVERY_SEC.saturating_sub(since.elapsed())),
            None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// What of the log is not in a checkpoint, as far as one asked for it.
    fn behind_bytes(&self) -> u64 {
        let needed_from = self.pulse.needed_from();
        needed_from.map_or(0, |from| self.reader.bytes_after(Seq(from.0 - 1)))
    }

    fn group_bytes(&self, behind_bytes: u64) -> usize {
        let of_room = if self.room.is_tight() {
            TIGHT_GROUP_BYTES
        } else {
            GROUP_BYTES
        };
        slow_down::group_bytes(behind_bytes, self.behind_max_bytes).unwrap_or(of_room)
    }

    /// Slows down when the checkpoint is far behind, or further than the disk has room for.
    fn wait_for_checkpoint(&mut self, group: &[Batch], behind_bytes: u64) {
        let is_tight = self.room.is_tight() && behind_bytes > self.room_bytes / TIGHT_BEHIND;
        let entries = group.iter().map(|batch| batch.header().count).sum();
        let mut wait = slow_down::for_checkpoint(entries, behind_bytes, self.behind_max_bytes);
        if is_tight {
            wait = wait.max(slow_down::for_room(group_bytes(group) as u64));
        }
        if self.failed || wait.is_zero() {
            return;
        }
        if self.pulse.slows_down() {
            tracing::warn!(
                behind_bytes,
                disk_room_is_short = is_tight,
                "the checkpoint is far behind the log; writes are slowed down"
            );
        }
        thread::sleep(wait);
    }

    fn append(&mut self, group: &[Batch]) {
        if self.failed {
            return;
        }
        let bytes = group_bytes(group);
        self.pulse.begins(bytes);
        let appended = match self.fsync {
            FsyncMode::Always => self.log.append(group),
            FsyncMode::EverySec => {
                self.unsynced_since.get_or_insert_with(Instant::now);
                self.unsynced_bytes += bytes;
                self.log.append_unsynced(group)
            }
        };
        match appended {
            Ok(()) => {
                self.pulse.ends(self.log.flushed().0);
                let through = self.log.last().seq;
                (self.on_event)(LogEvent::Flushed { through });
                self.look_at_room(bytes);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Lets the head go when room has become short since a checkpoint was taken.
    fn look_at_room(&mut self, written: usize) {
        self.unlooked_bytes += written;
        if self.unlooked_bytes >= LOOK_EVERY_BYTES || self.room.is_tight() {
            self.find_room();
            if self.room.is_short() {
                self.let_head_go();
            }
        }
    }

    fn find_room(&mut self) {
        self.unlooked_bytes = 0;
        self.room = if self.pulse.is_disk_full() {
            Room::new(Some(0), self.room_bytes)
        } else {
            self.reader.room(self.room_bytes)
        };
    }

    /// With `everysec`: ends the flush that is over, and begins the next one when it is due.
    fn sync_beside(&mut self) {
        if self.failed {
            return;
        }
        if let Err(error) = self.log.end_sync() {
            return self.fail(&error);
        }
        if self.log.is_syncing() {
            return;
        }
        // It may also have been ended by a write that waited for it.
        self.pulse.sync_ends(self.log.flushed().0);
        let aged = self
            .unsynced_since
            .is_some_and(|since| since.elapsed() >= EVERY_SEC);
        if aged || self.unsynced_bytes >= UNSYNCED_MAX_BYTES {
            self.unsynced_since = None;
            self.unsynced_bytes = 0;
            self.pulse.sync_begins();
            if let Err(error) = self.log.begin_sync() {
                self.fail(&error);
            }
        }
    }

    fn sync(&mut self) {
        self.unsynced_since = None;
        self.unsynced_bytes = 0;
        if self.failed || self.log.flushed() == self.log.last().seq {
            return;
        }
        self.pulse.begins(0);
        match self.log.sync() {
            Ok(()) => self.pulse.ends(self.log.flushed().0),
            Err(error) => self.fail(&error),
        }
    }

    fn cut(&mut self, after: Seq, ticket: Ticket) {
        if self.failed {
            return;
        }
        self.pulse.begins(0);
        match self.log.cut_after(after) {
            Ok(()) => {
                self.pulse.ends(self.log.flushed().0);
                (self.on_event)(LogEvent::Cut { ticket });
            }
            Err(error) => self.fail(&error),
        }
    }

    fn read(&mut self, request: LogReadRequest) {
        let batches = match self.reader.read_from(request.from, request.max_bytes) {
            Ok(batches) => batches,
            Err(LogReadError::Gone { .. } | LogReadError::Beyond { .. }) => Vec::new(),
            Err(error) => {
                tracing::error!(%error, "a follower cannot be served from the log");
                Vec::new()
            }
        };
        (self.on_event)(LogEvent::Read { request, batches });
    }

    fn release(&mut self) {
        if self.failed {
            return;
        }
        self.pulse.may_go_on();
        self.find_room();
        self.let_head_go();
    }

    /// Drops what nobody needs of the log's head, beyond the retention or what the room allows of it.
    fn let_head_go(&mut self) {
        let Some(below) = self.pulse.needed_from() else {
            return;
        };
        let released = self.trim_spares().and_then(|()| {
            let before = self.log.first_seq();
            let held_bytes = self.log.total_bytes();
            let retention_bytes = self.room.retention_bytes(held_bytes, self.retention_bytes);
            let log_from = self.log.release_below(below, retention_bytes)?;
            Ok((log_from != before).then_some(log_from))
        });
        match released {
            Ok(Some(log_from)) => (self.on_event)(LogEvent::Released { log_from }),
            // It waits for a copy to take its place.
            Ok(None) | Err(LogError::Damaged(_)) => {}
            Err(error) if self.failed => tracing::warn!(%error, "the log's head is not let go"),
            Err(error) => self.fail(&error),
        }
    }

    fn trim_spares(&mut self) -> Result<(), LogError> {
        let at_most = if self.room.is_short() {
            SPARES_SHORT
        } else {
            SPARES_MAX
        };
        if self.log.keep_spares(at_most)? {
            self.find_room();
        }
        Ok(())
    }

    fn fail(&mut self, error: &LogError) {
        self.failed = true;
        self.pulse.fails();
        tracing::error!(%error, "the log takes nothing more");
        let failure = error.failure();
        if failure.trouble == DiskTrouble::Full {
            // The next start needs room.
            self.pulse.disk_is_full();
            self.find_room();
            self.let_head_go();
        }
        (self.on_event)(LogEvent::Failed(failure));
    }
}

/// The appends that wait one behind the other, for one write and one flush.
fn gather(first: Batch, waiting: &mut VecDeque<Request>, bytes_max: usize) -> Vec<Batch> {
    let mut bytes = first.bytes().len();
    let mut group = vec![first];
    while bytes < bytes_max {
        match waiting.pop_front() {
            Some(Request::Append(batch)) => {
                bytes += batch.bytes().len();
                group.push(batch);
            }
            Some(other) => {
                waiting.push_front(other);
                break;
            }
            None => break,
        }
    }
    group
}

fn group_bytes(group: &[Batch]) -> usize {
    group.iter().map(|batch| batch.bytes().len()).sum()
}
