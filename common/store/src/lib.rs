//! What both daemons keep on a disk: a data directory that is theirs alone, and sled with the
//! durability rules that they rely on. Nothing else uses sled.
//!
//! A [`Store`] is an ordered map of byte strings in a folder. [`Store::apply`] takes a batch
//! of changes together or not at all, and returns when the disk has it. What sled 0.34.7 needs for
//! that is kept in here:
//!
//! - `flush` calls no fsync on Linux: each batch is followed by an `fdatasync` of our own on the
//!   file `db`. `flush_async` can deadlock and is never called.
//! - Pages over a quarter of a segment go to files that are never synced. Segments are 4 MiB, and
//!   no cell is longer than 16 KiB: long values and long keys are stored in pieces
//!   (see [`CELL_MAX_BYTES`] and [`SHORT_KEY_MAX_BYTES`]). Callers see whole keys and values, in
//!   the order of the whole keys.
//! - A process that dies while it opens leaves `snap.*.generating`, which the next opening takes
//!   for corruption: it is removed first.
//! - Damage shows as an error or as a panic: both become [`StoreError`]. Every record carries a
//!   CRC-32C of ours.
//! - After a failed write nothing is known about what is on the disk: the store refuses all
//!   further writes with [`StoreError::Failed`] until it is opened again. What a failed flush left in
//!   memory is read by the next opening, and no flush brings it to the disk any more: so the failure
//!   is noted in the folder, and the next opening writes the files once more.
//!
//! sled takes a lock of the whole process for each batch, so a long batch in one store holds up all
//! the others. Callers keep batches to about a thousand records.
//!
//! [`DurableMap`] is the door through which tests put [`MemoryStore`] in place of a disk: it fails,
//! stalls and forgets when it is told to.

mod batch;
mod cell;
mod data_dir;
mod error;
pub mod file;
mod map;
mod memory;
mod open;
mod scan;
mod store;
mod unflushed;

pub use batch::WriteBatch;
pub use cell::{CELL_MAX_BYTES, SHORT_KEY_MAX_BYTES};
pub use data_dir::{DataDir, DataDirError, DataDirOwner};
pub use error::StoreError;
pub use map::{DurableMap, Record, ScanLimit, scan_all};
pub use memory::{Fault, MemoryStore, Stall};
pub use store::{Store, StoreOptions};
