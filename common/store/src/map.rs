//! The door to durable records, behind which tests put something other than a disk.

use bytes::Bytes;

use crate::batch::WriteBatch;
use crate::error::StoreError;

/// A key and its value.
pub type Record = (Bytes, Bytes);

/// How much one scan returns at most. At least one record is returned if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimit {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// An ordered map whose writes are durable when they return.
pub trait DurableMap: Send {
    /// Applies the batch as a whole. When this returns, the disk has it; when it fails, it is not
    /// known whether the disk has it, and no further write is taken.
    ///
    /// # Errors
    /// When the disk refuses or an earlier write failed.
    fn apply(&mut self, batch: WriteBatch) -> Result<(), StoreError>;

    /// The value of `key`.
    ///
    /// # Errors
    /// When the disk refuses or the record is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The next records in key order whose keys begin with `prefix` and come after `after`. An
    /// empty result is the end.
    ///
    /// # Errors
    /// When the disk refuses or a record is damaged.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Record>, StoreError>;

    /// What the records take on the disk, in bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    fn size_on_disk(&self) -> Result<u64, StoreError>;

    /// Removes every record whose key begins with `prefix`, in several batches: after a crash,
    /// some may be left, so call it again.
    ///
    /// # Errors
    /// As [`Self::apply`] and [`Self::scan`].
    fn remove_prefix(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        let limit = ScanLimit {
            records: 1024,
            bytes: 4 << 20,
        };
        loop {
            let records = self.scan(prefix, None, limit)?;
            if records.is_empty() {
                return Ok(());
            }
            let mut batch = WriteBatch::new();
            for (key, _) in records {
                batch.delete(key);
            }
            self.apply(batch)?;
        }
    }
}

/// Calls `take` with every record whose key begins with `prefix`, in key order, a page at a time.
///
/// # Errors
/// What the map or `take` says.
pub fn scan_all<E: From<StoreError>>(
    map: &(impl DurableMap + ?Sized),
    prefix: &[u8],
    mut take: impl FnMut(Record) -> Result<(), E>,
) -> Result<(), E> {
    let limit = ScanLimit {
        records: 1024,
        bytes: 1 << 20,
    };
    let mut after: Option<Bytes> = None;
    loop {
        let page = map.scan(prefix, after.as_deref(), limit)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for record in page {
            take(record)?;
        }
    }
}
