use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::history::{BaseId, History};
use kv_common::id::{Epoch, Position, Seq};
use kv_common::message::copy::PrimaryToJoiner;
use kv_store::{Fault, MemoryStore};

use super::{CheckpointEvent, CheckpointThread};
use crate::checkpoint::Checkpoint;
use crate::log::Log;
use crate::log_disk::LogDisk;
use crate::log_disk::faulty::FaultyDisk;
use crate::log_thread::{LogEvent, LogThread};
use crate::options::StorageOptions;

const DEADLINE: Duration = Duration::from_secs(30);
const DUMP: u64 = 7;

fn batch(seq: u64) -> Batch {
    let mut builder = BatchBuilder::new(Epoch(1), Seq(seq));
    builder.push(&EntryBody::Changes {
        request: None,
        changes: vec![Change::Put {
            key: Bytes::from(format!("key-{seq}")),
            value: Bytes::from_static(b"v"),
            expires_at: None,
        }],
    });
    builder.close(Seq(seq - 1))
}

/// Both threads, the checkpoint over a store that does as it is told.
struct Threads {
    map: MemoryStore,
    log: LogThread,
    log_events: Receiver<LogEvent>,
    checkpoint: CheckpointThread,
    events: Receiver<CheckpointEvent>,
}

impl Threads {
    fn start(dir: &Path) -> Self {
        Self::start_on(LogDisk::default(), dir, &StorageOptions::default())
    }

    fn start_on(disk: LogDisk, dir: &Path, options: &StorageOptions) -> Self {
        let (base, after) = (BaseId::default(), Position::ZERO);
        let log = Log::create_on(disk, dir, base, after, options.segment_bytes).expect("creates");
        let map = MemoryStore::new();
        let store = Box::new(map.reopened());
        let checkpoint = Checkpoint::create(store, History::default()).expect("creates");
        Self::over(log, checkpoint, map, options)
    }

    fn over(log: Log, checkpoint: Checkpoint, map: MemoryStore, options: &StorageOptions) -> Self {
        let (sender, log_events) = channel();
        let log = LogThread::spawn(log, options, move |event| drop(sender.send(event)));
        let log = log.expect("starts");
        let (sender, events) = channel();
        let on_event = move |event| drop(sender.send(event));
        let checkpoint = CheckpointThread::spawn(checkpoint, log.handle(), options, on_event);
        Self {
            map,
            log,
            log_events,
            checkpoint: checkpoint.expect("starts"),
            events,
        }
    }

    /// Appends an entry that is committed at once, and waits until the log has it.
    fn write(&self, seq: u64) {
        self.log.handle().append(batch(seq)).expect("is taken");
        loop {
            let event = self.log_events.recv_timeout(DEADLINE).expect("an event");
            if matches!(event, LogEvent::Flushed { through } if through == Seq(seq)) {
                break;
            }
        }
        self.checkpoint.handle().applied(Seq(seq));
    }

    /// Waits until the log let its head go.
    fn wait_released(&self) {
        loop {
            let event = self.log_events.recv_timeout(DEADLINE).expect("an event");
            if matches!(event, LogEvent::Released { .. }) {
                break;
            }
        }
    }

    fn ask_dump(&self, dir: &Path, at: u64) {
        let taken = self
            .checkpoint
            .handle()
            .dump(DUMP, Seq(at), dir.join("db.txt"));
        taken.expect("is taken");
    }

    fn next_event(&self) -> CheckpointEvent {
        self.events.recv_timeout(DEADLINE).expect("an event")
    }

    fn stop(self) {
        self.log.stop().expect("ends");
        self.checkpoint.stop(None).expect("ends");
    }
}

#[test]
fn a_checkpoint_that_fails_says_so_once_and_the_log_goes_on_and_keeps_everything() {
    let dir = tempfile::tempdir().expect("a folder");
    let threads = Threads::start(dir.path());
    threads.write(1);
    threads.map.fail_after(0, Fault::KeepAndFail);
    threads.ask_dump(dir.path(), 1);
    assert!(matches!(threads.next_event(), CheckpointEvent::Failed(_)));
    for _ in 0..2 {
        match threads.next_event() {
            CheckpointEvent::Dumped { token, outcome } => {
                assert!(token == DUMP && outcome.is_err(), "{outcome:?}");
            }
            other => panic!("{other:?}"),
        }
        threads.write(threads.log.handle().pulse().durable_seq() + 1);
        threads.ask_dump(dir.path(), 1);
    }
    assert!(!dir.path().join("db.txt").exists());
    let from_the_start = threads.log.handle().reader().read_from(Seq(1), 1 << 20);
    assert_eq!(from_the_start.expect("reads").len(), 3);
    threads.stop();
}

#[test]
fn a_checkpoint_that_stands_still_holds_the_log_up_in_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let threads = Threads::start(dir.path());
    threads.write(1);
    let stall = threads.map.stall();
    threads.ask_dump(dir.path(), 1);
    for seq in 2..=20 {
        threads.write(seq);
    }
    assert!(threads.events.try_recv().is_err(), "dumped in a stall");
    drop(stall);
    assert!(matches!(
        threads.next_event(),
        CheckpointEvent::Checkpointed { .. }
    ));
    match threads.next_event() {
        CheckpointEvent::Dumped { outcome, .. } => {
            assert!(outcome.expect("dumps").keys >= 1);
        }
        other => panic!("{other:?}"),
    }
    threads.stop();
}

