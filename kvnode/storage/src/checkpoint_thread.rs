//! The thread that owns the checkpoint: brings it up to the log, and serves dumps, exports and
//! copies from it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kv_common::id::{Position, Seq};
use kv_common::message::client::DumpSummary;
use kv_common::message::control::{DiskFailure, DiskTrouble};
use kv_common::message::copy::PrimaryToJoiner;
use kv_store::StoreError;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::copy_sources::CopySources;
use crate::dump::{self, DumpError, Export};
use crate::give_way::give_way;
use crate::log_thread::LogHandle;
use crate::options::StorageOptions;
use crate::pace::Pace;
use crate::queue::{QueueError, ThreadPanicked, offer};

/// More than all copies' windows together.
const QUEUE_REQUESTS: usize = 1024;
/// How often the growth of the log is looked at.
const IDLE_TURN: Duration = Duration::from_secs(1);
/// How often it is looked at while somebody waits for an entry to be applied.
const WAITING_TURN: Duration = Duration::from_millis(10);
/// A checkpoint rests no more when the log behind it is so many times what one is taken for: it would not keep up.
const BEHIND_AT_EASE: u64 = 3;
/// While the disk's room is short, a checkpoint is due when the log has grown by one part in so many of what one is
/// taken for else: the log cannot let go what is not in a checkpoint.
const SOONER_WHEN_SHORT: u64 = 8;
/// Nor does it rest when the disk has less room than this: the log lets its head go when a checkpoint was taken.
const ROOM_AT_EASE_BYTES: u64 = 1 << 30;
/// What a checkpoint may take without a word about it.
const SPACE_SAID_FIRST_BYTES: u64 = 128 << 20;

/// What the checkpoint thread did.
#[derive(Debug)]
pub enum CheckpointEvent {
    /// The checkpoint is durable up to here.
    Checkpointed {
        /// The last entry in it.
        applied: Position,
    },
    /// A dump ended.
    Dumped {
        /// The request.
        token: u64,
        /// What became of it.
        outcome: Result<DumpSummary, DumpError>,
    },
    /// An export ended.
    Exported {
        /// The request.
        token: u64,
        /// What became of it.
        outcome: Result<Export, DumpError>,
    },
    /// Send this to the joiner that fetches the copy, in order.
    CopyMessage {
        /// The copy.
        copy: u64,
        /// What.
        message: PrimaryToJoiner,
    },
    /// The disk failed: the checkpoint stays behind, and the log with it.
    Failed(DiskFailure),
}

enum Request {
    Dump(DumpRequest),
    BeginCopy { copy: u64 },
    CopyTaken { copy: u64, parts: u64 },
    EndCopy { copy: u64 },
    Stop { dump_to: Option<PathBuf> },
}

struct DumpRequest {
    token: u64,
    at: Seq,
    path: PathBuf,
    export: bool,
}

/// The running thread.
#[derive(Debug)]
pub struct CheckpointThread {
    handle: CheckpointHandle,
    thread: JoinHandle<Option<Result<DumpSummary, DumpError>>>,
}

/// Hands work to the checkpoint thread.
#[derive(Clone, Debug)]
pub struct CheckpointHandle {
    queue: SyncSender<Request>,
    /// How many requests the thread has not taken yet.
    asked: Arc<AtomicUsize>,
    applied: Arc<AtomicU64>,
}

