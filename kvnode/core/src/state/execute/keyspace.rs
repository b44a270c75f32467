//! Commands on all keys, and on keys as such: scan, count, clear, copy.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::entry::Change;
use kv_common::glob::Glob;
use kv_common::refusal::Refusal;

use super::super::overlay::Meeting;
use super::super::record::Record;
use super::super::table::PAGE_KEYS_MAX;
use super::run::Run;

/// Keys that one command may look at; walking so many takes about as long as a lease may be left
/// without attention.
const KEYS_AT_ONCE_MAX: u64 = 1_000_000;
/// Steps that one command may take to match keys, for the same reason.
const MATCH_STEPS_MAX: u64 = 100_000_000;
/// Deletions of keys whose time has come that one command logs.
const DELETIONS_MAX: usize = 1000;
/// How far the search for any key goes.
const ANY_KEY_PAGES_MAX: usize = 16;
const ANY_KEY_PAGE_KEYS: u32 = 16;

impl Run<'_> {
    /// Walks the table alone. A walk promises the keys that are there from its beginning to its
    /// end. Such a key is in the table at each page: a key that is only in the overlay came after
    /// the beginning, and one that the overlay removes goes before the end, or its removal is
    /// answered after this page. So each page is right as of the committed state, and waits for
    /// nothing.
    ///
    /// Only a key whose time has come is looked up in the overlay too: it is shown if a pending
    /// change keeps it, and deleted if none touches it.
    pub(super) fn scan(
        &mut self,
        cursor: u64,
        limit: u32,
        pattern: Option<&[u8]>,
    ) -> Result<Reply, Refusal> {
        let glob = pattern.map(Glob::parse).transpose()?;
        self.spend_on_keys(u64::from(limit).min(PAGE_KEYS_MAX as u64))?;
        let page = self.state.table.scan(cursor, limit, glob.as_ref());
        let mut keys = Vec::with_capacity(page.records.len());
        for record in page.records {
            let key = Bytes::copy_from_slice(record.key());
            let plain = self.written.is_none() && self.is_current(record);
            if plain || self.find(&key).is_some() {
                keys.push(key);
            }
        }
        Ok(Reply::Page {
            cursor: page.cursor,
            keys,
        })
    }

    /// All keys, the pending ones too: those of the table, then those that are only in the overlay
    /// or were written by this transaction.
    pub(super) fn keys(&mut self, pattern: &[u8]) -> Result<Reply, Refusal> {
        let glob = Glob::parse(pattern)?;
        let table = &self.state.table;
        if table.keys() > KEYS_AT_ONCE_MAX {
            let why = format!(
                "there are more than {KEYS_AT_ONCE_MAX} keys to look at in one go; walk them with a scan"
            );
            return Err(Refusal::NotAllowed { why });
        }
        self.spend_on_keys(table.keys())?;
        if let Some(newest) = self.overlay.newest() {
            self.wait_for(newest);
        }
        let (mut candidates, mut cursor, mut steps) = (BTreeSet::new(), 0, 0);
        loop {
            let page = table.scan(cursor, u32::MAX, Some(&glob));
            let keys = page.records.iter().map(|record| record.key());
            candidates.extend(keys.map(Bytes::copy_from_slice));
            steps += page.match_steps;
            check_steps(steps)?;
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        let pending = self.overlay.touched().map(|(key, _)| key);
        let written = self.written.iter().flat_map(|written| written.keys.keys());
        for key in pending.chain(written.map(|key| &key[..])) {
            check_steps(steps)?;
            if glob.matches(key, &mut steps) {
                candidates.insert(Bytes::copy_from_slice(key));
            }
        }
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for key in candidates {
            if self.is_shown(&key) {
                bytes += key.len();
                self.check_bytes(bytes)?;
                keys.push(key);
            }
        }
        Ok(Reply::Page { cursor: 0, keys })
    }

    /// Whether a key is there. When very many have gone by themselves at once, only some of their
    /// deletions are logged with one command; the others still count as there.
    fn is_shown(&mut self, key: &Bytes) -> bool {
        if self.change_count() >= DELETIONS_MAX {
            return self.look(key).is_some();
        }
        self.find(key).is_some()
    }

    /// The first key from `cursor` on that is there, or the first of all.
    pub(super) fn any_key(&mut self, cursor: u64) -> Reply {
        for start in [cursor, 0] {
            let mut cursor = start;
            for _ in 0..ANY_KEY_PAGES_MAX {
                let page = self.state.table.scan(cursor, ANY_KEY_PAGE_KEYS, None);
                for record in page.records {
                    let key = Bytes::copy_from_slice(record.key());
                    if self.is_shown(&key) {
                        return Reply::Value(Some(key));
                    }
                }
                cursor = page.cursor;
                if cursor == 0 {
                    break;
                }
            }
        }
        let stays = |(key, stays): (&[u8], bool)| stays.then(|| Bytes::copy_from_slice(key));
        let pending: Option<Bytes> = self.overlay.touched().find_map(stays);
        let written = self.written.iter().flat_map(|written| written.keys.keys());
        let candidates: Vec<Bytes> = written.cloned().chain(pending).collect();
        Reply::Value(candidates.into_iter().find(|key| self.find(key).is_some()))
    }

    pub(super) fn copy(&mut self, from: &Bytes, to: &Bytes, replaces: bool, moves: bool) -> Reply {
        let Some(found) = self.find(from) else {
            // A reply and not a refusal: that its time has come is to be logged.
            return Reply::ConditionFailed;
        };
        if !replaces && self.find(to).is_some() {
            return Reply::Count(0);
        }
        if from != to {
            if moves {
                self.write(Change::Delete { key: from.clone() });
            }
            self.write_value(to, found.value_bytes(), found.expires_at());
        }
        Reply::Count(1)
    }

    fn is_current(&self, record: &Record) -> bool {
        record.expires_at().is_none_or(|at| at > self.clock)
    }

    /// Counts as if everything pending were applied; takes time with the number of pending
    /// changes. A key whose time has come counts until its deletion is logged: finding all of
    /// them here could take longer than a turn may.
    pub(super) fn count_keys(&mut self) -> Reply {
        if let Some(newest) = self.overlay.newest() {
            self.wait_for(newest);
        }
        let table = &self.state.table;
        let cleared = self.overlay.clears_table();
        let mut count = if cleared { 0 } else { table.keys() };
        for (key, stays) in self.overlay.touched() {
            let was_there = !cleared && table.get(key).is_some();
            count = count - u64::from(was_there) + u64::from(stays);
        }
        let Some(written) = &self.written else {
            return Reply::Count(count);
        };
        if written.cleared {
            count = 0;
        }
        for (key, value) in &written.keys {
            let was_there = !written.cleared
                && match self.overlay.meet(key) {
                    Meeting::Untouched => table.get(key).is_some(),
                    Meeting::Value(..) => true,
                    Meeting::Absent(_) => false,
                };
            count = count - u64::from(was_there) + u64::from(value.is_some());
        }
        Reply::Count(count)
    }

    pub(super) fn clear(&mut self) -> Reply {
        self.write(Change::Clear);
        Reply::Done
    }
}

fn check_steps(steps: u64) -> Result<(), Refusal> {
    if steps > MATCH_STEPS_MAX {
        let why = "it takes too long to match this pattern with all keys in one go; walk them with a scan";
        return Err(Refusal::NotAllowed {
            why: why.to_owned(),
        });
    }
    Ok(())
}