/// On a disk without any room, with segments and a room for tests.
fn little_room() -> (Arc<FaultyDisk>, StorageOptions) {
    let faulty = Arc::new(FaultyDisk::default());
    faulty.leave(0);
    let options = StorageOptions {
        segment_bytes: 16 << 10,
        checkpoint_every_bytes: 64 << 10,
        disk_room_bytes: 1 << 20,
        ..StorageOptions::default()
    };
    (faulty, options)
}

#[test]
fn a_disk_with_little_room_gets_a_checkpoint_sooner() {
    let dir = tempfile::tempdir().expect("a folder");
    let (faulty, options) = little_room();
    let threads = Threads::start_on(faulty.disk(), dir.path(), &options);
    let mut seq = 0;
    while threads.log.handle().reader().bytes_after(Seq::ZERO) < (20 << 10) {
        seq += 1;
        threads.write(seq);
    }
    assert!(matches!(
        threads.next_event(),
        CheckpointEvent::Checkpointed { .. }
    ));
    threads.wait_released();
    threads.stop();
}

#[test]
fn a_checkpoint_that_fails_and_a_start_let_the_log_of_a_full_disk_go() {
    for at_start in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let (faulty, options) = little_room();
        let plenty = StorageOptions {
            disk_room_bytes: 0,
            checkpoint_every_bytes: 1 << 30,
            ..options.clone()
        };
        let threads = Threads::start_on(faulty.disk(), dir.path(), &plenty);
        for seq in 1..=400 {
            threads.write(seq);
        }
        threads.ask_dump(dir.path(), 400);
        for _ in 0..2 {
            threads.next_event();
        }
        let map = threads.map.reopened();
        threads.stop();
        let (log, _) = Log::open_on(faulty.disk(), dir.path(), options.segment_bytes, Seq::ZERO)
            .expect("opens");
        assert_eq!(log.first_seq(), Seq(1), "is retained");
        let checkpoint = Checkpoint::over(Box::new(map.reopened())).expect("opens");
        if at_start {
            Threads::over(log, checkpoint, map, &options).wait_released();
            continue;
        }
        // The system says that there is room: only a quota, say, is used up.
        faulty.leave(1 << 30);
        let threads = Threads::over(log, checkpoint, map, &options);
        threads.write(401);
        threads.map.fail_after(0, Fault::Full);
        threads.ask_dump(dir.path(), 401);
        assert!(matches!(threads.next_event(), CheckpointEvent::Failed(_)));
        threads.wait_released();
        threads.stop();
    }
}

#[test]
fn what_a_joiner_goes_on_from_is_kept_although_room_is_short() {
    let dir = tempfile::tempdir().expect("a folder");
    let (faulty, options) = little_room();
    // Short, and not tight.
    faulty.leave(options.disk_room_bytes * 3 / 4);
    let threads = Threads::start_on(faulty.disk(), dir.path(), &options);
    for seq in 1..=400 {
        threads.write(seq);
    }
    let handle = threads.checkpoint.handle();
    handle.begin_copy(1).expect("is taken");
    let mut parts = 0;
    let end = loop {
        let CheckpointEvent::CopyMessage { message, .. } = threads.next_event() else {
            continue;
        };
        if let PrimaryToJoiner::Ends { history } = message {
            break history.last().seq;
        }
        parts += 1;
        handle.copy_taken(1, parts).expect("is taken");
    };
    assert_eq!(end, Seq(400));
    for seq in 401..=900 {
        threads.write(seq);
    }
    threads.ask_dump(dir.path(), 900);
    while !matches!(threads.next_event(), CheckpointEvent::Dumped { .. }) {}
    // The order to let go stands in front of it in the log's queue.
    threads.write(901);
    let log = threads.log.handle();
    assert!(log.reader().first_seq() > Seq(1), "room was short");
    assert!(log.reader().read_from(end.next(), 1).is_ok());
    threads.stop();
}

#[test]
fn beside_a_log_that_it_does_not_cover_a_checkpoint_lets_nothing_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let (faulty, options) = little_room();
    let (base, after) = (BaseId::default(), Position::ZERO);
    let log = Log::create_on(
        faulty.disk(),
        dir.path(),
        base,
        after,
        options.segment_bytes,
    );
    let map = MemoryStore::new();
    let checkpoint = Checkpoint::create(Box::new(map.reopened()), History::default());
    let mut checkpoint = checkpoint.expect("creates");
    checkpoint.covers_no_log();
    let threads = Threads::over(log.expect("creates"), checkpoint, map, &options);
    for seq in 1..=400 {
        threads.write(seq);
    }
    threads.ask_dump(dir.path(), 400);
    while !matches!(threads.next_event(), CheckpointEvent::Dumped { .. }) {}
    threads.write(401);
    assert_eq!(threads.log.handle().reader().first_seq(), Seq(1));
    threads.stop();
}
