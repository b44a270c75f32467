//! Changes that are in the log and not yet committed, beside the table.

use std::collections::VecDeque;

use bytes::Bytes;
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use kv_common::entry::Change;
use kv_common::id::Seq;
use kv_common::time::UnixMs;

/// The newest uncommitted state of each key that uncommitted entries touch.
#[derive(Debug)]
pub struct Overlay {
    pending: IndexMap<Bytes, Pending, FixedState>,
    /// Every change to a key, in the order of the log; so that settling need not search.
    noted: VecDeque<(Seq, Bytes)>,
    /// The newest entry that removed all keys. What stands in `pending` came after it.
    cleared: Option<Seq>,
    newest: Option<Seq>,
}

#[derive(Debug)]
struct Pending {
    seq: Seq,
    /// None: the key is absent.
    value: Option<PendingValue>,
}

/// A value that is not yet committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingValue {
    pub(crate) value: Bytes,
    pub(crate) expires_at: Option<UnixMs>,
}

/// What the overlay says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting<'a> {
    /// Nothing: the table says what it is.
    Untouched,
    /// The key has a new value.
    Value(Seq, &'a PendingValue),
    /// The key is gone.
    Absent(Seq),
}

impl Overlay {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// No changes; keys are hashed with a seed, so that nobody can choose keys that collide.
    #[must_use]
    pub fn with_seed(hash_seed: u64) -> Self {
        Self {
            pending: IndexMap::with_hasher(FixedState::with_seed(hash_seed)),
            noted: VecDeque::new(),
            cleared: None,
            newest: None,
        }
    }

    /// Takes in the changes of the entry at `seq`, which is above every seq noted before.
    pub fn note(&mut self, seq: Seq, changes: &[Change]) {
        for change in changes {
            let (key, value) = match change {
                Change::Put {
                    key,
                    value,
                    expires_at,
                } => {
                    let (value, expires_at) = (value.clone(), *expires_at);
                    (key, Some(PendingValue { value, expires_at }))
                }
                Change::Delete { key } | Change::Expire { key, .. } => (key, None),
                Change::Clear => {
                    self.note_clear(seq);
                    continue;
                }
            };
            self.noted.push_back((seq, key.clone()));
            self.pending.insert(key.clone(), Pending { seq, value });
        }
        if !changes.is_empty() {
            self.newest = Some(seq);
        }
    }

    fn note_clear(&mut self, seq: Seq) {
        self.pending.clear();
        self.noted.clear();
        self.cleared = Some(seq);
    }

    /// Drops the changes of all entries up to `through`: they are in the table now.
    pub fn settle(&mut self, through: Seq) {
        while self.noted.front().is_some_and(|(seq, _)| *seq <= through) {
            let Some((seq, key)) = self.noted.pop_front() else {
                break;
            };
            // A key that a later entry touched as well stays until that one settles.
            if self.pending.get(&key).is_some_and(|last| last.seq == seq) {
                self.pending.swap_remove(&key);
            }
        }
        if self.cleared.is_some_and(|seq| seq <= through) {
            self.cleared = None;
        }
        if self.newest.is_some_and(|seq| seq <= through) {
            self.newest = None;
        }
    }

    /// Drops everything: what was pending is nobody's promise any more.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.noted.clear();
        self.cleared = None;
        self.newest = None;
    }

    /// Whether no change is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    pub(crate) fn meet(&self, key: &[u8]) -> Meeting<'_> {
        match (self.pending.get(key), self.cleared) {
            (Some(Pending { seq, value }), _) => match value {
                Some(value) => Meeting::Value(*seq, value),
                None => Meeting::Absent(*seq),
            },
            (None, Some(seq)) => Meeting::Absent(seq),
            (None, None) => Meeting::Untouched,
        }
    }

    /// The newest entry with changes.
    pub(crate) fn newest(&self) -> Option<Seq> {
        self.newest
    }

    /// Whether all keys of the table are going to be removed.
    pub(crate) fn clears_table(&self) -> bool {
        self.cleared.is_some()
    }

    /// The keys with pending changes of their own, and whether each is going to be there.
    pub(crate) fn touched(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.pending
            .iter()
            .map(|(key, pending)| (&key[..], pending.value.is_some()))
    }
}

impl Default for Overlay {
    fn default() -> Self {
        Self::new()
    }
}
