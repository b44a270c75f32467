//! Commands on values: get, put, delete, exists, of one key or many.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_common::command::{Expiry, PutCondition, Reply};
use kv_common::entry::Change;
use kv_common::refusal::Refusal;
use kv_common::value_digest::value_digest;

use super::run::{Found, Run};

impl<'a> Run<'a> {
    pub(super) fn get(&mut self, key: &Bytes) -> Reply {
        Reply::Value(self.find(key).map(|found| found.value_bytes()))
    }

    pub(super) fn get_many(&mut self, keys: &[Bytes]) -> Result<Reply, Refusal> {
        let mut values: BTreeMap<&Bytes, Option<Bytes>> = BTreeMap::new();
        let (mut listed, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value = values
                .entry(key)
                .or_insert_with(|| self.find(key).map(|found| found.value_bytes()));
            bytes += value.as_ref().map_or(0, Bytes::len);
            self.check_bytes(bytes)?;
            listed.push(value.clone());
        }
        Ok(Reply::Values(listed))
    }

    /// Drops an earlier expiry unless a new one is given. An expiry that is already past deletes.
    pub(super) fn put(
        &mut self,
        key: &Bytes,
        value: &Bytes,
        expiry: Option<Expiry>,
        condition: &PutCondition,
    ) -> Reply {
        if !self.holds(key, condition) {
            return Reply::ConditionFailed;
        }
        let expires_at = expiry.map(|expiry| self.resolve(expiry));
        // Logged even if the key is absent, so that a retry finds its record.
        self.write_value(key, value.clone(), expires_at);
        Reply::Done
    }

    pub(super) fn holds(&mut self, key: &Bytes, condition: &PutCondition) -> bool {
        match condition {
            PutCondition::Always => true,
            PutCondition::IfAbsent => self.find(key).is_none(),
            PutCondition::IfPresent => self.find(key).is_some(),
            PutCondition::IfEquals(expected) => self
                .find(key)
                .is_some_and(|found| found.value() == &expected[..]),
            PutCondition::IfDiffers(other) => self
                .find(key)
                .is_none_or(|found| found.value() != &other[..]),
            PutCondition::IfDigestEquals(expected) => self
                .find(key)
                .is_some_and(|found| value_digest(found.value()) == *expected),
            PutCondition::IfDigestDiffers(other) => self
                .find(key)
                .is_none_or(|found| value_digest(found.value()) != *other),
        }
    }

    pub(super) fn put_many(&mut self, pairs: &[(Bytes, Bytes)], if_absent: bool) -> Reply {
        if if_absent && pairs.iter().any(|(key, _)| self.find(key).is_some()) {
            return Reply::ConditionFailed;
        }
        for (key, value) in pairs {
            self.write_value(key, value.clone(), None);
        }
        Reply::Done
    }

    pub(super) fn delete(&mut self, keys: &[Bytes]) -> Reply {
        let mut count = 0;
        for (key, found) in self.find_each(keys) {
            if found.is_some() {
                self.write(Change::Delete { key: key.clone() });
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
