//! The store on sled.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use crate::batch::WriteBatch;
use crate::cell::{self, Head, PieceList, SHORT_KEY_MAX_BYTES};
use crate::error::StoreError;
use crate::map::{DurableMap, Record, ScanLimit};
use crate::open::{Opened, guarded, open};
use crate::scan::scan;
use crate::unflushed;

/// The longest key and value together.
const RECORD_MAX_BYTES: usize = 1 << 30;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// How much memory sled keeps pages in.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
        }
    }
}

/// An ordered map of byte strings in a folder, on sled.
pub struct Store {
    path: PathBuf,
    pub(crate) db: sled::Db,
    file: File,
    failed: Option<String>,
    /// Whether any record may be in pieces; as long as none is, nothing has to be looked up before
    /// it is overwritten.
    has_pieces: bool,
    long_key_hash: fn(&[u8]) -> u128,
}

impl Store {
    /// Opens the store in the folder `path`, or creates it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Foreign`] when the
    /// folder is something else, [`StoreError::Corrupt`] when it is damaged: set it aside then and
    /// get the data from elsewhere.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let Opened { db, file } = open(path, &options)?;
        let first_piece = guarded(path, || {
            let first = db.scan_prefix(cell::PIECE_PREFIX).next().transpose();
            first.map_err(|error| StoreError::sled(path, &error))
        })?;
        Ok(Self {
            path: path.to_owned(),
            has_pieces: first_piece.is_some(),
            db,
            file,
            failed: None,
            long_key_hash: xxhash_rust::xxh3::xxh3_128,
        })
    }

    #[cfg(test)]
    pub(crate) fn with_long_key_hash(mut self, hash: fn(&[u8]) -> u128) -> Self {
        self.long_key_hash = hash;
        self
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Turns the changes into cells, with those of overwritten values removed.
    fn cells_of(&mut self, batch: &WriteBatch) -> Result<sled::Batch, StoreError> {
        let mut cells = sled::Batch::default();
        let mut places = LongPlaces::default();
        for (key, value) in batch.iter() {
            let head_key = if key.len() <= SHORT_KEY_MAX_BYTES {
                Some(cell::head_key(key))
            } else {
                self.place_long(key, value.is_some(), &mut places)?
            };
            let Some(head_key) = head_key else {
                continue;
            };
            let old_pieces = self.old_pieces(&head_key)?;
            let mut new_pieces = 0;
            match value {
                Some(value) => {
                    let bytes = key.len() + value.len();
                    if bytes > RECORD_MAX_BYTES {
                        return Err(StoreError::TooLong { bytes });
                    }
                    let encoded = cell::encode(&head_key, key, value);
                    for piece in encoded.pieces {
                        cells.insert(cell::piece_key(&head_key, new_pieces), piece);
                        new_pieces += 1;
                    }
                    self.has_pieces |= new_pieces > 0;
                    cells.insert(head_key.clone(), encoded.head);
                }
                None => cells.remove(head_key.clone()),
            }
            for index in new_pieces..old_pieces {
                cells.remove(cell::piece_key(&head_key, index));
            }
        }
        Ok(cells)
    }

    /// In how many pieces the record is that is there now.
    fn old_pieces(&self, head_key: &[u8]) -> Result<u32, StoreError> {
        if !self.has_pieces {
            return Ok(0);
        }
        let Some(cell) = self.cell(head_key)? else {
            return Ok(0);
        };
        match self.head(head_key, &cell)? {
            Head::Whole { .. } => Ok(0),
            Head::Pieces(list) => Ok(list.count()),
        }
    }

    /// The head's key of a long key: where it is, or, to put it, the first free slot. Nothing for
    /// a delete of a key that is not there.
    fn place_long(
        &self,
        key: &Bytes,
        to_put: bool,
        places: &mut LongPlaces,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let prefix = cell::long_head_prefix(key, (self.long_key_hash)(key));
        let mut free = 0;
        for (head_key, stored) in self.long_keys(&prefix)? {
            if stored == *key {
                return Ok(Some(head_key));
            }
            if let Some(slot) = cell::slot_of(&head_key) {
                free = free.max(slot.saturating_add(1));
            }
        }
        if !to_put {
            return Ok(None);
        }
        let next = places.next_slot.entry(prefix.clone()).or_insert(free);
        let slot = *next;
        *next = slot.saturating_add(1);
        Ok(Some(cell::long_head_key(&prefix, slot)))
    }

    /// The head's keys that begin with `prefix`, with the long keys that they stand for.
    fn long_keys(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, StoreError> {
        let mut found = Vec::new();
        for item in self.db.scan_prefix(prefix) {
            let (head_key, cell) = item.map_err(|error| StoreError::sled(&self.path, &error))?;
            found.push((head_key.to_vec(), self.long_key(&head_key, &cell)?));
        }
        Ok(found)
    }

    /// The long key that a head stands for.
    pub(crate) fn long_key(&self, head_key: &[u8], cell: &[u8]) -> Result<Bytes, StoreError> {
        match self.head(head_key, cell)? {
            Head::Whole { long_key, .. } => Ok(long_key),
            Head::Pieces(list) => {
                let mut front = self.payload(head_key, &list, list.key_bytes)?;
                if front.len() < list.key_bytes {
                    return Err(self.damaged(head_key));
                }
                Ok(front.split_to(list.key_bytes).freeze())
            }
        }
    }

    /// The whole record behind a head.
    pub(crate) fn record(&self, head_key: &[u8], cell: &[u8]) -> Result<Record, StoreError> {
        let (long_key, value) = match self.head(head_key, cell)? {
            Head::Whole { long_key, value } => (long_key, value),
            Head::Pieces(list) => {
                let payload = self.payload(head_key, &list, usize::MAX)?;
                cell::join(&list, payload).ok_or_else(|| self.damaged(head_key))?
            }
        };
        if cell::is_short(head_key) {
            return Ok((Bytes::copy_from_slice(&head_key[1..]), value));
        }
        Ok((long_key, value))
    }

    /// The first `at_least` bytes of a payload or more, as far as there are any.
    fn payload(
        &self,
        head_key: &[u8],
        list: &PieceList,
        at_least: usize,
    ) -> Result<BytesMut, StoreError> {
        let mut payload = BytesMut::new();
        for index in 0..list.count() {
            if payload.len() >= at_least {
                break;
            }
            let piece_key = cell::piece_key(head_key, index);
            let cell = self.cell(&piece_key)?;
            let piece = cell
                .as_deref()
                .and_then(|cell| cell::decode_piece(&piece_key, cell))
                .ok_or_else(|| self.damaged(head_key))?;
            payload.extend_from_slice(piece);
        }
        Ok(payload)
    }

    fn head(&self, head_key: &[u8], cell: &[u8]) -> Result<Head, StoreError> {
        cell::decode_head(head_key, cell).ok_or_else(|| self.damaged(head_key))
    }

    fn cell(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let cell = self.db.get(key);
        cell.map_err(|error| StoreError::sled(&self.path, &error))
    }

    fn damaged(&self, head_key: &[u8]) -> StoreError {
        let start = &head_key[1..head_key.len().min(40)];
        StoreError::corrupt(
            &self.path,
            format!("the record '{}' has a wrong checksum", start.escape_ascii()),
        )
    }

    /// The value of `key`.
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if key.len() <= SHORT_KEY_MAX_BYTES {
            let head_key = cell::head_key(key);
            return match self.cell(&head_key)? {
                Some(cell) => Ok(Some(self.record(&head_key, &cell)?.1)),
                None => Ok(None),
            };
        }
        let prefix = cell::long_head_prefix(key, (self.long_key_hash)(key));
        for (head_key, stored) in self.long_keys(&prefix)? {
            if stored == key {
                let cell = self.cell(&head_key)?;
                let cell = cell.ok_or_else(|| self.damaged(&head_key))?;
                return Ok(Some(self.record(&head_key, &cell)?.1));
            }
        }
        Ok(None)
    }

    fn write(&self, cells: sled::Batch) -> Result<(), StoreError> {
        self.db
            .apply_batch(cells)
            .and_then(|()| self.db.flush())
            .map_err(|error| StoreError::sled(&self.path, &error))?;
        rustix::fs::fdatasync(&self.file).map_err(|error| StoreError::io(&self.path, &error.into()))
    }
}