impl CheckpointThread {
    /// Starts the thread. `on_event` is called on it and must not wait.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn spawn(
        checkpoint: Checkpoint,
        log: LogHandle,
        options: &StorageOptions,
        on_event: impl FnMut(CheckpointEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, requests) = sync_channel(QUEUE_REQUESTS);
        let applied = Arc::new(AtomicU64::new(checkpoint.applied().seq.0));
        let asked = Arc::new(AtomicUsize::new(0));
        let handle = CheckpointHandle {
            queue,
            asked: Arc::clone(&asked),
            applied: Arc::clone(&applied),
        };
        let worker = Worker {
            checkpoint,
            log,
            asked,
            applied,
            every_bytes: options.checkpoint_every_bytes,
            retention_bytes: options.retention_bytes,
            room_bytes: options.disk_room_bytes,
            every: options.checkpoint_every,
            last_checkpoint: Instant::now(),
            dumps: VecDeque::new(),
            copies: CopySources::default(),
            failed: None,
            space_said_bytes: SPACE_SAID_FIRST_BYTES,
            on_event,
        };
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || worker.run(&requests))?;
        Ok(Self { handle, thread })
    }

    /// Hands work to the thread.
    #[must_use]
    pub fn handle(&self) -> CheckpointHandle {
        self.handle.clone()
    }

    /// Takes a last checkpoint, writes `dump_to` from it if it is given, and ends the thread. The
    /// log thread is to be stopped before.
    ///
    /// # Errors
    /// When the thread panicked. Inside: when the dump came to nothing.
    pub fn stop(
        self,
        dump_to: Option<PathBuf>,
    ) -> Result<Option<Result<DumpSummary, DumpError>>, ThreadPanicked> {
        self.handle.asked.fetch_add(1, Ordering::Relaxed);
        // Waits for room in the queue; an error means that the thread has ended already.
        let _ = self.handle.queue.send(Request::Stop { dump_to });
        self.thread.join().map_err(|_| ThreadPanicked)
    }
}

impl CheckpointHandle {
    /// The table holds everything up to here. Costs one atomic store.
    pub fn applied(&self, seq: Seq) {
        self.applied.store(seq.0, Ordering::Release);
    }

    /// Writes `path` from the state at the entry `at` or a later one →
    /// [`CheckpointEvent::Dumped`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn dump(&self, token: u64, at: Seq, path: PathBuf) -> Result<(), QueueError> {
        let export = false;
        let request = DumpRequest {
            token,
            at,
            path,
            export,
        };
        self.ask(Request::Dump(request))
    }

    /// Writes the same into a file without a name, on the file system of `near` →
    /// [`CheckpointEvent::Exported`].
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn export(&self, token: u64, at: Seq, near: PathBuf) -> Result<(), QueueError> {
        let request = DumpRequest {
            token,
            at,
            path: near,
            export: true,
        };
        self.ask(Request::Dump(request))
    }

    /// Begins a copy for a joiner → [`CheckpointEvent::CopyMessage`]s, the last of which is
    /// `Ends` or `Refused`. `copy` is a number that was not used before.
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn begin_copy(&self, copy: u64) -> Result<(), QueueError> {
        self.ask(Request::BeginCopy { copy })
    }

    /// The joiner took so many parts since the copy began.
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn copy_taken(&self, copy: u64, parts: u64) -> Result<(), QueueError> {
        self.ask(Request::CopyTaken { copy, parts })
    }

    /// The joiner is gone, or done.
    ///
    /// # Errors
    /// When the thread does not take it.
    pub fn end_copy(&self, copy: u64) -> Result<(), QueueError> {
        self.ask(Request::EndCopy { copy })
    }

    fn ask(&self, request: Request) -> Result<(), QueueError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let taken = offer(&self.queue, request);
        if taken.is_err() {
            self.asked.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }
}

struct Worker<F> {
    checkpoint: Checkpoint,
    log: LogHandle,
    asked: Arc<AtomicUsize>,
    applied: Arc<AtomicU64>,
    every_bytes: u64,
    retention_bytes: u64,
    room_bytes: u64,
    every: Duration,
    last_checkpoint: Instant,
    /// Dumps and exports that wait for their entry to be applied.
    dumps: VecDeque<DumpRequest>,
    copies: CopySources,
    failed: Option<String>,
    /// What the checkpoint took on the disk when that was said last.
    space_said_bytes: u64,
    on_event: F,
}

