//! The coordinator as Redis clients see it: a Sentinel that watches one master.
//!
//! | file | what it holds |
//! |---|---|
//! | `connection` | one connection, and what it makes of a request |
//! | `answers` | what the status of the cluster reads as, in Sentinel's terms |
//! | `notices` | what Sentinel publishes when the map of the cluster changes |
//!
//! A node counts here only if it has a Redis door: without one no Redis client can reach it. Nothing
//! here decides: an order goes to the coordinator's core like any other.

mod answers;
mod connection;
mod notices;

pub use connection::{Connection, Plan, Question, Turn};
pub use notices::{Notice, notices};

use kv_common::id::{Address, ClusterId};
use kv_common::timing::Timing;
use kv_resp::Limits;

/// What a request may come to. None is long.
pub const LIMITS: Limits = Limits {
    arguments_max: 1024,
    argument_max_bytes: 64 << 10,
    request_max_bytes: 256 << 10,
};

/// What a Sentinel says about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What clients call the cluster.
    pub master_name: String,
    /// Where this Sentinel listens.
    pub port: u16,
    /// Further Sentinels that clients are to be told of.
    pub others: Vec<Address>,
    /// The cluster; the Sentinel's own id follows from it.
    pub cluster: ClusterId,
    /// The periods of the cluster.
    pub timing: Timing,
}

impl Settings {
    /// 40 hexadecimal digits, as Sentinel's ids have them.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:040x}", self.cluster.0)
    }
}
