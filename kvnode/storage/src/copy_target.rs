//! Taking a full copy into a new generation.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchError};
use kv_common::history::History;
use kv_common::id::Seq;
use kv_common::message::copy::PrimaryToJoiner;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::data_dir::DataDir;
use crate::generation::{self, Generation};
use crate::log::Log;
use crate::log_error::LogError;
use crate::options::StorageOptions;
use crate::pace::Pace;
use crate::recovery::{DataSet, DataSetError, recover};
use crate::retirement::retire;
use crate::round::Round;

/// Entries of a round: what is held in memory at a time.
const ROUND_BYTES: usize = 32 << 20;

/// A copy that is being taken. Its calls wait for the disk, so it wants a thread of its own.
/// Dropped before [`Self::finish`], it leaves a folder that the next start or copy removes.
#[derive(Debug)]
pub struct CopyTarget {
    data_dir: PathBuf,
    options: StorageOptions,
    generation: Generation,
    checkpoint: Checkpoint,
    stage: Stage,
    round: Round,
    parts: u64,
    bytes_done: u64,
    bytes_total: u64,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Records { from: Seq },
    Batches { last: Seq },
    Ended { history: History },
}

/// What follows from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyProgressed {
    /// Nothing to be answered.
    Begun,
    /// Answer that so many parts were taken in.
    Taken {
        /// Parts since the copy began.
        parts: u64,
    },
    /// The copy is whole: finish it.
    Whole,
}

