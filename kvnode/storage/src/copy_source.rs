//! Giving a joiner a full copy: the records of the checkpoint while it moves on, then the log from
//! where the checkpoint stood at the start to where it stands at the end.

use std::collections::VecDeque;

use bytes::Bytes;
use kv_common::batch::Batch;
use kv_common::history::History;
use kv_common::id::Seq;
use kv_common::message::copy::PrimaryToJoiner;
use kv_store::{Record, ScanLimit};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::checkpoint_record::{CLOCK_KEY, DATA_PREFIX, SESSION_PREFIX};
use crate::log_reader::LogReader;
use crate::pace::Pace;

/// Parts that may be under way to the joiner before it has said that it took the first of them.
pub const COPY_WINDOW_PARTS: u64 = 16;
/// Bytes that may be under way, but for a single larger part.
const WINDOW_BYTES: usize = 8 << 20;
/// One part of records.
const PART: ScanLimit = ScanLimit {
    records: 4096,
    bytes: 512 << 10,
};
/// What is read from the log at once.
const READ_BYTES: usize = 1 << 20;
/// What is copied, in this order.
const PREFIXES: [&[u8]; 3] = [CLOCK_KEY, DATA_PREFIX, SESSION_PREFIX];

/// One copy that is being given.
#[derive(Debug)]
pub(crate) struct CopySource {
    /// The checkpoint's place when the copy began. The log is needed from behind it.
    from: Seq,
    stage: Stage,
    sent: u64,
    taken: u64,
    /// The lengths of the parts under way.
    under_way: VecDeque<usize>,
}

#[derive(Debug)]
enum Stage {
    Begin,
    Records {
        prefix: usize,
        after: Option<Bytes>,
    },
    /// All records are sent; the checkpoint is to be brought up to date.
    Settle,
    Batches {
        next: Seq,
        read: VecDeque<Batch>,
        end: History,
    },
    Done,
}

/// What a copy can do next.
#[derive(Debug)]
pub(crate) enum CopyStep {
    /// Send this.
    Send(PrimaryToJoiner),
    /// The copy made way without anything to send.
    Again,
    /// Nothing before something else happens.
    Wait,
}

impl CopySource {
    /// A copy from the checkpoint as it stands.
    pub(crate) fn new(checkpoint: &Checkpoint) -> Self {
        Self {
            from: checkpoint.applied().seq,
            stage: Stage::Begin,
            sent: 0,
            taken: 0,
            under_way: VecDeque::new(),
        }
    }

    /// The first entry of the log that the copy still needs; when all was sent, the one from which its joiner goes on.
    pub(crate) fn log_needed_from(&self) -> Seq {
        self.from.next()
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// The joiner took `parts` in all.
    pub(crate) fn taken(&mut self, parts: u64) {
        let parts = parts.min(self.sent);
        while self.taken < parts {
            self.under_way.pop_front();
            self.taken += 1;
        }
    }

    /// What comes next. `target` is how far the checkpoint can be brought.
    pub(crate) fn step(
        &mut self,
        checkpoint: &mut Checkpoint,
        log: &LogReader,
        target: Seq,
    ) -> Result<CopyStep, CheckpointError> {
        if self.window_is_full() {
            return Ok(CopyStep::Wait);
        }
        match &mut self.stage {
            Stage::Begin => {
                self.stage = Stage::Records {
                    prefix: 0,
                    after: None,
                };
                Ok(CopyStep::Send(PrimaryToJoiner::Begins {
                    from: self.from,
                    bytes_total: checkpoint.data_bytes(),
                }))
            }
            Stage::Records { prefix, after } => {
                let Some(start) = PREFIXES.get(*prefix) else {
                    self.stage = Stage::Settle;
                    return Ok(CopyStep::Again);
                };
                let records = checkpoint.scan(start, after.as_deref(), PART)?;
                let Some((last, _)) = records.last() else {
                    *prefix += 1;
                    *after = None;
                    return Ok(CopyStep::Again);
                };
                *after = Some(last.clone());
                Ok(self.send_records(records))
            }
            Stage::Settle => {
                checkpoint.advance(log, target, Pace::AtOnce)?;
                self.settle(checkpoint, log)
            }
            Stage::Batches { next, read, end } => {
                if *next > end.last().seq {
                    let history = end.clone();
                    self.from = history.last().seq;
                    self.stage = Stage::Done;
                    return Ok(CopyStep::Send(PrimaryToJoiner::Ends { history }));
                }
                if read.is_empty() {
                    read.extend(log.read_through(*next, end.last().seq, READ_BYTES)?);
                }
                let Some(batch) = read.pop_front() else {
                    return Ok(CopyStep::Wait);
                };
                *next = batch.last().next();
                let bytes = batch.bytes().clone();
                self.note_sent(bytes.len());
                Ok(CopyStep::Send(PrimaryToJoiner::Batch { bytes }))
            }
            Stage::Done => Ok(CopyStep::Wait),
        }
    }

    /// Ends the copy where the checkpoint stands, if a batch ends there: the joiner goes on with
    /// whole batches.
    fn settle(
        &mut self,
        checkpoint: &Checkpoint,
        log: &LogReader,
    ) -> Result<CopyStep, CheckpointError> {
        let end = checkpoint.applied().seq;
        if end > self.from {
            let batches = log.read_through(end, end, 1)?;
            if batches.first().is_some_and(|batch| batch.last() != end) {
                return Ok(CopyStep::Wait);
            }
        }
        self.stage = Stage::Batches {
            next: self.from.next(),
            read: VecDeque::new(),
            end: checkpoint.history().clone(),
        };
        Ok(CopyStep::Again)
    }

    fn send_records(&mut self, records: Vec<Record>) -> CopyStep {
        let bytes = records.iter().map(|(key, record)| key.len() + record.len());
        self.note_sent(bytes.sum());
        CopyStep::Send(PrimaryToJoiner::Records { records })
    }

    fn note_sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.under_way.push_back(bytes);
    }

    fn window_is_full(&self) -> bool {
        self.under_way.len() as u64 >= COPY_WINDOW_PARTS
            || self.under_way.iter().sum::<usize>() >= WINDOW_BYTES
    }
}
