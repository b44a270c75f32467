//! What the commands ask about the node.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_common::id::Address;
use kv_common::time::UnixMs;

use crate::server_state::ServerState;

/// The role of the node, as Redis clients know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Primary, serving.
    Primary,
    /// Anything else.
    Replica {
        /// Where the primary's Redis door is, if that is known.
        primary: Option<Address>,
        /// Whether the node follows it in step.
        in_step: bool,
    },
}

/// A replica, seen from the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// Where its Redis door is.
    pub address: Address,
    /// The last entry that it holds.
    pub held: u64,
    /// Whether every acknowledged write waits for it.
    pub in_sync: bool,
}

/// The node, for INFO and ROLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its id in this run, 40 hexadecimal digits.
    pub run_id: String,
    /// Its version.
    pub version: &'static str,
    /// The process.
    pub process_id: u32,
    /// The port of the Redis door.
    pub port: u16,
    /// Since the start of the process, in milliseconds.
    pub uptime_ms: u64,
    /// Its role.
    pub role: Role,
    /// Whether it is about to be primary: it takes no requests yet, and will shortly.
    pub is_taking_over: bool,
    /// Those that it sends its log to.
    pub replicas: Vec<ReplicaFacts>,
    /// Those of them that hold everything that is applied.
    pub copies_in_step: u64,
    /// The last entry that is applied.
    pub applied: u64,
    /// The last entry of its log.
    pub appended: u64,
    /// Keys.
    pub keys: u64,
    /// Keys that are going to expire.
    pub expiring_keys: u64,
    /// Redis connections.
    pub clients: u64,
    /// Redis connections since the start.
    pub connections_total: u64,
    /// Redis commands since the start.
    pub commands_total: u64,
    /// When `db.txt` was written last.
    pub saved_at: UnixMs,
    /// Whether it is being written.
    pub saves: bool,
    /// Whether another node is about to be made primary because a client asked for it.
    pub fails_over: bool,
    /// Whether it hands its role over and stops.
    pub is_leaving: bool,
    /// Whether each write is on disk before it is answered.
    pub flushes_always: bool,
}

/// What the other clients of a node want to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Channels, each with how many clients.
    pub channels: BTreeMap<Bytes, u64>,
    /// Patterns.
    pub patterns: BTreeSet<Bytes>,
}

/// A connection, as CLIENT LIST tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLine {
    /// Its number.
    pub id: u64,
    /// Whether it listens to what is published.
    pub listens: bool,
    /// Its line.
    pub text: String,
}

/// The node that a connection is one of.
pub trait Host {
    /// What the node is at this moment.
    fn facts(&self) -> NodeFacts;
    /// Whether it is primary, serving.
    fn is_primary(&self) -> bool;
    /// The wall clock.
    fn now(&self) -> UnixMs;
    /// The wall clock in microseconds since 1970.
    fn now_micros(&self) -> u64;
    /// Memory in use, in bytes.
    fn memory_bytes(&self) -> u64;
    /// A number that nobody can guess.
    fn random(&self) -> u64;
    /// What the other clients want to hear.
    fn heard(&self) -> Heard;
    /// Each other Redis connection of the node, as CLIENT LIST tells it.
    fn clients(&self) -> Vec<ClientLine>;
    /// What the commands on the node itself keep there.
    fn server(&self) -> &ServerState;
}
