//! Entries that are in the log and not yet in the table.

use std::collections::VecDeque;

use kv_common::batch::{Batch, BatchError};
use kv_common::entry::{Change, Entry, EntryBody};
use kv_common::id::Seq;

use crate::state::WARMED_MAX;

/// Entries that are in the log and not yet in the table, in order.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: u64,
}

impl Tail {
    /// The entries of recovered batches that are not applied.
    pub(crate) fn recovered(batches: &[Batch], applied: Seq) -> Result<Self, BatchError> {
        let mut tail = Self::default();
        for batch in batches {
            for entry in batch.entries()? {
                if entry.position.seq > applied {
                    tail.push(entry);
                }
            }
        }
        Ok(tail)
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        if let Some(last) = self.entries.back() {
            assert_eq!(entry.position.seq, last.position.seq.next(), "a gap");
        }
        self.bytes += bytes_of(&entry);
        self.entries.push_back(entry);
    }

    /// The next entry, if it is at or below `through`.
    pub(crate) fn pop_through(&mut self, through: Seq) -> Option<Entry> {
        let next = self.entries.front()?;
        if next.position.seq > through {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.bytes -= bytes_of(&entry);
        Some(entry)
    }

    /// The keys that the next few entries at or below `through` change, in order.
    pub(crate) fn keys_through(&self, through: Seq) -> impl Iterator<Item = &[u8]> {
        // Entries without keys are no reason to look further.
        let entries = self.entries.iter().take(WARMED_MAX);
        let entries = entries.take_while(move |entry| entry.position.seq <= through);
        entries.flat_map(changed_keys)
    }

    pub(crate) fn cut_after(&mut self, seq: Seq) {
        let keep = self
            .entries
            .partition_point(|entry| entry.position.seq <= seq);
        for entry in self.entries.drain(keep..) {
            self.bytes -= bytes_of(&entry);
        }
    }

    /// What keys and values of the entries come to.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn changed_keys(entry: &Entry) -> impl Iterator<Item = &[u8]> {
    let changes: &[Change] = match &entry.body {
        EntryBody::Changes { changes, .. } => changes,
        EntryBody::Mark | EntryBody::OpenSession | EntryBody::EndSessions(_) => &[],
    };
    changes.iter().filter_map(|change| match change {
        Change::Put { key, .. } | Change::Delete { key } | Change::Expire { key, .. } => {
            Some(&**key)
        }
        Change::Clear => None,
    })
}

fn bytes_of(entry: &Entry) -> u64 {
    let EntryBody::Changes { changes, .. } = &entry.body else {
        return 0;
    };
    let bytes_of_change = |change: &Change| match change {
        Change::Put { key, value, .. } => key.len() + value.len(),
        Change::Delete { key } | Change::Expire { key, .. } => key.len(),
        Change::Clear => 0,
    };
    changes.iter().map(bytes_of_change).sum::<usize>() as u64
}
