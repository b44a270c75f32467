//! Keys and values in memory.
//!
//! The keys are spread over a fixed number of partitions by ranges of their hash, each partition
//! being an open-addressing table of its own. A single large table would have to rehash all keys
//! at once when it grows, which at millions of keys takes longer than a lease lasts; a partition
//! is small, and the partitions grow at different moments.
//!
//! The ranges also make a cursor for walks: a walk goes through the hashes in ascending order,
//! and a cursor is the next hash to look at. A key's hash never changes, so a key that is there
//! for the whole walk is met exactly once, whatever is put and removed meanwhile. It depends on
//! nothing but the seed, so a walk can go on at another copy that has the same seed.
//!
//! Memory: 125 bytes a key, all in, for 1,000,000 keys of 16 bytes with values of 64 bytes, and
//! 124 to 142 for 500,000 to 2,000,000 of them, as the partitions' load rises and falls
//! (`cargo run --release -p pieces-bench --bin table-memory 1000000`). 96 of them are the
//! record's allocation, the others its slot.

use std::hint::black_box;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use kv_common::glob::Glob;
use kv_common::time::UnixMs;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::digest::Digest;
use super::expiry::ExpiryIndex;
use super::record::Record;

/// How many partitions there are. With it, a million keys make an average load of three quarters.
const PARTITIONS: usize = 5120;

/// The most keys that one page of a walk looks at.
pub(crate) const PAGE_KEYS_MAX: usize = 10_000;
/// A page ends when its keys come to this many bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// A page ends when matching its pattern took this many steps.
const PAGE_MATCH_STEPS_MAX: u64 = 4_000_000;

/// Keys that are looked up at once before they are needed.
pub const WARMED_MAX: usize = 16;

/// Keys, values and expiries.
#[derive(Debug)]
pub(crate) struct Table {
    seed: u64,
    partitions: Vec<HashTable<Record>>,
    keys: u64,
    digest: Digest,
    expiry: ExpiryIndex,
    /// Partitions of a table that was cleared, still to be freed.
    retired: Vec<HashTable<Record>>,
}

