//! What the programs of the cluster agree on.
//!
//! Everything here is a plain value or a pure function: ids and positions, views, the arithmetic
//! of leases, the entries of the log and their encoding, the commands that clients send, the
//! messages of every link, and the `db.txt` text format. Nothing here reads a clock, opens a
//! socket or a file, or draws a random number.

pub mod batch;
pub mod command;
pub mod db_txt;
pub mod edit;
pub mod entry;
pub mod glob;
pub mod history;
pub mod id;
pub mod key_event;
pub mod limits;
pub mod message;
pub mod refusal;
pub mod tally;
pub mod time;
pub mod timing;
pub mod value_digest;
pub mod view;