impl<F: FnMut(CheckpointEvent)> Worker<F> {
    fn run(mut self, requests: &Receiver<Request>) -> Option<Result<DumpSummary, DumpError>> {
        give_way();
        // An opened checkpoint is on the disk, so its log may go, and a full disk may need that.
        self.release_log();
        let mut made_way = false;
        loop {
            let request = if made_way {
                requests.try_recv().ok()
            } else {
                match requests.recv_timeout(self.turn()) {
                    Ok(request) => Some(request),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => Some(Request::Stop { dump_to: None }),
                }
            };
            if request.is_some() {
                self.asked.fetch_sub(1, Ordering::Relaxed);
            }
            match request {
                Some(Request::Stop { dump_to }) => return self.finish(dump_to),
                Some(request) => {
                    self.take(request);
                    made_way = true;
                }
                None => made_way = false,
            }
            self.checkpoint_if_due();
            self.serve_dumps();
            made_way |= self.serve_copies();
        }
    }

    fn turn(&self) -> Duration {
        let somebody_waits = !self.dumps.is_empty() || !self.copies.is_empty();
        if somebody_waits {
            WAITING_TURN
        } else {
            IDLE_TURN
        }
    }

    /// How far the checkpoint may be brought: what is applied, and durable in the log.
    fn target(&self) -> Seq {
        let durable = self.log.pulse().durable_seq();
        Seq(self.applied.load(Ordering::Acquire).min(durable))
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Dump(request) => self.dumps.push_back(request),
            Request::BeginCopy { copy } => {
                self.copies.begin(copy, &self.checkpoint);
            }
            Request::CopyTaken { copy, parts } => self.copies.taken(copy, parts),
            Request::EndCopy { copy } => self.copies.end(copy),
            Request::Stop { .. } => {}
        }
    }

    fn checkpoint_if_due(&mut self) {
        let applied = self.checkpoint.applied().seq;
        let log = self.log.reader();
        let grown_bytes = log.bytes_after(applied);
        let grown = grown_bytes >= self.every_bytes
            || (grown_bytes >= self.every_bytes / SOONER_WHEN_SHORT
                && log.room(self.room_bytes).is_short());
        let aged = self.last_checkpoint.elapsed() >= self.every;
        if self.failed.is_none() && self.target() > applied && (grown || aged) {
            // A failure is reported and remembered there.
            let _ = self.advance_at_ease();
        }
    }

    /// Brings the checkpoint on, with rests as long as nobody waits and the log does not grow faster.
    fn advance_at_ease(&mut self) -> Result<(), CheckpointError> {
        let nobody_waits = self.dumps.is_empty() && self.copies.is_empty();
        let asked = Arc::clone(&self.asked);
        let log = self.log.reader().clone();
        let applied = self.checkpoint.applied().seq;
        let behind_max_bytes = self.every_bytes.saturating_mul(BEHIND_AT_EASE);
        self.advance(Pace::Resting(&|| {
            nobody_waits
                && asked.load(Ordering::Relaxed) == 0
                && log.bytes_after(applied) <= behind_max_bytes
                && !log.room(ROOM_AT_EASE_BYTES).is_short()
        }))
    }

    /// Brings the checkpoint as far as it can be brought, and lets the log's head go.
    fn advance(&mut self, pace: Pace<'_>) -> Result<(), CheckpointError> {
        if let Some(cause) = &self.failed {
            let cause = cause.clone();
            return Err(StoreError::Failed { cause }.into());
        }
        self.last_checkpoint = Instant::now();
        let target = self.target();
        if target > self.checkpoint.applied().seq {
            tracing::debug!("a checkpoint begins");
            match self.checkpoint.advance(self.log.reader(), target, pace) {
                Ok(entries) => {
                    let elapsed_ms = self.last_checkpoint.elapsed().as_millis();
                    tracing::debug!(entries, elapsed_ms, "took a checkpoint");
                    self.watch_space();
                }
                Err(error) => {
                    self.fail(&error);
                    return Err(error);
                }
            }
            let applied = self.checkpoint.applied();
            (self.on_event)(CheckpointEvent::Checkpointed { applied });
        }
        self.release_log();
        Ok(())
    }

    /// sled frees space late. What it takes is said each time that it has doubled.
    fn watch_space(&mut self) {
        // Only a reading: whatever is wrong shows at the next write.
        let disk_bytes = self.checkpoint.disk_bytes().unwrap_or_default();
        if disk_bytes >= self.space_said_bytes * 2 {
            self.space_said_bytes = disk_bytes;
            tracing::info!(disk_bytes, "the checkpoint has grown");
        }
    }

    /// Lets the head of the log go as far as nobody needs it.
    fn release_log(&mut self) {
        if !self.checkpoint.covers_log() {
            return;
        }
        let applied = self.checkpoint.applied().seq;
        let needed_from = match self.copies.log_needed_from() {
            Some(by_copies) => by_copies.min(applied.next()),
            None => applied.next(),
        };
        let log = self.log.reader();
        // What the log retains for a while anyway, where it has the room.
        let wanted_from = self.copies.log_wanted_from().filter(|from| {
            log.bytes_after(Seq(from.0 - 1)) <= self.retention_bytes
                && !log.room(self.room_bytes).is_tight()
        });
        let below = wanted_from.map_or(needed_from, |from| from.min(needed_from));
        // A full queue: the next checkpoint asks again.
        let _ = self.log.release_below(below);
    }

    fn fail(&mut self, error: &CheckpointError) {
        tracing::error!(%error, "no checkpoint can be taken any more");
        self.failed = Some(error.to_string());
        let failure = error.failure();
        if failure.trouble == DiskTrouble::Full {
            // The log lets go what it only retains: the next start needs room.
            self.log.pulse().disk_is_full();
            self.release_log();
        }
        (self.on_event)(CheckpointEvent::Failed(failure));
    }

    fn serve_dumps(&mut self) {
        for _ in 0..self.dumps.len() {
            let Some(request) = self.dumps.pop_front() else {
                return;
            };
            let reachable = request.at <= self.target();
            if !reachable && self.failed.is_none() && !self.log.pulse().failed() {
                self.dumps.push_back(request);
            } else if request.export {
                let outcome = self
                    .bring_to(request.at)
                    .and_then(|()| dump::export(&self.checkpoint, &request.path));
                let token = request.token;
                (self.on_event)(CheckpointEvent::Exported { token, outcome });
            } else {
                let outcome = self
                    .bring_to(request.at)
                    .and_then(|()| self.dump(&request.path));
                let token = request.token;
                (self.on_event)(CheckpointEvent::Dumped { token, outcome });
            }
        }
    }

    fn dump(&self, path: &Path) -> Result<DumpSummary, DumpError> {
        tracing::debug!("a dump begins");
        let dumped = dump::dump(&self.checkpoint, path);
        tracing::debug!("a dump ends");
        dumped
    }

    fn bring_to(&mut self, at: Seq) -> Result<(), DumpError> {
        self.advance(Pace::AtOnce)?;
        let applied = self.checkpoint.applied().seq;
        if applied < at {
            return Err(DumpError::NotApplied {
                asked: at.0,
                applied: applied.0,
            });
        }
        Ok(())
    }

    /// Gives each copy one step. Says whether any of them made way.
    fn serve_copies(&mut self) -> bool {
        let (target, on_event) = (self.target(), &mut self.on_event);
        self.copies.step(
            &mut self.checkpoint,
            self.log.reader(),
            target,
            |copy, message| {
                on_event(CheckpointEvent::CopyMessage { copy, message });
            },
        )
    }

    /// The last checkpoint, and the last dump.
    fn finish(mut self, dump_to: Option<PathBuf>) -> Option<Result<DumpSummary, DumpError>> {
        let advanced = self.advance(Pace::AtOnce);
        let path = dump_to?;
        Some(match advanced {
            Ok(()) => dump::dump(&self.checkpoint, &path),
            Err(error) => Err(error.into()),
        })
    }
}

#[cfg(test)]
mod tests;
