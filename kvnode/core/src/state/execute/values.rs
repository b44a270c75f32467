//! Commands on values: get, put, delete, exists.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_common::command::{Expiry, PutCondition, Reply};
use kv_common::entry::Change;

use super::{Found, Run};

impl<'a> Run<'a> {
    pub(super) fn get(&mut self, key: &Bytes) -> Reply {
        Reply::Value(self.find(key).map(|found| found.value_bytes()))
    }

    /// Drops an earlier expiry unless a new one is given. An expiry that is already past deletes.
    pub(super) fn put(
        &mut self,
        key: &Bytes,
        value: &Bytes,
        expiry: Option<Expiry>,
        condition: &PutCondition,
    ) -> Reply {
        let holds = match condition {
            PutCondition::Always => true,
            PutCondition::IfAbsent => self.find(key).is_none(),
            PutCondition::IfPresent => self.find(key).is_some(),
            PutCondition::IfEquals(expected) => self
                .find(key)
                .is_some_and(|found| found.value() == &expected[..]),
        };
        if !holds {
            return Reply::ConditionFailed;
        }
        let expires_at = expiry.map(|expiry| self.resolve(expiry));
        if expires_at.is_some_and(|at| at <= self.clock) {
            // Logged even if the key is absent, so that a retry finds its record.
            self.changes.push(Change::Delete { key: key.clone() });
        } else {
            self.changes.push(Change::Put {
                key: key.clone(),
                value: value.clone(),
                expires_at,
            });
        }
        Reply::Done
    }

    pub(super) fn delete(&mut self, keys: &[Bytes]) -> Reply {
        let mut count = 0;
        for (key, found) in self.find_each(keys) {
            if found.is_some() {
                self.changes.push(Change::Delete { key: key.clone() });
                count += 1;
            }
        }
        Reply::Count(count)
    }

    pub(super) fn exists(&mut self, keys: &[Bytes]) -> Reply {
        let there: BTreeSet<&Bytes> = self
            .find_each(keys)
            .into_iter()
            .filter_map(|(key, found)| found.map(|_| key))
            .collect();
        let count = keys.iter().filter(|key| there.contains(key)).count();
        Reply::Count(count as u64)
    }

    /// Finds each key once, however often it is named.
    fn find_each<'k>(&mut self, keys: &'k [Bytes]) -> Vec<(&'k Bytes, Option<Found<'a>>)> {
        let mut seen = BTreeSet::new();
        let distinct = keys.iter().filter(|key| seen.insert(*key));
        distinct.map(|key| (key, self.find(key))).collect()
    }
}