/// Why a copy came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source has none to give.
    #[error("the primary gives no copy: {why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// The source says something that has no sense here.
    #[error("the copy makes no sense: {what}")]
    Unexpected {
        /// What.
        what: String,
    },
    /// A batch in it is damaged.
    #[error("the copy cannot be read: {0}")]
    Batch(#[from] BatchError),
    /// The folders.
    #[error("the copy cannot be kept: {0}")]
    Io(#[from] io::Error),
    /// The new checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The new log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The new data does not open.
    #[error(transparent)]
    DataSet(#[from] Box<DataSetError>),
}

impl CopyTarget {
    /// Begins a copy into a new generation. What an earlier one left is removed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(dir: &DataDir, options: &StorageOptions) -> Result<Self, CopyError> {
        let generation = generation::begin(dir.path(), options)?;
        let map = Checkpoint::store(&generation.checkpoint_dir(), options.checkpoint_cache_bytes);
        let map = map.map_err(CheckpointError::from)?;
        Ok(Self {
            data_dir: dir.path().to_owned(),
            options: options.clone(),
            checkpoint: Checkpoint::create(map, History::default())?,
            generation,
            stage: Stage::Waiting,
            round: Round::default(),
            parts: 0,
            bytes_done: 0,
            bytes_total: 0,
        })
    }

    /// Bytes that came, and bytes in all as the source reckons.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.bytes_done, self.bytes_total.max(self.bytes_done))
    }

    /// Takes the next message of the source.
    ///
    /// # Errors
    /// When the copy cannot go on. It is of no use then.
    pub fn take(&mut self, message: PrimaryToJoiner) -> Result<CopyProgressed, CopyError> {
        match (message, &self.stage) {
            (PrimaryToJoiner::Refused { why }, _) => Err(CopyError::Refused { why }),
            (PrimaryToJoiner::Begins { from, bytes_total }, Stage::Waiting) => {
                self.bytes_total = bytes_total;
                self.stage = Stage::Records { from };
                Ok(CopyProgressed::Begun)
            }
            (PrimaryToJoiner::Records { records }, Stage::Records { .. }) => {
                let bytes = records.iter().map(|(key, record)| key.len() + record.len());
                self.bytes_done += bytes.sum::<usize>() as u64;
                self.checkpoint.put_records(records)?;
                Ok(self.took_part())
            }
            (PrimaryToJoiner::Batch { bytes }, Stage::Records { from }) => {
                let last = *from;
                self.checkpoint.load_sessions_and_clock()?;
                self.take_batch(bytes, last)
            }
            (PrimaryToJoiner::Batch { bytes }, Stage::Batches { last }) => {
                let last = *last;
                self.take_batch(bytes, last)
            }
            (PrimaryToJoiner::Ends { history }, Stage::Records { from }) => {
                let last = *from;
                self.checkpoint.load_sessions_and_clock()?;
                self.end(history, last)
            }
            (PrimaryToJoiner::Ends { history }, Stage::Batches { last }) => {
                let last = *last;
                self.end(history, last)
            }
            (message, stage) => {
                let what = format!("{} while {}", name_of(&message), stage.name());
                Err(CopyError::Unexpected { what })
            }
        }
    }

    /// Makes the copy the node's data, and opens it. The threads on the former data are to be
    /// stopped before. What was there is removed, unless it holds something that the copy's
    /// history does not have, or cannot be read to its end: then it is set aside.
    ///
    /// # Errors
    /// When the copy is not whole or the disk refuses. The former data stands then, unless the
    /// switch was made: the next start shows which.
    pub fn finish(self) -> Result<DataSet, CopyError> {
        let Stage::Ended { history } = self.stage else {
            let what = format!("it was ended while {}", self.stage.name());
            return Err(CopyError::Unexpected { what });
        };
        drop(self.checkpoint);
        let former = generation::current(&self.data_dir)?;
        generation::make_current(&self.data_dir, &self.generation)?;
        if let Some(former) = former {
            retire(&self.data_dir, &former, &history, &self.options)?;
        }
        recover(&self.generation, &self.options, true)
            .map_err(|error| CopyError::DataSet(Box::new(error)))
    }

    fn took_part(&mut self) -> CopyProgressed {
        self.parts += 1;
        CopyProgressed::Taken { parts: self.parts }
    }

    fn take_batch(&mut self, bytes: Bytes, mut last: Seq) -> Result<CopyProgressed, CopyError> {
        self.bytes_done += bytes.len() as u64;
        let batch = Batch::parse(bytes)?;
        if batch.first() > last.next() || batch.last() <= last {
            let what = format!("a batch from {} on behind entry {last}", batch.first());
            return Err(CopyError::Unexpected { what });
        }
        for entry in batch.entries()? {
            if entry.position.seq > last {
                self.round.take(&entry, self.checkpoint.sessions_mut());
                last = entry.position.seq;
            }
        }
        self.stage = Stage::Batches { last };
        if self.round.bytes >= ROUND_BYTES {
            self.write_round()?;
        }
        Ok(self.took_part())
    }

    fn end(&mut self, history: History, last: Seq) -> Result<CopyProgressed, CopyError> {
        if history.last().seq != last {
            let what = format!("it ends at {} behind entry {last}", history.last());
            return Err(CopyError::Unexpected { what });
        }
        self.write_round()?;
        self.checkpoint.stand_for(history.clone())?;
        Log::create(
            &self.generation.log_dir(),
            history.base(),
            history.last(),
            self.options.segment_bytes,
        )?;
        self.stage = Stage::Ended { history };
        Ok(CopyProgressed::Whole)
    }

    fn write_round(&mut self) -> Result<(), CopyError> {
        let round = std::mem::take(&mut self.round);
        // What the records stand for is said at the end.
        let history = self.checkpoint.history().clone();
        Ok(self.checkpoint.write(round, history, Pace::AtOnce)?)
    }
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "nothing had begun",
            Self::Records { .. } => "records were coming",
            Self::Batches { .. } => "batches were coming",
            Self::Ended { .. } => "the copy was whole",
        }
    }
}

fn name_of(message: &PrimaryToJoiner) -> &'static str {
    match message {
        PrimaryToJoiner::Refused { .. } => "a refusal came",
        PrimaryToJoiner::Begins { .. } => "a beginning came",
        PrimaryToJoiner::Records { .. } => "records came",
        PrimaryToJoiner::Batch { .. } => "a batch came",
        PrimaryToJoiner::Ends { .. } => "an end came",
    }
}
