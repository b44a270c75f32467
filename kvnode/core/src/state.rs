//! The applied state of a node, and what commands come down to.
//!
//! | file | what it holds |
//! |---|---|
//! | `table.rs`, `record.rs` | keys and values in memory |
//! | `expiry.rs` | which keys go when |
//! | `digest.rs` | a digest of the table that does not depend on order |
//! | `sessions.rs` | retry records |
//! | `overlay.rs` | changes not yet committed |
//! | `execute.rs`, `execute/*` | commands: changes and replies |
//! | `key_events.rs` | what a command did to keys, for who listens |

mod digest;
mod execute;
mod expiry;
mod key_events;
mod overlay;
mod record;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;
use kv_common::entry::{Change, Entry, EntryBody};
use kv_common::id::{Position, SessionId};
use kv_common::message::client::MarkDigest;
use kv_common::time::UnixMs;

pub use execute::{Execution, execute, expire_due};
pub(crate) use key_events::{expired, key_events};
pub use overlay::Overlay;
pub use sessions::{LookUp, SessionDecodeError, Sessions};

use table::Table;
pub use table::WARMED_MAX;

/// How many marks are remembered.
const MARKS_KEPT: usize = 64;

/// What the committed part of the log comes to, up to one position. All copies that applied the
/// same position hold the same keys, values, expiries and sessions.
#[derive(Debug)]
pub struct State {
    applied: Position,
    table: Table,
    sessions: Sessions,
    expiry_clock: UnixMs,
    marks: VecDeque<MarkDigest>,
}

impl State {
    /// The empty state, before the first entry.
    ///
    /// The seed decides where keys stand in the table and in which order a walk meets them. It is
    /// to be hard to guess, and the same at all copies of a shard: then a walk that began at one
    /// primary goes on at the next.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self {
            applied: Position::ZERO,
            table: Table::new(hash_seed),
            sessions: Sessions::new(),
            expiry_clock: UnixMs(0),
            marks: VecDeque::new(),
        }
    }

    /// The position of the last entry that was applied.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.applied
    }

    /// Takes in the next committed entry.
    ///
    /// # Panics
    /// When the entry does not follow the last one: every answer would be wrong from then on.
    pub fn apply(&mut self, entry: &Entry) {
        let at = entry.position;
        assert!(
            at.seq == self.applied.seq.next() && at.epoch >= self.applied.epoch,
            "entry {at} does not follow {}",
            self.applied
        );
        self.free_cleared();
        match &entry.body {
            EntryBody::Changes { changes, .. } => {
                changes.iter().for_each(|change| self.change(change));
            }
            EntryBody::Mark => self.remember_mark(at),
            EntryBody::OpenSession | EntryBody::EndSessions(_) => {}
        }
        self.sessions.apply(entry);
        self.applied = at;
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => self.table.put(key, value, *expires_at),
            Change::Delete { key } => {
                self.table.remove(key);
            }
            Change::Expire { key, expires_at } => {
                self.table.remove(key);
                self.expiry_clock = self.expiry_clock.max(*expires_at);
            }
            Change::Clear => self.table.clear(),
        }
    }

    /// Has the processor fetch what is behind the first [`WARMED_MAX`] of `keys`, which are about to be read or changed.
    pub fn warm<'key>(&self, keys: impl Iterator<Item = &'key [u8]>) {
        self.table.warm(keys);
    }

    /// Frees a part of what a clear left behind, and says whether something is still left. Each
    /// entry that is applied does so as well; this is for a node that has nothing to apply.
    pub fn free_cleared(&mut self) -> bool {
        self.table.free_some()
    }

    fn remember_mark(&mut self, at: Position) {
        if self.marks.len() == MARKS_KEPT {
            self.marks.pop_front();
        }
        self.marks.push_back(MarkDigest {
            at,
            keys: self.keys(),
            digest: self.digest(),
        });
    }

    /// How many keys there are. A key whose time has come counts until its deletion is applied.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.table.keys()
    }

    /// How many keys are going to go by themselves.
    #[must_use]
    pub fn expiring_keys(&self) -> u64 {
        self.table.expiry().count()
    }

    /// A digest of all keys, values and expiries that does not depend on their order.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.table.digest()
    }

    /// What was held at a mark; none if it was not applied here or is no longer remembered.
    #[must_use]
    pub fn mark_digest(&self, at: Position) -> Option<MarkDigest> {
        self.marks.iter().rev().find(|mark| mark.at == at).copied()
    }

    /// The highest expiry that any entry found to be past. No copy reckons with an earlier time,
    /// so that what one primary showed as gone is not shown by the next, whose clock is behind.
    #[must_use]
    pub fn expiry_clock(&self) -> UnixMs {
        self.expiry_clock
    }

    /// The retry records.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Up to `limit` keys whose time has come, the earliest first, with their expiry. Some may
    /// have pending changes; [`expire_due`] leaves those out.
    #[must_use]
    pub fn due(&self, unix: UnixMs, limit: usize) -> Vec<(Bytes, UnixMs)> {
        self.table
            .expiry()
            .due(self.clock(unix))
            .take(limit)
            .map(|(key, at)| (key.clone(), at))
            .collect()
    }

    /// When the next key is to go; none: no key has an expiry.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMs> {
        self.table.expiry().next()
    }

    /// The time that decides about expiry.
    fn clock(&self, unix: UnixMs) -> UnixMs {
        unix.max(self.expiry_clock)
    }

    /// Puts a stored key, in recovery.
    pub fn load_value(&mut self, key: &[u8], value: &[u8], expires_at: Option<UnixMs>) {
        self.table.put(key, value, expires_at);
    }

    /// Takes in a stored session, in recovery.
    ///
    /// # Errors
    /// When the bytes are not a session. Nothing is changed then.
    pub fn load_session(
        &mut self,
        id: SessionId,
        encoded: &[u8],
    ) -> Result<(), SessionDecodeError> {
        self.sessions.load(id, encoded)
    }

    /// Says what the loaded records stand for, in recovery. Entries are applied from there on.
    pub fn finish_loading(&mut self, applied: Position, expiry_clock: UnixMs) {
        self.applied = applied;
        self.expiry_clock = expiry_clock;
    }
}