/// A page of a walk.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// What to ask for next; 0: the walk is over.
    pub(crate) cursor: u64,
    /// The records that match.
    pub(crate) records: Vec<&'a Record>,
    /// What finding them out took.
    pub(crate) match_steps: u64,
}

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            partitions: empty_partitions(),
            keys: 0,
            digest: Digest::default(),
            expiry: ExpiryIndex::default(),
            retired: Vec::new(),
        }
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys
    }

    pub(crate) fn digest(&self) -> u128 {
        self.digest.value()
    }

    pub(crate) fn expiry(&self) -> &ExpiryIndex {
        &self.expiry
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Record> {
        let hash = self.hash(key);
        self.partitions[partition_of(hash)].find(slot_hash(hash), |record| record.key() == key)
    }

    /// Looks the first [`WARMED_MAX`] of `keys` up, so that the processor has in its caches what a look-up of them
    /// reads soon after. Nothing here waits for what it found: the processor waits for the memory behind all of
    /// them at once, and not for one after the other.
    pub(crate) fn warm<'key>(&self, keys: impl Iterator<Item = &'key [u8]>) {
        let mut found = [None; WARMED_MAX];
        for (slot, key) in found.iter_mut().zip(keys) {
            let hash = self.hash(key);
            // Whose key it is stands behind the slot; that one of these it is tells the slot's tag.
            *slot = self.partitions[partition_of(hash)].find(slot_hash(hash), |_| true);
        }
        let touched = found.iter().flatten().map(|record| record.touch());
        black_box(touched.fold(0, u8::wrapping_add));
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], expires_at: Option<UnixMs>) {
        let seed = self.seed;
        let hash = self.hash(key);
        let entry = self.partitions[partition_of(hash)].entry(
            slot_hash(hash),
            |record| record.key() == key,
            |record| slot_hash(xxh3_64_with_seed(record.key(), seed)),
        );
        let (old_expiry, record) = match entry {
            Entry::Occupied(occupied) => {
                let record = occupied.into_mut();
                let old_expiry = record.expires_at();
                self.digest.remove(record);
                record.replace(value, expires_at);
                (old_expiry, record)
            }
            Entry::Vacant(vacant) => {
                self.keys += 1;
                let record = Record::new(key, value, expires_at);
                (None, vacant.insert(record).into_mut())
            }
        };
        self.digest.add(record);
        self.expiry.change(key, old_expiry, expires_at);
    }

    /// Removes a key and says whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let partition = &mut self.partitions[partition_of(hash)];
        let found = partition.find_entry(slot_hash(hash), |record| record.key() == key);
        let Ok(entry) = found else { return false };
        let (record, _) = entry.remove();
        self.keys -= 1;
        self.digest.remove(&record);
        self.expiry.change(key, record.expires_at(), None);
        true
    }

    /// Removes all keys. Their memory is freed bit by bit, by [`Self::free_some`]: freeing
    /// millions of records at once would stop the node for longer than a lease lasts.
    pub(crate) fn clear(&mut self) {
        let full = std::mem::replace(&mut self.partitions, empty_partitions());
        let full = full.into_iter().filter(|partition| !partition.is_empty());
        self.retired.extend(full);
        self.keys = 0;
        self.digest = Digest::default();
        self.expiry.clear();
    }

    /// Frees a part of what was cleared, and says whether something is still left.
    pub(crate) fn free_some(&mut self) -> bool {
        self.retired.pop();
        let expiries_left = self.expiry.free_some();
        expiries_left || !self.retired.is_empty()
    }

    /// The next page of a walk: looks at about `limit` keys, from the hash `cursor` upwards.
    /// It looks at one key at least, and never parts keys of the same hash.
    pub(crate) fn scan(&self, cursor: u64, limit: u32, glob: Option<&Glob>) -> Page<'_> {
        let limit = (limit as usize).clamp(1, PAGE_KEYS_MAX);
        let (mut looked_at, mut bytes, mut match_steps) = (0, 0, 0);
        let mut last_hash = None;
        let mut records = Vec::new();
        for partition in &self.partitions[partition_of(cursor)..] {
            for (hash, record) in self.in_hash_order(partition, cursor) {
                let full = looked_at >= limit
                    || bytes >= PAGE_BYTES_MAX
                    || match_steps >= PAGE_MATCH_STEPS_MAX;
                if full && last_hash != Some(hash) {
                    let cursor = hash;
                    return Page {
                        cursor,
                        records,
                        match_steps,
                    };
                }
                last_hash = Some(hash);
                looked_at += 1;
                if glob.is_none_or(|glob| glob.matches(record.key(), &mut match_steps)) {
                    bytes += record.key().len();
                    records.push(record);
                }
            }
        }
        Page {
            cursor: 0,
            records,
            match_steps,
        }
    }

    fn in_hash_order<'a>(
        &self,
        partition: &'a HashTable<Record>,
        from: u64,
    ) -> Vec<(u64, &'a Record)> {
        let mut found: Vec<_> = partition
            .iter()
            .map(|record| (self.hash(record.key()), record))
            .filter(|(hash, _)| *hash >= from)
            .collect();
        found.sort_unstable_by_key(|(hash, _)| *hash);
        found
    }

    fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }
}

fn empty_partitions() -> Vec<HashTable<Record>> {
    (0..PARTITIONS).map(|_| HashTable::new()).collect()
}

/// The partition of a hash: ascending with the hash.
fn partition_of(hash: u64) -> usize {
    ((u128::from(hash) * PARTITIONS as u128) >> 64) as usize
}

/// The hash within a partition. All hashes of a partition have their high bits in common, and the
/// partition's table tells its slots apart by exactly these; so the halves change places.
fn slot_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

#[cfg(test)]
mod tests;
