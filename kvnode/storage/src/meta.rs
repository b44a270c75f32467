//! The records that outlive everything else: who the node is and what it promised.

use std::io;
use std::path::{Path, PathBuf};

use kv_common::id::{ClusterId, Incarnation, NodeId};
use kv_common::message::control::{DiskTrouble, FsyncMode};
use kv_store::{DurableMap, Store, StoreError, StoreOptions, WriteBatch};
use kvnode_core::promise::Promises;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;
use crate::meta_copy::{self, FoundCopy, MetaCopy};

/// The database, in the data directory.
pub(crate) const META_FOLDER: &str = "meta";
/// The copy beside it.
const META_COPY: &str = "META-COPY";
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
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The database is damaged.
    #[error(
        "{0}; what this node promised may be lost with it: move its data directory away and start \
         it anew, and it takes a copy; `kvnode recover` is for when there is no other copy"
    )]
    Damaged(StoreError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(StoreError),
    /// The record was written by another version, or is no record.
    #[error("the node's meta record cannot be read: {cause}")]
    Unreadable {
        /// What is wrong with it.
        cause: String,
    },
    /// Neither the database nor the copy beside it has a record, and there was one.
    #[error(
        "the node's meta records in {} and beside it are lost: move the data directory away and \
         start the node anew, and it takes a copy; `kvnode recover` is for when there is no other",
        path.display()
    )]
    Lost {
        /// The copy.
        path: PathBuf,
    },
    /// The copy beside the database cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<StoreError> for MetaError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::Damaged(error),
            other => Self::Store(other),
        }
    }
}

/// A record as it is stored, in the database and in the copy beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    /// How many records were stored before and with this one.
    count: u64,
    record: MetaRecord,
}

/// The meta records of a node. A write takes as long as the disk needs.
pub struct Meta {
    map: Box<dyn DurableMap>,
    copy: Option<MetaCopy>,
    stored: Stored,
    /// How the first write failed, if one did.
    failed: Option<String>,
}

impl Meta {
    /// Opens the meta records in a data directory, and counts the run. `new_node` is who the node
    /// is if this is its first start.
    ///
    /// # Errors
    /// When the database cannot be opened, read or written, and when it is damaged.
    pub fn open(dir: &DataDir, new_node: NodeId) -> Result<(Self, MetaOpening), MetaError> {
        let options = StoreOptions {
            cache_bytes: CACHE_BYTES,
        };
        let is_full = |error: &MetaError| error.failure().trouble == DiskTrouble::Full;
        dir.with_reserve(is_full, || Self::open_in(dir.path(), &options, new_node))
    }

    fn open_in(
        data_dir: &Path,
        options: &StoreOptions,
        new_node: NodeId,
    ) -> Result<(Self, MetaOpening), MetaError> {
        let store = Store::open(&data_dir.join(META_FOLDER), *options)?;
        let path = data_dir.join(META_COPY);
        let Found { stored, fault } = read(&store, &path)?;
        if let Some(fault) = fault {
            tracing::warn!(path = %path.display(), "{fault}");
        }
        let copy = MetaCopy::open(&path).map_err(|source| copy_error(&path, source))?;
        Self::start(Box::new(store), Some(copy), stored, new_node)
    }

    /// The same over any durable map, without a copy beside it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn over(
        map: Box<dyn DurableMap>,
        new_node: NodeId,
    ) -> Result<(Self, MetaOpening), MetaError> {
        let found = read_database(&*map)?;
        Self::start(map, None, found, new_node)
    }

    fn start(
        map: Box<dyn DurableMap>,
        copy: Option<MetaCopy>,
        found: Option<Stored>,
        new_node: NodeId,
    ) -> Result<(Self, MetaOpening), MetaError> {
        let first_start = found.is_none();
        let stored = found.unwrap_or(Stored {
            count: 0,
            record: MetaRecord {
                node: new_node,
                cluster: None,
                incarnation: Incarnation::ZERO,
                promises: Promises::default(),
                fsync: None,
                clean_stop: true,
            },
        });
        let before = stored.record.clone();
        let opening = MetaOpening {
            first_start,
            clean_stop: before.clean_stop,
            fsync_before: before.fsync,
        };
        let mut meta = Self {
            map,
            copy,
            stored,
            failed: None,
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
        &self.stored.record
    }

    /// Replaces the record. It is durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses; nothing more can be stored in this run then.
    pub fn store(&mut self, record: MetaRecord) -> Result<(), MetaError> {
        if let Some(cause) = &self.failed {
            let cause = cause.clone();
            return Err(MetaError::Store(StoreError::Failed { cause }));
        }
        let stored = self.write(record);
        if let Err(error) = &stored {
            self.failed = Some(error.to_string());
        }
        stored
    }

    fn write(&mut self, record: MetaRecord) -> Result<(), MetaError> {
        let count = self.stored.count + 1;
        let stored = Stored { count, record };
        let bytes = rmp_serde::to_vec_named(&stored).map_err(|error| MetaError::Unreadable {
            cause: error.to_string(),
        })?;
        let mut batch = WriteBatch::new();
        batch.put(KEY, bytes.clone());
        self.map.apply(batch)?;
        if let Some(copy) = &self.copy {
            copy.store(count, &bytes)
                .map_err(|source| copy_error(copy.path(), source))?;
        }
        self.stored = stored;
        Ok(())
    }
}

