//! Reading a store in key order.
//!
//! Short keys stand in order as they are, and a long key stands where its first KiB belongs. Only
//! among long keys with the same first KiB (a *group*) does sled's order, by hash, differ
//! from that of the keys: a group is read in passes, each of which finds the next few keys in
//! order, so that any number of them takes bounded memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::cell;
use crate::cell::SHORT_KEY_MAX_BYTES;
use crate::error::StoreError;
use crate::map::{Record, ScanLimit};
use crate::store::Store;

/// How many keys of a group one pass finds: at most 16 MiB of keys.
const PASS_KEYS: usize = 256;

/// See [`crate::DurableMap::scan`].
pub(crate) fn scan(
    store: &Store,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: ScanLimit,
) -> Result<Vec<Record>, StoreError> {
    let head_prefix = cell::head_key(prefix);
    let after = after.filter(|after| *after >= prefix);
    let mut page = Page::new(limit);
    // Behind a long key that is its first KiB: its group is read again, from behind the key.
    let mut from = match after {
        None => Bound::Included(head_prefix.clone()),
        Some(after) => Bound::Excluded(cell::head_key(after)),
    };
    loop {
        let mut group = None;
        for item in store.db.range((from.clone(), Bound::Unbounded)) {
            let (head_key, cell) = item.map_err(|error| StoreError::sled(store.path(), &error))?;
            if !head_key.starts_with(&head_prefix) || page.is_full() {
                return Ok(page.records);
            }
            if !cell::is_short(&head_key) {
                group = Some(head_key);
                break;
            }
            // The very beginning of a longer prefix does not begin with it.
            if head_key[1..].starts_with(prefix) {
                page.push(store.record(&head_key, &cell)?);
            }
        }
        let Some(head_key) = group else {
            return Ok(page.records);
        };
        scan_group(store, &head_key, prefix, after, &mut page)?;
        from = Bound::Excluded(cell::group_end(&head_key));
    }
}

/// Adds the long keys of a group that begin with `prefix` and come after `after`.
fn scan_group(
    store: &Store,
    head_key: &[u8],
    prefix: &[u8],
    after: Option<&[u8]>,
    page: &mut Page,
) -> Result<(), StoreError> {
    let group = &head_key[..=SHORT_KEY_MAX_BYTES];
    let mut after = after.map(Bytes::copy_from_slice);
    while !page.is_full() {
        let mut next: BTreeMap<Bytes, sled::IVec> = BTreeMap::new();
        for item in store.db.scan_prefix(group) {
            let (head_key, cell) = item.map_err(|error| StoreError::sled(store.path(), &error))?;
            if cell::is_short(&head_key) {
                continue;
            }
            let key = store.long_key(&head_key, &cell)?;
            if key.starts_with(prefix) && after.as_ref().is_none_or(|after| key > *after) {
                next.insert(key, head_key);
                if next.len() > PASS_KEYS {
                    next.pop_last();
                }
            }
        }
        let found = next.len();
        for (key, head_key) in next {
            if page.is_full() {
                return Ok(());
            }
            let cell = store.db.get(&head_key);
            let cell = cell.map_err(|error| StoreError::sled(store.path(), &error))?;
            if let Some(cell) = cell {
                page.push(store.record(&head_key, &cell)?);
            }
            after = Some(key);
        }
        if found < PASS_KEYS {
            return Ok(());
        }
    }
    Ok(())
}

/// Records until the limit is reached.
struct Page {
    records: Vec<Record>,
    bytes: usize,
    limit: ScanLimit,
}

impl Page {
    fn new(limit: ScanLimit) -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            limit,
        }
    }

    fn is_full(&self) -> bool {
        !self.records.is_empty()
            && (self.records.len() >= self.limit.records || self.bytes >= self.limit.bytes)
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.0.len() + record.1.len();
        self.records.push(record);
    }
}
