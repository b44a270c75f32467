//! The log, the checkpoint and the meta records of a node, and how they come back after a stop.
//!
//! | file | what it holds |
//! |---|---|
//! | `data_dir.rs`, `generation.rs` | one process, one format; which folder counts |
//! | `meta.rs`, `meta_copy.rs`, `meta_thread.rs` | who the node is and what it promised |
//! | `log.rs`, `log_opening.rs`, `log_scan.rs`, `log_cut.rs`, `log_reader.rs`, `log_thread.rs` | batches, durable before anything is said about them |
//! | `log_disk.rs`, `segment.rs`, `record.rs`, `record_stream.rs`, `spare.rs`, `log_index.rs` | the log's files |
//! | `checkpoint.rs`, `checkpoint_load.rs`, `checkpoint_record.rs`, `round.rs`, `checkpoint_thread.rs` | the applied state on disk |
//! | `recovery.rs` | checkpoint and log, brought back |
//! | `copy_source.rs`, `copy_sources.rs`, `copy_target.rs` | a full copy, given and taken |
//! | `retirement.rs`, `set_aside.rs` | data that other data took the place of |
//! | `disk_failure.rs`, `room.rs` | what an error says about the disk, and the room on it about the log |
//! | `dump.rs`, `import.rs` | `db.txt` |
//! | `progress.rs` | when long work says how far it is |
//! | `rebuild.rs` | the last that is left, made into data again |
//! | `inspection.rs` | a data directory, looked at from outside |
//!
//! A start opens [`DataDir`], then [`Meta`], then the data with [`open_data_set`], and hands the
//! parts to [`MetaThread`], [`LogThread`] and [`CheckpointThread`]. A stop in order ends the log
//! thread first, then the checkpoint thread, which writes `db.txt`, then the meta thread, and
//! stores the clean stop in the records that this one hands back. Requests to a thread never wait,
//! and events come by a callback on the thread, which must not wait either.
//!
//! A copy replaces the data while the node runs: [`CopyTarget::take`] goes on beside the threads;
//! before [`CopyTarget::finish`], the log and checkpoint threads are ended, and after it started
//! anew on what it returns.

mod checkpoint;
mod checkpoint_load;
mod checkpoint_record;
mod checkpoint_thread;
mod copy_source;
mod copy_sources;
mod copy_target;
mod data_dir;
mod disk_failure;
mod dump;
mod generation;
mod give_way;
mod import;
mod inspection;
mod log;
mod log_cut;
mod log_disk;
mod log_error;
mod log_index;
mod log_opening;
mod log_pulse;
mod log_reader;
mod log_scan;
mod log_sync;
mod log_thread;
mod meta;
mod meta_copy;
mod meta_thread;
mod options;
mod pace;
mod progress;
mod queue;
mod rebuild;
mod record;
mod record_stream;
mod recovery;
mod retirement;
mod room;
mod round;
mod segment;
mod set_aside;
mod slow_down;
mod spare;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use checkpoint_thread::{CheckpointEvent, CheckpointHandle, CheckpointThread};
pub use copy_source::COPY_WINDOW_PARTS;
pub use copy_target::{CopyError, CopyProgressed, CopyTarget};
pub use data_dir::DataDir;
pub use dump::{DumpError, Export};
pub use import::ImportError;
pub use inspection::{Inspection, InspectionError, InspectionOptions, inspect};
pub use kv_store::DataDirError;
pub use log::Log;
pub use log_error::{LogDamage, LogError, LogReadError, TailCut};
pub use log_opening::LogOpening;
pub use log_pulse::LogPulse;
pub use log_reader::LogReader;
pub use log_thread::{LogEvent, LogHandle, LogReadRequest, LogThread};
pub use meta::{Meta, MetaError, MetaOpening, MetaRecord};
pub use meta_thread::{MetaEvent, MetaThread};
pub use options::StorageOptions;
pub use queue::{QueueError, ThreadPanicked};
pub use rebuild::{RebuildError, RebuildPlan, Rebuilt, plan_rebuild};
pub use recovery::{DataSet, DataSetError, Past, open_data_set};
pub use segment::SEGMENT_BYTES;
