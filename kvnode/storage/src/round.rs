//! A run of entries, brought down to the newest value of each key.

use std::collections::BTreeSet;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use kv_common::entry::{Change, Entry, EntryBody};
use kv_common::id::SessionId;
use kv_common::time::UnixMs;
use kvnode_core::state::Sessions;

use crate::checkpoint_record::{encode_value_into, put_data_key};

/// A record is written over one that had no more room than this. What a longer one leaves over would be held and
/// not counted.
const ROOM_MAX_BYTES: usize = 1024;

/// What a run of entries does to the records of a checkpoint.
///
/// Most entries of a busy log are overwritten within the run. So a key is looked up before it is copied, and its
/// record is written over the one before it: an entry that does not stay costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// By record key: the newest record, or none for a key that is gone.
    changes: HashMap<Vec<u8>, Option<Vec<u8>>, RandomState>,
    /// The record key that is looked up.
    looked_up: Vec<u8>,
    /// Whether every key that is not in `changes` is gone.
    pub(crate) cleared: bool,
    /// The sessions that changed, opened or ended.
    pub(crate) sessions: BTreeSet<SessionId>,
    /// The highest expiry that an entry found to be past.
    pub(crate) clock: UnixMs,
    /// Bytes of the record keys and records that stay.
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

    /// How many keys change.
    pub(crate) fn keys(&self) -> usize {
        self.changes.len()
    }

    /// Whether a record key is set or removed.
    pub(crate) fn touches(&self, key: &[u8]) -> bool {
        self.changes.contains_key(key)
    }

    /// The changes in the order of their keys, which leaves none.
    pub(crate) fn take_changes(&mut self) -> Vec<(Bytes, Option<Bytes>)> {
        let changes = self.changes.drain();
        let mut changes: Vec<_> = changes
            .map(|(key, record)| (Bytes::from(key), record.map(Bytes::from)))
            .collect();
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        changes
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => self.put(key, value, *expires_at),
            Change::Delete { key } => self.remove(key),
            Change::Expire { key, expires_at } => {
                self.remove(key);
                self.clock = self.clock.max(*expires_at);
            }
            Change::Clear => {
                self.changes.clear();
                self.bytes = 0;
                self.cleared = true;
            }
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], expires_at: Option<UnixMs>) {
        let record = self.slot(key).get_or_insert_default();
        let before = record.len();
        if record.capacity() > ROOM_MAX_BYTES {
            *record = Vec::new();
        }
        encode_value_into(record, value, expires_at);
        let now = record.len();
        self.bytes = self.bytes + now - before;
    }

    fn remove(&mut self, key: &[u8]) {
        let before = self.slot(key).take();
        self.bytes -= before.map_or(0, |record| record.len());
    }

    /// The record of a key, which is none for one that had no change yet.
    fn slot(&mut self, key: &[u8]) -> &mut Option<Vec<u8>> {
        self.looked_up.clear();
        put_data_key(&mut self.looked_up, key);
        let Self {
            changes,
            looked_up,
            bytes,
            ..
        } = self;
        changes.entry_ref(looked_up.as_slice()).or_insert_with(|| {
            *bytes += looked_up.len();
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Round;
    use crate::checkpoint_record::{data_key, encode_value};
    use bytes::Bytes;
    use kv_common::entry::Change;
    use kv_common::time::UnixMs;

    fn put(key: &'static str, value: &'static str, expires_at: Option<u64>) -> Change {
        Change::Put {
            key: Bytes::from(key),
            value: Bytes::from(value),
            expires_at: expires_at.map(UnixMs),
        }
    }

    fn delete(key: &'static str) -> Change {
        Change::Delete {
            key: Bytes::from(key),
        }
    }

    fn record(key: &str, value: Option<(&str, Option<u64>)>) -> (Bytes, Option<Bytes>) {
        let record = value.map(|(value, at)| encode_value(value.as_bytes(), at.map(UnixMs)));
        (data_key(key.as_bytes()), record)
    }

    #[test]
    fn the_newest_record_of_each_key_stays_and_its_bytes_alone_count() {
        let mut round = Round::default();
        for change in [
            put("b", "long before", Some(7)),
            put("a", "one", None),
            put("b", "new", None),
            put("c", "gone", None),
            delete("c"),
            delete("d"),
            put("d", "back", Some(9)),
        ] {
            round.change(&change);
        }
        let expected = [
            record("a", Some(("one", None))),
            record("b", Some(("new", None))),
            record("c", None),
            record("d", Some(("back", Some(9)))),
        ];
        let bytes = expected
            .iter()
            .map(|(key, record)| key.len() + record.as_ref().map_or(0, Bytes::len));
        assert_eq!((round.keys(), round.bytes), (4, bytes.sum()));
        assert!(round.touches(&data_key(b"c")) && !round.touches(&data_key(b"e")));
        assert_eq!(round.take_changes(), expected);
    }

    #[test]
    fn what_comes_before_a_clear_is_forgotten() {
        let mut round = Round::default();
        for change in [put("a", "one", None), Change::Clear, put("b", "two", None)] {
            round.change(&change);
        }
        assert!(round.cleared);
        assert_eq!(round.bytes, 2 + 1 + "two".len());
        assert_eq!(round.take_changes(), [record("b", Some(("two", None)))]);
    }
}
