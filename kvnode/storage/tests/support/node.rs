//! A node's storage with its threads, as a shell runs it, beside a model of its state.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use kv_common::batch::Batch;
use kv_common::entry::EntryBody;
use kv_common::id::{Epoch, Position, Seq};
use kvnode_core::state::State;
use kvnode_storage::{
    CheckpointEvent, CheckpointHandle, CheckpointThread, DataDir, DataSet, LogEvent, LogThread,
    Past, StorageOptions, open_data_set,
};

use super::wait_until;

/// The threads on one data set, and what they should hold.
pub(crate) struct Node {
    pub(crate) dir: DataDir,
    pub(crate) options: StorageOptions,
    pub(crate) log: LogThread,
    pub(crate) checkpoint: CheckpointThread,
    log_events: Receiver<LogEvent>,
    pub(crate) events: Receiver<CheckpointEvent>,
    pub(crate) model: State,
    /// Whether the checkpoint thread hears of what is applied.
    pub(crate) tells_checkpoint: bool,
    last: Position,
}

impl Node {
    pub(crate) fn open(path: &Path, options: &StorageOptions) -> Self {
        let dir = DataDir::open(path).expect("opens");
        let data_set = open_data_set(&dir, options, true, Past::NEW).expect("recovers");
        Self::over(dir, options, data_set)
    }

    pub(crate) fn over(dir: DataDir, options: &StorageOptions, data_set: DataSet) -> Self {
        assert_eq!(data_set.recovered.unfit, None);
        let last = data_set.recovered.history.last();
        let mut model = data_set.recovered.state;
        for batch in &data_set.recovered.tail {
            apply(&mut model, batch);
        }
        let (sender, log_events) = channel();
        let log = LogThread::spawn(data_set.log, options, move |event| {
            // A test that has seen enough no longer listens.
            let _ = sender.send(event);
        });
        let log = log.expect("starts");
        let (sender, events) = channel();
        let on_event = move |event| {
            let _ = sender.send(event);
        };
        let checkpoint =
            CheckpointThread::spawn(data_set.checkpoint, log.handle(), options, on_event);
        Self {
            dir,
            options: options.clone(),
            log,
            checkpoint: checkpoint.expect("starts"),
            log_events,
            events,
            model,
            tells_checkpoint: true,
            last,
        }
    }

    pub(crate) fn handle(&self) -> CheckpointHandle {
        self.checkpoint.handle()
    }

    /// Writes one batch, durably, and applies it.
    pub(crate) fn write(&mut self, epoch: u64, bodies: &[EntryBody]) {
        let first = self.last.seq.next();
        let batch = super::batch_of(epoch, first.0, self.last.seq.0, bodies);
        self.last = Position {
            epoch: Epoch(epoch),
            seq: batch.last(),
        };
        self.log.handle().append(batch.clone()).expect("is taken");
        let through = self.last.seq;
        wait_until("the batch is flushed", || {
            let pulse = self.log.handle();
            pulse.pulse().durable_seq() >= through.0
        });
        apply(&mut self.model, &batch);
        if self.tells_checkpoint {
            self.handle().applied(through);
        }
    }

    pub(crate) fn last(&self) -> Seq {
        self.last.seq
    }

    /// The next event that `choose` wants.
    pub(crate) fn wait_for<T>(&self, mut choose: impl FnMut(CheckpointEvent) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(super::DEADLINE).expect("an event");
            assert!(!matches!(event, CheckpointEvent::Failed(_)), "{event:?}");
            if let Some(chosen) = choose(event) {
                return chosen;
            }
        }
    }

    /// Writes `db.txt` at the present position, and returns its content.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let path = self.db_txt();
        self.handle()
            .dump(1, self.last.seq, path.clone())
            .expect("is taken");
        let summary = self.wait_for(|event| match event {
            CheckpointEvent::Dumped { outcome, .. } => Some(outcome.expect("dumps")),
            _ => None,
        });
        assert_eq!(summary.at, self.last);
        let content = std::fs::read(path).expect("reads");
        assert_eq!(summary.bytes, content.len() as u64);
        content
    }

    pub(crate) fn db_txt(&self) -> PathBuf {
        self.dir.path().join("db.txt")
    }

    /// Ends everything in order, and hands the model out.
    pub(crate) fn stop(self, dump_to: Option<PathBuf>) -> State {
        self.log.stop().expect("ends");
        let dumped = self.checkpoint.stop(dump_to).expect("ends");
        if let Some(outcome) = dumped {
            outcome.expect("dumps");
        }
        assert!(
            !self
                .log_events
                .iter()
                .any(|event| matches!(event, LogEvent::Failed(_)))
        );
        self.model
    }
}

/// Applies what a state does not have yet.
pub(crate) fn apply(state: &mut State, batch: &Batch) {
    for entry in batch.entries().expect("decodes") {
        if entry.position.seq > state.applied().seq {
            state.apply(&entry);
        }
    }
}

/// Asserts that two states hold the same.
pub(crate) fn assert_same(ours: &State, theirs: &State) {
    assert_eq!(ours.applied(), theirs.applied());
    assert_eq!(ours.keys(), theirs.keys());
    assert_eq!(ours.digest(), theirs.digest());
    assert_eq!(ours.expiry_clock(), theirs.expiry_clock());
    assert_eq!(sessions(ours), sessions(theirs));
}

fn sessions(state: &State) -> Vec<Option<Bytes>> {
    let sessions = state.sessions();
    sessions.ids().map(|id| sessions.encode(id)).collect()
}
