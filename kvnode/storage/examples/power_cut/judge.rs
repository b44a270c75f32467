//! What must be there after a cut.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use kv_common::batch::Batch;
use kv_common::db_txt::{Item, Reader};
use kv_common::id::{Epoch, NodeId, Position, Seq};
use kv_common::time::UnixMs;
use kvnode_core::state::State;
use kvnode_storage::{DataDir, DataSet, Meta, Past, open_data_set};

use crate::workload::{batch, options};
use crate::writer::Order;

/// What the writer promised before it was killed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Promised {
    pub(crate) acknowledged: Seq,
    pub(crate) sealed: Epoch,
    pub(crate) dumped: Seq,
}

/// What a state comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summary {
    keys: u64,
    digest: u128,
    sessions: usize,
}

impl Summary {
    fn of(state: &State) -> Self {
        Self {
            keys: state.keys(),
            digest: state.digest(),
            sessions: state.sessions().len(),
        }
    }
}

/// Knows what each position holds, up to where the last cut left the log.
pub(crate) struct Judge {
    model: State,
    /// For the end of each batch.
    summaries: BTreeMap<Seq, Summary>,
}

impl Judge {
    pub(crate) fn new() -> Self {
        let model = State::new(0);
        Self {
            summaries: BTreeMap::from([(Seq::ZERO, Summary::of(&model))]),
            model,
        }
    }

    /// Looks at what a cut left of the work on `order`. Says where the log ends.
    pub(crate) fn judge(&mut self, order: &Order, promised: Promised) -> Result<Position, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let dir = DataDir::open(&order.data_dir).map_err(|error| text(&error))?;
        let (meta, _) = Meta::open(&dir, NodeId(1)).map_err(|error| text(&error))?;
        let sealed = meta.record().promises.seal;
        if sealed < promised.sealed {
            return Err(format!("sealed {sealed}, promised {}", promised.sealed));
        }
        let options = options(order.fsync.into());
        let data_set =
            open_data_set(&dir, &options, true, Past::NEW).map_err(|error| text(&error))?;
        if let Some(cause) = &data_set.recovered.unfit {
            return Err(format!("unfit: {cause}"));
        }
        let last = data_set.recovered.history.last();
        self.follow(order, last.seq)?;
        self.compare(data_set)?;
        self.compare_db_txt(&order.data_dir.join("db.txt"), promised.dumped)?;
        Ok(last)
    }

    /// Takes the model to `last`, which must be the end of a batch.
    fn follow(&mut self, order: &Order, last: Seq) -> Result<(), String> {
        while self.model.applied().seq < last {
            let first = self.model.applied().seq.next();
            let batch = batch(order.seed, Epoch(order.epoch), first, order.value_bytes_max);
            apply(&mut self.model, &batch);
            self.summaries
                .insert(batch.last(), Summary::of(&self.model));
        }
        let at = self.model.applied();
        if at.seq == last {
            Ok(())
        } else {
            Err(format!(
                "the log ends at {last}, where no batch ends; {at} is the nearest"
            ))
        }
    }

    fn compare(&self, data_set: DataSet) -> Result<(), String> {
        let mut state = data_set.recovered.state;
        self.compare_at("what is applied", state.applied().seq, Summary::of(&state))?;
        for batch in &data_set.recovered.tail {
            apply(&mut state, batch);
        }
        self.compare_at("the tail", state.applied().seq, Summary::of(&state))?;
        if state.applied() == self.model.applied() {
            Ok(())
        } else {
            Err(format!(
                "{} instead of {}",
                state.applied(),
                self.model.applied()
            ))
        }
    }

    fn compare_at(&self, what: &str, at: Seq, found: Summary) -> Result<(), String> {
        match self.summaries.get(&at) {
            Some(expected) if *expected == found => Ok(()),
            Some(expected) => Err(format!("{what} at {at} is {found:?} and not {expected:?}")),
            None => Err(format!("{what} ends at {at}, where no batch ends")),
        }
    }

    fn compare_db_txt(&self, path: &Path, promised: Seq) -> Result<(), String> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && promised == Seq::ZERO => {
                return Ok(());
            }
            Err(error) => return Err(format!("db.txt: {error}")),
        };
        let mut state = State::new(0);
        let mut reader = Reader::new(BufReader::new(file));
        let mut position = None;
        let mut pair: Option<(bytes::Bytes, bytes::Bytes)> = None;
        let load = |state: &mut State, pair: Option<(bytes::Bytes, bytes::Bytes)>, expires_at| {
            if let Some((key, value)) = pair {
                state.load_value(&key, &value, expires_at);
            }
        };
        while let Some(item) = reader
            .next_item()
            .map_err(|error| format!("db.txt: {error}"))?
        {
            match item {
                Item::Pair { key, value } => {
                    load(&mut state, pair.replace((key, value)), None);
                }
                Item::Expires { at, .. } => load(&mut state, pair.take(), Some(at)),
                Item::Position(at) => position = Some(at),
                Item::OddToken { line } => return Err(format!("db.txt: line {line} is odd")),
            }
        }
        load(&mut state, pair, None);
        let Some(position) = position else {
            return Err("db.txt has no position".to_owned());
        };
        state.finish_loading(position, UnixMs::default());
        if position.seq < promised {
            return Err(format!("db.txt stands for {position}, promised {promised}"));
        }
        let expected = self.summaries.get(&position.seq);
        let found = Summary::of(&state);
        match expected {
            // It has no sessions.
            Some(expected) if (expected.keys, expected.digest) == (found.keys, found.digest) => {
                Ok(())
            }
            _ => Err(format!(
                "db.txt at {position} is {found:?} and not {expected:?}"
            )),
        }
    }
}

fn apply(state: &mut State, batch: &Batch) {
    for entry in batch.entries().expect("decodes") {
        if entry.position.seq > state.applied().seq {
            state.apply(&entry);
        }
    }
}
