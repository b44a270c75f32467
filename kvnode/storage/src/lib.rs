//! The log, the checkpoint and the meta records of a node, and how they come back after a stop.

mod data_dir;
mod file;
mod log;
mod log_error;
mod log_index;
mod log_pulse;
mod log_reader;
mod log_scan;
mod log_thread;
mod options;
mod queue;
mod record;
mod record_stream;
mod segment;
mod spare;

pub use data_dir::{DataDir, DataDirError};
pub use log::{Log, LogOpening};
pub use log_error::{LogDamage, LogError, LogReadError, TailCut};
pub use log_pulse::LogPulse;
pub use log_reader::LogReader;
pub use log_thread::{LogEvent, LogHandle, LogReadRequest, LogThread};
pub use options::StorageOptions;
pub use queue::{QueueError, ThreadPanicked};
pub use segment::SEGMENT_BYTES;
