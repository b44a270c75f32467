//! Which keys go when: only the keys that have an expiry, in the order of their time.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_common::time::UnixMs;

/// How many of the cleared elements are freed at a time.
const FREED_AT_A_TIME: usize = 256;

/// Expiries in order.
#[derive(Debug, Default)]
pub(crate) struct ExpiryIndex {
    by_time: BTreeSet<(UnixMs, Bytes)>,
    /// What was cleared, still to be freed.
    retired: Vec<BTreeSet<(UnixMs, Bytes)>>,
}

impl ExpiryIndex {
    /// Notes that the expiry of `key` was `old` and is `new`.
    pub(crate) fn change(&mut self, key: &[u8], old: Option<UnixMs>, new: Option<UnixMs>) {
        if old == new {
            return;
        }
        let key = Bytes::copy_from_slice(key);
        if let Some(at) = old {
            self.by_time.remove(&(at, key.clone()));
        }
        if let Some(at) = new {
            self.by_time.insert((at, key));
        }
    }

    /// Empties the index; the memory is freed by [`Self::free_some`].
    pub(crate) fn clear(&mut self) {
        let full = std::mem::take(&mut self.by_time);
        if !full.is_empty() {
            self.retired.push(full);
        }
    }

    /// Frees a part of what was cleared, and says whether something is still left.
    pub(crate) fn free_some(&mut self) -> bool {
        let Some(retired) = self.retired.last_mut() else {
            return false;
        };
        for _ in 0..FREED_AT_A_TIME {
            retired.pop_first();
        }
        if retired.is_empty() {
            self.retired.pop();
        }
        !self.retired.is_empty()
    }

    /// How many keys have an expiry.
    pub(crate) fn count(&self) -> u64 {
        self.by_time.len() as u64
    }

    /// Keys whose time is at or before `clock`, the earliest first.
    pub(crate) fn due(&self, clock: UnixMs) -> impl Iterator<Item = (&Bytes, UnixMs)> {
        self.by_time
            .iter()
            .take_while(move |(at, _)| *at <= clock)
            .map(|(at, key)| (key, *at))
    }

    /// The earliest time of all.
    pub(crate) fn next(&self) -> Option<UnixMs> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpiryIndex, FREED_AT_A_TIME};
    use kv_common::time::UnixMs;

    #[test]
    fn the_earliest_comes_first_and_changes_are_followed() {
        let mut index = ExpiryIndex::default();
        index.change(b"late", None, Some(UnixMs(9)));
        index.change(b"early", None, Some(UnixMs(3)));
        index.change(b"moved", None, Some(UnixMs(1)));
        index.change(b"moved", Some(UnixMs(1)), Some(UnixMs(5)));
        index.change(b"late", Some(UnixMs(9)), None);
        assert_eq!(index.next(), Some(UnixMs(3)));
        let due: Vec<_> = index.due(UnixMs(5)).map(|(key, _)| &key[..]).collect();
        assert_eq!(due, [&b"early"[..], b"moved"]);
        assert_eq!(index.due(UnixMs(2)).count(), 0);
    }

    #[test]
    fn what_was_cleared_is_freed_in_steps() {
        let mut index = ExpiryIndex::default();
        for number in 0..=FREED_AT_A_TIME as u64 {
            index.change(&number.to_le_bytes(), None, Some(UnixMs(number)));
        }
        index.clear();
        assert_eq!(index.next(), None);
        assert!(index.free_some());
        assert!(!index.free_some());
        assert!(index.retired.is_empty());
    }
}
