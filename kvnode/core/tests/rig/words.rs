//! The words of a command.

use std::time::Duration;

use kv_common::id::{Epoch, NodeId, Position, Seq};

/// A run of entries of one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) epoch: Epoch,
    pub(crate) first: Seq,
    pub(crate) last: Seq,
}

/// A command, word by word. What has a name may stand in any order: `epoch 3`.
pub(crate) struct Words<'line> {
    words: Vec<&'line str>,
}

impl<'line> Words<'line> {
    pub(crate) fn of(line: &'line str) -> Self {
        Self {
            words: line.split_whitespace().collect(),
        }
    }

    pub(crate) fn as_slice(&self) -> &[&'line str] {
        &self.words
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    pub(crate) fn after(&self, name: &str) -> Option<&'line str> {
        let index = self.words.iter().position(|word| *word == name)?;
        self.words.get(index + 1).copied()
    }

    pub(crate) fn number_after(&self, name: &str) -> Option<u64> {
        self.after(name).map(number)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        let epoch = self.number_after("epoch");
        Epoch(epoch.expect("the command names an epoch"))
    }

    pub(crate) fn seq_after(&self, name: &str) -> Option<Seq> {
        self.number_after(name).map(Seq)
    }

    pub(crate) fn nodes_after(&self, name: &str) -> Vec<NodeId> {
        self.after(name).map(nodes).unwrap_or_default()
    }

    pub(crate) fn duration_after(&self, name: &str) -> Option<Duration> {
        self.after(name).map(duration)
    }

    pub(crate) fn runs_after(&self, name: &str) -> Vec<Run> {
        let runs = self.after(name).unwrap_or_default();
        let parts = runs.split(',').filter(|part| !part.is_empty());
        parts.map(run).collect()
    }
}

pub(crate) fn nodes(word: &str) -> Vec<NodeId> {
    let parts = word.split(',').filter(|part| !part.is_empty());
    parts.map(|node| NodeId(number(node))).collect()
}

pub(crate) fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("'{word}' is no number"))
}

pub(crate) fn duration(word: &str) -> Duration {
    match word.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(number(ms)),
        None => Duration::from_secs(number(word.strip_suffix('s').expect("a time"))),
    }
}

/// `3.7`: the entry 7 of epoch 3.
pub(crate) fn position(word: &str) -> Position {
    let (epoch, seq) = word.split_once('.').expect("epoch and number");
    Position {
        epoch: Epoch(number(epoch)),
        seq: Seq(number(seq)),
    }
}

/// `3:6-8`: the entries 6 to 8, of epoch 3.
fn run(word: &str) -> Run {
    let (epoch, places) = word.split_once(':').expect("epoch and places");
    let (first, last) = places.split_once('-').unwrap_or((places, places));
    Run {
        epoch: Epoch(number(epoch)),
        first: Seq(number(first)),
        last: Seq(number(last)),
    }
}
