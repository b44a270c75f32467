use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::history::{BaseId, History};
use kv_common::id::{Epoch, Position, Seq};
use kv_store::{Fault, MemoryStore};

use super::{CheckpointEvent, CheckpointThread};
use crate::checkpoint::Checkpoint;
use crate::log::Log;
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
        let options = StorageOptions::default();
        let log = Log::create(dir, BaseId::default(), Position::ZERO, 1 << 20).expect("creates");
        let (sender, log_events) = channel();
        let log = LogThread::spawn(log, &options, move |event| drop(sender.send(event)));
        let log = log.expect("starts");
        let map = MemoryStore::new();
        let store = Box::new(map.reopened());
        let checkpoint = Checkpoint::create(store, History::default()).expect("creates");
        let (sender, events) = channel();
        let on_event = move |event| drop(sender.send(event));
        let checkpoint = CheckpointThread::spawn(checkpoint, log.handle(), &options, on_event);
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
