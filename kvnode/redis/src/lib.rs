//! Redis commands: what a request comes to, and how the core's answer reads as a reply.
//!
//! | file | what it holds |
//! |---|---|
//! | `table` | every command: name, arity, flags, keys, function |
//! | `subcommands` | which subcommands commands have |
//! | `connection` | the state of one connection, and what it makes of a request |
//! | `transaction` | MULTI, EXEC, WATCH: what is queued and what is watched |
//! | `plan`, `shape` | what a request comes to; what the core's answer becomes |
//! | `fault` | errors in the words of Redis |
//! | `host` | what is asked about the node |
//! | `strings`, `bits`, `keys`, `expiries` | commands on the key space |
//! | `conditions` | conditions on the value that a key has |
//! | `dump` | values in the form in which Redis hands them on |
//! | `publish`, `notifications` | publish and subscribe; what is published of changes |
//! | `roles` | commands on the role of the node and on its end |
//! | `client`, `server`, `info`, `configuration`, `commands` | commands on the connection and the node |
//! | `action` | what commands do to the node, beside the key space |
//! | `server_state`, `settings`, `slow_log` | what the node keeps for these: settings, slow requests |
//! | `debug` | DEBUG SLEEP |
//! | `absent`, `help` | commands on what there is not here; HELP |
//!
//! Commands are executed by the core alone. Nothing here awaits, reads a clock or holds a key.

mod absent;
mod action;
mod bits;
mod call;
mod client;
mod commands;
mod conditions;
mod configuration;
mod connection;
mod debug;
mod dump;
mod expiries;
mod fault;
mod help;
mod host;
mod info;
mod keys;
mod notifications;
mod plan;
mod publish;
mod roles;
mod server;
mod server_state;
mod settings;
mod shape;
mod slow_log;
mod strings;
mod subcommands;
mod table;
mod transaction;

pub use action::{Action, Victims};
pub use connection::{Connection, ConnectionInfo, Turn};
pub use fault::refused;
pub use host::{ClientLine, Heard, Host, NodeFacts, ReplicaFacts, Role};
pub use plan::{Plan, Task};
pub use server_state::{DebugAccess, ServerState};
pub use shape::{Piece, Shape, copies};
pub use slow_log::Answered;

use kv_common::limits::{COMMAND_MAX_BYTES, KEYS_PER_REQUEST_MAX, VALUE_MAX_BYTES};
use kv_resp::Limits;

/// What a request may come to.
pub const LIMITS: Limits = Limits {
    // Keys and values, and a few words before and behind them.
    arguments_max: 2 * KEYS_PER_REQUEST_MAX + 16,
    argument_max_bytes: VALUE_MAX_BYTES,
    request_max_bytes: COMMAND_MAX_BYTES + (8 << 20),
};
