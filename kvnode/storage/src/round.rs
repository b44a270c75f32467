//! A run of entries, brought down to the newest value of each key.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_common::entry::{Change, Entry, EntryBody};
use kv_common::id::SessionId;
use kv_common::time::UnixMs;
use kvnode_core::state::Sessions;

use crate::checkpoint_record::{data_key, encode_value};

/// What a run of entries does to the records of a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// By record key: the newest record, or none for a key that is gone.
    pub(crate) changes: BTreeMap<Bytes, Option<Bytes>>,
    /// Whether every key that is not in `changes` is gone.
    pub(crate) cleared: bool,
    /// The sessions that changed, opened or ended.
    pub(crate) sessions: BTreeSet<SessionId>,
    /// The highest expiry that an entry found to be past.
    pub(crate) clock: UnixMs,
    /// Bytes of all changes that were taken in.
    pub(crate) bytes: usize,
    /// Entries that were taken in.
    pub(crate) entries: u64,
}

impl Round {
    /// Takes in the next entry, here and in `sessions`.
    pub(crate) fn take(&mut self, entry: &Entry, sessions: &mut Sessions) {
        match &entry.body {
            EntryBody::Changes { request, changes } => {
                changes.iter().for_each(|change| self.change(change));
                if let Some(request) = request {
                    self.sessions.insert(request.id.session);
                }
            }
            EntryBody::OpenSession => {
                self.sessions.insert(SessionId(entry.position));
            }
            EntryBody::EndSessions(ids) => self.sessions.extend(ids),
            EntryBody::Mark => {}
        }
        sessions.apply(entry);
        self.entries += 1;
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => {
                self.bytes += key.len() + value.len();
                let record = encode_value(value, *expires_at);
                self.changes.insert(data_key(key), Some(record));
            }
            Change::Delete { key } => self.remove(key),
            Change::Expire { key, expires_at } => {
                self.remove(key);
                self.clock = self.clock.max(*expires_at);
            }
            Change::Clear => {
                self.changes.clear();
                self.cleared = true;
            }
        }
    }

    fn remove(&mut self, key: &Bytes) {
        self.bytes += key.len();
        self.changes.insert(data_key(key), None);
    }
}
