//! How a client is set up, and what a put may ask for.

use std::time::Duration;

use kv_common::command::{Expiry, PutCondition};
use kv_common::id::Address;

/// How a client is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Coordinators, tried in turn.
    pub coordinators: Vec<Address>,
    /// Nodes to ask while no coordinator is reached. More become known from the first map.
    pub nodes: Vec<Address>,
    /// How long an operation may take, attempts and pauses included.
    pub timeout: Duration,
    /// Whether writes are numbered in a session, so that one whose answer was lost is sent again
    /// and takes effect once. Without, it ends as [`crate::ClientError::OutcomeUnknown`].
    pub with_session: bool,
    /// What the client calls itself in the logs of the others.
    pub name: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            coordinators: Vec::new(),
            nodes: Vec::new(),
            timeout: Duration::from_secs(5),
            with_session: true,
            name: "kvclient".to_owned(),
        }
    }
}

/// What a put may ask for beside key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOptions {
    /// When the key goes by itself; none: never.
    pub expiry: Option<Expiry>,
    /// What must hold for the put to be done.
    pub condition: PutCondition,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            expiry: None,
            condition: PutCondition::Always,
        }
    }
}
