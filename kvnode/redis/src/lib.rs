//! Redis commands: what a request comes to, and how the core's answer reads as a reply.
//!
//! | file | what it holds |
//! |---|---|
//! | `table` | every command: name, arity, flags, keys, function |
//! | `connection` | the state of one connection, and what it makes of a request |
//! | `plan`, `shape` | what a request comes to; what the core's answer becomes |
//! | `fault` | errors in the words of Redis |
//! | `host` | what is asked about the node |
//! | `strings`, `bits`, `keys`, `expiries` | commands on the key space |
//! | `conditions` | conditions on the value that a key has |
//! | `dump` | values in the form in which Redis hands them on |
//! | `publish` | publish and subscribe |
//! | `client`, `server`, `info`, `configuration`, `commands` | commands on the connection and the node |
//!
//! Commands are executed by the core alone. Nothing here awaits, reads a clock or holds a key.

mod bits;
mod call;
mod client;
mod commands;
mod conditions;
mod configuration;
mod connection;
mod dump;
mod expiries;
mod fault;
mod host;
mod info;
mod keys;
mod plan;
mod publish;
mod server;
mod shape;
mod strings;
mod table;

pub use connection::{Connection, ConnectionInfo, Turn};
pub use fault::refused;
pub use host::{Heard, Host, NodeFacts, ReplicaFacts, Role};
pub use plan::{Plan, Task, Victims};
pub use shape::{Shape, copies};

use kv_common::limits::{COMMAND_MAX_BYTES, KEYS_PER_REQUEST_MAX, VALUE_MAX_BYTES};
use kv_resp::Limits;

/// What a request may come to.
pub const LIMITS: Limits = Limits {
    // Keys and values, and a few words before and behind them.
    arguments_max: 2 * KEYS_PER_REQUEST_MAX + 16,
    argument_max_bytes: VALUE_MAX_BYTES,
    request_max_bytes: COMMAND_MAX_BYTES + (8 << 20),
};
