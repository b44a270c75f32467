//! The log, the checkpoint, the meta records of a node, and their recovery.
//!
//! ```text
//! // data_dir.rs — open first; holds LOCK until dropped.
//! pub struct DataDir;  impl DataDir { pub fn open(path: &Path) -> Result<Self, DataDirError>; pub fn path(&self) -> &Path; }
//!
//! // meta.rs — the record, and the thread that stores it
//! pub struct MetaRecord { pub node: NodeId, pub cluster: Option<ClusterId>, pub incarnation: Incarnation, pub promises: Promises,
//!                         pub fsync: Option<FsyncMode>, pub clean_stop: bool }
//! pub struct MetaOpening { pub record: MetaRecord /* already counted up, clean_stop=false, durable */, pub clean_stop: bool /* of the run before; true for a first start */, pub first_start: bool }
//! pub struct Meta; impl Meta { pub fn open(dir: &DataDir, new_node_id: NodeId) -> Result<(Meta, MetaOpening), MetaError>;   // new_node_id is used at a first start only
//!     pub fn over(map: Box<dyn DurableMap>, new_node_id: NodeId) -> Result<(Meta, MetaOpening), MetaError>;                // for tests: kv_store::MemoryStore
//!     pub fn record(&self) -> &MetaRecord; pub fn store(&mut self, record: MetaRecord) -> Result<(), MetaError>; }
//! pub struct MetaThread; impl MetaThread { pub fn spawn(meta: Meta, on_event: impl FnMut(MetaEvent) + Send + 'static) -> io::Result<MetaThread>;
//!     pub fn store_promises(&self, promises: Promises, ticket: Ticket) -> Result<(), QueueFull>; pub fn store_cluster(&self, ClusterId) -> Result<(), QueueFull>;
//!     pub fn stop(self) -> Result<Meta, Stopped>;  /* drains, joins; then meta.store(record with clean_stop) */ }
//! pub enum MetaEvent { Stored { ticket: Ticket }, Failed { cause: String } }
//!
//! // data_set.rs (recovery.rs) — the current generation: log + checkpoint + State
//! pub struct StorageOptions { pub segment_bytes: u64 /*16 MiB*/, pub retention_bytes: u64 /*256 MiB*/, pub checkpoint_cache_bytes: u64,
//!                             pub checkpoint_every_bytes: u64 /*64 MiB*/, pub checkpoint_every: Duration /*60 s*/, pub fsync: FsyncMode, pub hash_seed: u64 }  // Default
//! pub fn open_data_set(dir: &DataDir, options: &StorageOptions, tail_certain: bool /* meta.clean_stop || fsync always */, import_from: Option<&Path> /* db.txt, at a first start only */)
//!     -> Result<DataSet, DataSetError>;                        // blocking; makes gen-000001 when there is none; imports; recovers
//! pub struct DataSet { pub recovered: Recovered, pub log: Log, pub checkpoint: Checkpoint, pub imported: Option<DataSummary> /* base data of an import, while the log is empty */ }
//!
//! // log_thread.rs — all requests never block; QueueFull hands the request's failure to you (bounded queue of 1024)
//! pub struct LogThread; impl LogThread { pub fn spawn(log: Log, options: &StorageOptions, on_event: impl FnMut(LogEvent) + Send + 'static) -> io::Result<LogThread>;
//!     pub fn handle(&self) -> LogHandle; pub fn stop(self) /* writes, fdatasyncs, joins */ -> Result<(), Stopped>; }
//! #[derive(Clone)] pub struct LogHandle; impl LogHandle { pub fn append(&self, Batch) -> Result<(), QueueFull>; pub fn cut_after(&self, Seq, Ticket) -> Result<(), QueueFull>;
//!     pub fn read(&self, LogReadRequest { node: NodeId, link: LinkId, from: Seq, max_bytes: usize }) -> Result<(), QueueFull>; pub fn release_below(&self, Seq) -> …;
//!     pub fn pulse(&self) -> &LogPulse; }
//! pub enum LogEvent { Flushed { through: Seq } /* always: on disk; everysec: handed to the system */, Synced { through: Seq } /* everysec only */, Cut { ticket: Ticket },
//!     Read { node: NodeId, link: LinkId, from: Seq, batches: Vec<Batch> /* empty: no longer there */ }, Released { log_from: Seq }, Failed { cause: String } }
//! pub struct LogPulse; impl LogPulse { pub fn pending_since_ms(&self) -> Option<u64>; pub fn last_flush_age_ms(&self) -> Option<u64>; pub fn failed(&self) -> bool; }  // Sync, atomics
//!
//! // checkpoint_thread.rs — owns Checkpoint and a LogReader; releases the log's head itself through the LogHandle
//! pub struct CheckpointThread; impl CheckpointThread { pub fn spawn(checkpoint: Checkpoint, log: LogHandle, options: &StorageOptions, on_event: impl FnMut(CheckpointEvent) + Send + 'static) -> io::Result<CheckpointThread>;
//!     pub fn handle(&self) -> CheckpointHandle; pub fn stop(self, dump_to: Option<PathBuf>) -> Result<Option<DumpSummary>, Stopped>; /* last checkpoint at the last applied(); db.txt at a clean stop */ }
//! #[derive(Clone)] pub struct CheckpointHandle; impl CheckpointHandle { pub fn applied(&self, Seq);  // an atomic store: call after each turn
//!     pub fn dump(&self, token: u64, at: Seq, path: PathBuf) -> Result<(), QueueFull>; pub fn export(&self, token: u64, at: Seq) -> Result<(), QueueFull>;
//!     pub fn begin_copy(&self, copy: u64) -> Result<(), QueueFull>; pub fn copy_taken(&self, copy: u64, parts: u64) -> …; pub fn end_copy(&self, copy: u64) /* connection closed */ -> …; }
//! pub enum CheckpointEvent { Checkpointed { applied: Position }, Dumped { token: u64, outcome: Result<DumpSummary, String> },
//!     Exported { token: u64, outcome: Result<Export /* { file: std::fs::File at offset 0, summary: DumpSummary } */, String> },
//!     CopyMessage { copy: u64, message: PrimaryToJoiner } /* at most COPY_WINDOW_PARTS=16 Records/Batch parts beyond what copy_taken() said; send them on in order */, Failed { cause: String } }
//!
//! // copy_target.rs — blocking calls: use a thread of its own. The old generation's threads go on until finish() (stop them just before).
//! pub struct CopyTarget; impl CopyTarget { pub fn begin(dir: &DataDir (path), options: &StorageOptions) -> Result<Self, CopyError>;
//!     pub fn take(&mut self, PrimaryToJoiner) -> Result<CopyStep /* More { parts: u64 /* answer Taken */ } | Ended */, CopyError>; pub fn progress(&self) -> (u64 /*bytes done*/, u64 /*total*/);
//!     pub fn finish(self, set_aside: bool /* keep the old generation beside */) -> Result<DataSet, CopyError>; /* dropping it unfinished removes the folder */ }
//! pub fn inspect(path: &Path) -> Result<Inspection /* Display */, …>;
//! ```
//! The copy's connection needs frame_max_bytes = kv_common::limits::BATCH_MAX_BYTES + 64 KiB: a record or batch is one message.