/// The slots that a batch gives to long keys that were not there before.
#[derive(Default)]
struct LongPlaces {
    next_slot: BTreeMap<Vec<u8>, u16>,
}

impl DurableMap for Store {
    fn apply(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        if let Some(cause) = &self.failed {
            return Err(StoreError::Failed {
                cause: cause.clone(),
            });
        }
        let path = self.path.clone();
        let cells = guarded(&path, || self.cells_of(&batch))?;
        let written = guarded(&path, || self.write(cells));
        if let Err(error) = &written {
            self.failed = Some(error.to_string());
            unflushed::note(&self.path);
        }
        written
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        guarded(&self.path, || self.value(key))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Record>, StoreError> {
        guarded(&self.path, || scan(self, prefix, after, limit))
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        guarded(&self.path, || {
            let size = self.db.size_on_disk();
            size.map_err(|error| StoreError::sled(&self.path, &error))
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;
    use std::time::SystemTime;

    use super::{Store, StoreOptions};
    use crate::batch::WriteBatch;
    use crate::map::DurableMap;
    use crate::unflushed::NOTE;

    #[test]
    fn an_opening_after_a_failed_flush_writes_everything_once_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path();
        let open = || Store::open(path, StoreOptions::default()).expect("opens");
        let batch = |value: &'static str| {
            let mut batch = WriteBatch::new();
            batch.put("key", value);
            batch
        };
        let mut store = open();
        store.apply(batch("flushed")).expect("applies");
        assert!(!path.join(NOTE).exists());
        // No device can be flushed that is none.
        store.file = File::open("/dev/null").expect("opens");
        assert!(store.apply(batch("not flushed")).is_err());
        assert!(store.apply(batch("refused")).is_err());
        drop(store);
        assert!(path.join(NOTE).exists());
        let conf = File::options().write(true).open(path.join("conf"));
        let conf = conf.expect("opens");
        conf.set_modified(SystemTime::UNIX_EPOCH).expect("is set");
        let store = open();
        assert!(!path.join(NOTE).exists());
        let written = fs::metadata(path.join("conf")).expect("is there").mtime();
        assert!(written > 0, "it was not written once more");
        let found = store.get(b"key").expect("reads");
        assert_eq!(found, Some("not flushed".into()));
    }

    #[test]
    fn long_keys_with_one_hash_keep_apart() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || {
            Store::open(dir.path(), StoreOptions::default())
                .expect("opens")
                .with_long_key_hash(|_| 5)
        };
        let key = |last: u8| {
            let mut key = vec![1; 2000];
            key.push(last);
            Bytes::from(key)
        };
        let mut store = open();
        let mut batch = WriteBatch::new();
        batch.put(key(3), "3");
        batch.put(key(1), "1");
        store.apply(batch).expect("applies");
        let mut batch = WriteBatch::new();
        batch.put(key(2), "2");
        batch.put(key(1), "one");
        batch.delete(key(9));
        store.apply(batch).expect("applies");
        let mut batch = WriteBatch::new();
        batch.delete(key(3));
        store.apply(batch).expect("applies");
        drop(store);
        let store = open();
        let found = [1, 2, 3].map(|last| store.get(&key(last)).expect("reads"));
        assert_eq!(found, [Some("one".into()), Some("2".into()), None]);
    }
}
