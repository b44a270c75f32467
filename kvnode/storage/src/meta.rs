//! The records that outlive everything else: who the node is and what it promised.

use kv_common::id::{ClusterId, Incarnation, NodeId};
use kv_common::message::control::FsyncMode;
use kv_store::{DurableMap, Store, StoreError, StoreOptions, WriteBatch};
use kvnode_core::promise::Promises;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;

const FOLDER: &str = "meta";
const KEY: &[u8] = b"meta";
/// There is one small record.
const CACHE_BYTES: u64 = 1 << 20;

/// Who a node is and what it promised. Stored as one record, as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRecord {
    /// The node, for as long as its data directory exists.
    pub node: NodeId,
    /// The cluster that it belongs to, once it joined one.
    pub cluster: Option<ClusterId>,
    /// The run.
    pub incarnation: Incarnation,
    /// What it promised.
    pub promises: Promises,
    /// When an entry counted as held in the last run that said so.
    pub fsync: Option<FsyncMode>,
    /// Whether the last run wrote everything down before it ended.
    pub clean_stop: bool,
}

/// What a start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaOpening {
    /// Whether the data directory is new.
    pub first_start: bool,
    /// Whether the run before ended in order; so does no run at all.
    pub clean_stop: bool,
    /// When an entry counted as held in the run before.
    pub fsync_before: Option<FsyncMode>,
}

/// Why the meta records cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record was written by another version, or is no record.
    #[error("the node's meta record cannot be read: {cause}")]
    Unreadable {
        /// What is wrong with it.
        cause: String,
    },
}

/// The meta records of a node. A write takes as long as the disk needs.
pub struct Meta {
    map: Box<dyn DurableMap>,
    record: MetaRecord,
}

impl Meta {
    /// Opens the meta records in a data directory, and counts the run. `new_node` is who the node
    /// is if this is its first start.
    ///
    /// # Errors
    /// When the database cannot be opened, read or written.
    pub fn open(dir: &DataDir, new_node: NodeId) -> Result<(Self, MetaOpening), MetaError> {
        let options = StoreOptions {
            cache_bytes: CACHE_BYTES,
        };
        let path = dir.path().join(FOLDER);
        let is_full = |error: &StoreError| matches!(error, StoreError::DiskFull { .. });
        let store = dir.with_reserve(is_full, || Store::open(&path, options))?;
        Self::over(Box::new(store), new_node)
    }

    /// The same over any durable map.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn over(
        map: Box<dyn DurableMap>,
        new_node: NodeId,
    ) -> Result<(Self, MetaOpening), MetaError> {
        let stored = read(&*map)?;
        let first_start = stored.is_none();
        let before = match stored {
            Some(record) => record,
            None => MetaRecord {
                node: new_node,
                cluster: None,
                incarnation: Incarnation::ZERO,
                promises: Promises::default(),
                fsync: None,
                clean_stop: true,
            },
        };
        let opening = MetaOpening {
            first_start,
            clean_stop: before.clean_stop,
            fsync_before: before.fsync,
        };
        let mut meta = Self {
            map,
            record: before.clone(),
        };
        meta.store(MetaRecord {
            incarnation: before.incarnation.next(),
            clean_stop: false,
            ..before
        })?;
        Ok((meta, opening))
    }

    /// The record as it is on the disk.
    #[must_use]
    pub fn record(&self) -> &MetaRecord {
        &self.record
    }

    /// Replaces the record. It is durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses; nothing more can be stored in this run then.
    pub fn store(&mut self, record: MetaRecord) -> Result<(), MetaError> {
        let bytes = rmp_serde::to_vec_named(&record).map_err(|error| MetaError::Unreadable {
            cause: error.to_string(),
        })?;
        let mut batch = WriteBatch::new();
        batch.put(KEY, bytes);
        self.map.apply(batch)?;
        self.record = record;
        Ok(())
    }
}

/// The record in `map`; nothing before the first start.
pub(crate) fn read(map: &dyn DurableMap) -> Result<Option<MetaRecord>, MetaError> {
    let stored = map.get(KEY)?;
    let decode = |bytes: bytes::Bytes| {
        rmp_serde::from_slice(&bytes).map_err(|error| MetaError::Unreadable {
            cause: error.to_string(),
        })
    };
    stored.map(decode).transpose()
}

#[cfg(test)]
mod tests {
    use super::{Meta, MetaError};
    use kv_common::id::{Epoch, Incarnation, NodeId};
    use kv_store::{DurableMap, Fault, MemoryStore, WriteBatch};

    fn open(map: &MemoryStore, new_node: u64) -> (Meta, super::MetaOpening) {
        Meta::over(Box::new(map.reopened()), NodeId(new_node)).expect("opens")
    }

    #[test]
    fn a_node_keeps_its_id_and_counts_its_runs() {
        let map = MemoryStore::new();
        let (meta, opening) = open(&map, 7);
        assert!(opening.first_start && opening.clean_stop);
        assert_eq!(meta.record().incarnation, Incarnation(1));
        let (meta, opening) = open(&map, 8);
        assert!(!opening.first_start && !opening.clean_stop);
        assert_eq!(meta.record().incarnation, Incarnation(2));
        assert_eq!(meta.record().node, NodeId(7));
    }

    #[test]
    fn promises_and_the_clean_stop_outlive_the_run() {
        let map = MemoryStore::new();
        let (mut meta, _) = open(&map, 7);
        let mut record = meta.record().clone();
        record.promises.seal = Epoch(9);
        record.clean_stop = true;
        meta.store(record).expect("stores");
        let (meta, opening) = open(&map, 7);
        assert!(opening.clean_stop && !meta.record().clean_stop);
        assert_eq!(meta.record().promises.seal, Epoch(9));
    }

    #[test]
    fn what_was_not_stored_is_not_believed() {
        let map = MemoryStore::new();
        let (mut meta, _) = open(&map, 7);
        map.fail_after(0, Fault::LoseAndFail);
        let before = meta.record().clone();
        let mut record = before.clone();
        record.promises.seal = Epoch(9);
        assert!(meta.store(record.clone()).is_err());
        assert_eq!(meta.record(), &before);
        assert!(meta.store(record).is_err(), "nor anything after it");
    }

    #[test]
    fn a_record_that_is_none_is_an_error() {
        let mut map = MemoryStore::new();
        let mut batch = WriteBatch::new();
        batch.put("meta", "x");
        map.apply(batch).expect("applies");
        let opened = Meta::over(Box::new(map), NodeId(1));
        assert!(matches!(opened, Err(MetaError::Unreadable { .. })));
    }
}
