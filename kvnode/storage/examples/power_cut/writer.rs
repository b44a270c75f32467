//! The process that is killed: a node's storage with its threads, as the daemon runs it.
//!
//! Each line that it prints is a promise: `opened`, `ack SEQ`, `sealed EPOCH`, `dumped SEQ`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use clap::Args;
use kv_common::id::{Epoch, NodeId, Seq};
use kvnode_core::input::Ticket;
use kvnode_core::promise::Promises;
use kvnode_storage::{
    CheckpointEvent, CheckpointHandle, CheckpointThread, DataDir, LogEvent, LogHandle, LogThread,
    Meta, MetaEvent, MetaThread, Past, open_data_set,
};

use crate::Fsync;
use crate::workload::{batch, options};

/// Batches that were handed over and not yet acknowledged.
const UNDER_WAY_MAX: usize = 16;
/// A promise is stored, and a dump asked for, every so many batches.
const SEAL_EVERY_BATCHES: u64 = 50;
const DUMP_EVERY_BATCHES: u64 = 120;

/// What to write.
#[derive(Args, Clone, Debug)]
pub(crate) struct Order {
    /// The data directory
    pub(crate) data_dir: PathBuf,
    /// What the workload follows from
    #[arg(long)]
    pub(crate) seed: u64,
    /// The epoch to write in
    #[arg(long)]
    pub(crate) epoch: u64,
    /// The longest value
    #[arg(long)]
    pub(crate) value_bytes_max: u64,
    /// When an entry is acknowledged
    #[arg(long, value_enum)]
    pub(crate) fsync: Fsync,
}

enum Event {
    Log(LogEvent),
    Checkpoint(CheckpointEvent),
    Meta(MetaEvent),
}

struct Writer<'order> {
    order: &'order Order,
    log: LogHandle,
    checkpoint: CheckpointHandle,
    meta: MetaThread,
    promises: Promises,
    next: Seq,
    /// The last entries of the batches that are not acknowledged yet.
    under_way: Vec<Seq>,
    acknowledged: Seq,
    batches: u64,
    sealing: bool,
    dumping: bool,
}

/// Writes until the process is killed.
pub(crate) fn write(order: &Order) {
    let options = options(order.fsync.into());
    let dir = DataDir::open(&order.data_dir).expect("the data directory opens");
    let (meta, _) = Meta::open(&dir, NodeId(1)).expect("the meta records open");
    let data_set = open_data_set(&dir, &options, true, Past::NEW).expect("the data opens");
    say("opened");
    let promises = meta.record().promises.clone();
    let last = data_set.recovered.history.last().seq;
    if order.fsync == Fsync::Always {
        // A node tells others that it holds what its log has, as soon as it is open.
        say(&format!("ack {last}"));
    }
    let (events, inbox) = channel();
    let to = events.clone();
    let log = LogThread::spawn(data_set.log, &options, move |event| {
        to.send(Event::Log(event)).expect("is heard");
    });
    let log = log.expect("starts").handle();
    let to = events.clone();
    let on_event = move |event| to.send(Event::Checkpoint(event)).expect("is heard");
    let checkpoint = CheckpointThread::spawn(data_set.checkpoint, log.clone(), &options, on_event);
    let meta = MetaThread::spawn(meta, move |event| {
        events.send(Event::Meta(event)).expect("is heard");
    });
    let checkpoint = checkpoint.expect("starts").handle();
    checkpoint.applied(last);
    let writer = Writer {
        order,
        log,
        checkpoint,
        meta: meta.expect("starts"),
        promises,
        next: last.next(),
        under_way: Vec::new(),
        acknowledged: last,
        batches: 0,
        sealing: false,
        dumping: false,
    };
    writer.run(&inbox);
}

impl Writer<'_> {
    fn run(mut self, inbox: &Receiver<Event>) {
        loop {
            while self.under_way.len() < UNDER_WAY_MAX {
                self.append();
            }
            match inbox.recv().expect("the threads live") {
                Event::Log(event) => self.logged(event),
                Event::Checkpoint(event) => self.checkpointed(event),
                Event::Meta(MetaEvent::Stored { .. }) => {
                    self.sealing = false;
                    say(&format!("sealed {}", self.promises.seal));
                }
                Event::Meta(event) => panic!("{event:?}"),
            }
        }
    }

    fn append(&mut self) {
        let order = self.order;
        let batch = batch(
            order.seed,
            Epoch(order.epoch),
            self.next,
            order.value_bytes_max,
        );
        self.under_way.push(batch.last());
        self.next = batch.last().next();
        self.log.append(batch).expect("is taken");
        self.batches += 1;
        if self.batches.is_multiple_of(SEAL_EVERY_BATCHES) && !self.sealing {
            self.sealing = true;
            self.promises.seal = self.promises.seal.next();
            let promises = self.promises.clone();
            self.meta
                .store_promises(promises, Ticket(self.batches))
                .expect("is taken");
        }
        if self.batches.is_multiple_of(DUMP_EVERY_BATCHES) && !self.dumping {
            self.dumping = true;
            let path = self.order.data_dir.join("db.txt");
            self.checkpoint
                .dump(0, self.acknowledged, path)
                .expect("is taken");
        }
    }

    fn logged(&mut self, event: LogEvent) {
        match event {
            LogEvent::Flushed { through } => {
                say(&format!("ack {through}"));
                self.acknowledged = through;
                self.under_way.retain(|last| *last > through);
                self.checkpoint.applied(through);
            }
            LogEvent::Released { .. } => {}
            event => panic!("{event:?}"),
        }
    }

    fn checkpointed(&mut self, event: CheckpointEvent) {
        match event {
            CheckpointEvent::Checkpointed { .. } => {}
            CheckpointEvent::Dumped { outcome, .. } => {
                self.dumping = false;
                say(&format!("dumped {}", outcome.expect("dumps").at.seq));
            }
            event => panic!("{event:?}"),
        }
    }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("is read");
}