/// What the database and the copy beside it come to.
struct Found {
    /// Nothing before the first start.
    stored: Option<Stored>,
    fault: Option<MetaFault>,
}

/// One of the two places of the meta record is damaged, the other is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetaFault {
    #[error("the meta database lost records; the copy beside it has them")]
    DatabaseBehind,
    #[error("the copy of the meta records is damaged; the meta database has them")]
    CopyDamaged,
}

/// The last record that was stored in `map` and in the copy at `path`. Changes nothing.
fn read(map: &dyn DurableMap, path: &Path) -> Result<Found, MetaError> {
    let in_database = read_database(map)?;
    let mut fault = None;
    let in_copy = match meta_copy::look(path).map_err(|source| copy_error(path, source))? {
        FoundCopy::Record { record, .. } => Some(decode(&record)?),
        FoundCopy::Empty => None,
        FoundCopy::Damaged if in_database.is_none() => {
            let path = path.to_owned();
            return Err(MetaError::Lost { path });
        }
        FoundCopy::Damaged => {
            fault = Some(MetaFault::CopyDamaged);
            None
        }
    };
    let count_of = |stored: &Option<Stored>| stored.as_ref().map_or(0, |stored| stored.count);
    let stored = if count_of(&in_copy) > count_of(&in_database) {
        fault = Some(MetaFault::DatabaseBehind);
        in_copy
    } else {
        in_database
    };
    Ok(Found { stored, fault })
}

/// The record of a data directory, of which `map` is the meta database, and what is wrong with one
/// of its two places; nothing before the first start. Changes nothing.
pub(crate) fn read_record(
    map: &dyn DurableMap,
    data_dir: &Path,
) -> Result<Option<(MetaRecord, Option<MetaFault>)>, MetaError> {
    let Found { stored, fault } = read(map, &data_dir.join(META_COPY))?;
    Ok(stored.map(|stored| (stored.record, fault)))
}

fn read_database(map: &dyn DurableMap) -> Result<Option<Stored>, MetaError> {
    let stored = map.get(KEY)?;
    stored.map(|bytes| decode(&bytes)).transpose()
}

fn decode(bytes: &[u8]) -> Result<Stored, MetaError> {
    rmp_serde::from_slice(bytes).map_err(|error| MetaError::Unreadable {
        cause: error.to_string(),
    })
}

fn copy_error(path: &Path, source: io::Error) -> MetaError {
    MetaError::Copy {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::{META_COPY, META_FOLDER, Meta, MetaError};
    use crate::data_dir::DataDir;
    use kv_common::id::{Epoch, Incarnation, NodeId, ShardId};
    use kv_common::view::{PrimarySeat, View, ViewSettings};
    use kv_store::{DurableMap, Fault, MemoryStore, WriteBatch};
    use std::fs;

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
    fn the_copy_knows_what_the_database_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node");
        let dir = DataDir::open(&path).expect("opens");
        drop(Meta::open(&dir, NodeId(7)).expect("opens"));
        let database = path.join(META_FOLDER).join("db");
        let older = fs::read(&database).expect("reads");
        let (mut meta, _) = Meta::open(&dir, NodeId(8)).expect("opens");
        let mut record = meta.record().clone();
        record.promises.seal = Epoch(9);
        meta.store(record).expect("stores");
        drop(meta);
        fs::remove_dir_all(path.join(META_FOLDER)).expect("removes");
        let (meta, _) = Meta::open(&dir, NodeId(8)).expect("opens");
        assert_eq!(meta.record().promises.seal, Epoch(9), "with no database");
        drop(meta);
        fs::write(&database, older).expect("writes");
        let (meta, _) = Meta::open(&dir, NodeId(8)).expect("opens");
        assert_eq!(meta.record().node, NodeId(7));
        assert_eq!(meta.record().promises.seal, Epoch(9), "with an older one");
        drop(meta);
        fs::write(path.join(META_COPY), "x").expect("writes");
        let (meta, _) = Meta::open(&dir, NodeId(8)).expect("opens");
        assert_eq!(meta.record().promises.seal, Epoch(9), "with no copy");
        drop(meta);
        fs::write(path.join(META_COPY), "x").expect("writes");
        fs::remove_dir_all(path.join(META_FOLDER)).expect("removes");
        let refused = Meta::open(&dir, NodeId(8)).err().expect("refused");
        assert!(matches!(refused, MetaError::Lost { .. }), "{refused}");
    }

    #[test]
    fn where_the_copy_fails_nothing_more_is_stored() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = DataDir::open(&folder.path().join("node")).expect("opens");
        let (mut meta, _) = Meta::open(&dir, NodeId(7)).expect("opens");
        let before = meta.record().clone();
        let mut too_long = before.clone();
        too_long.promises.view = Some(View {
            shard: ShardId(0),
            epoch: Epoch(1),
            primary: PrimarySeat {
                node: NodeId(7),
                incarnation: Incarnation(1),
            },
            backups: (0..100_000).map(NodeId).collect(),
            release: None,
            settings: ViewSettings {
                copies: 3,
                min_in_sync: 2,
                heartbeat_interval_ms: 500,
            },
        });
        assert!(meta.store(too_long).is_err());
        assert!(meta.store(before.clone()).is_err(), "nor anything after it");
        assert_eq!(meta.record(), &before);
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
