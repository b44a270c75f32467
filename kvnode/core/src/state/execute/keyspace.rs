//! Commands on all keys: scan, count, clear.

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::entry::Change;
use kv_common::refusal::Refusal;

use super::super::glob::Glob;
use super::super::record::Record;
use super::Run;

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
        let page = self.state.table.scan(cursor, limit, glob.as_ref());
        let mut keys = Vec::with_capacity(page.records.len());
        for record in page.records {
            let key = Bytes::copy_from_slice(record.key());
            if self.is_current(record) || self.find(&key).is_some() {
                keys.push(key);
            }
        }
        Ok(Reply::Page {
            cursor: page.cursor,
            keys,
        })
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
        Reply::Count(count)
    }

    pub(super) fn clear(&mut self) -> Reply {
        self.changes.push(Change::Clear);
        Reply::Done
    }
}
