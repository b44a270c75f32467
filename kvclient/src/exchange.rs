//! One question and its answer, over a connection of their own.

use std::time::Duration;

use kv_common::id::Address;
use kv_common::message::hello::{Caller, Hello, PROTOCOL_VERSION};
use kv_net::{Connection, Limits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::error::ClientError;

/// How long dialling and the hello may take: a node that is there answers at once, and others are
/// to be tried while there is time.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The number of the exchange: the connection carries no other.
pub(crate) const EXCHANGE: u64 = 1;

/// The hello of a client that is called `name`.
pub(crate) fn hello(name: &str) -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster: None,
        caller: Caller::Client {
            name: name.to_owned(),
        },
        credentials: None,
    }
}

/// What connections to nodes are held to.
fn node_limits() -> Limits {
    Limits {
        handshake_timeout: DIAL_TIMEOUT,
        ..Limits::client()
    }
}

/// What connections to coordinators are held to.
fn coordinator_limits() -> Limits {
    Limits {
        handshake_timeout: DIAL_TIMEOUT,
        ..Limits::control()
    }
}

/// Who a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Coordinator,
    Node,
}

impl Callee {
    fn limits(self) -> Limits {
        match self {
            Self::Coordinator => coordinator_limits(),
            Self::Node => node_limits(),
        }
    }
}

/// Dials `callee` at `address`. Both let clients in, so that the other one may well answer there.
///
/// # Errors
/// Why it is not reached.
pub(crate) async fn dial(
    address: &Address,
    hello: &Hello,
    callee: Callee,
) -> Result<Connection, String> {
    let dialled = kv_net::dial(address, hello, callee.limits()).await;
    let (connection, accepted) = dialled.map_err(|cause| cause.to_string())?;
    match (callee, accepted.node) {
        (Callee::Coordinator, Some(_)) => Err(format!("{address} is a node, not a coordinator")),
        (Callee::Node, None) => Err(format!("{address} is a coordinator, not a node")),
        (Callee::Coordinator, None) | (Callee::Node, Some(_)) => Ok(connection),
    }
}

/// A connection with one question on its way.
pub(crate) struct Question {
    address: Address,
    connection: Connection,
}

impl Question {
    /// Dials and asks.
    pub(crate) async fn ask<Q: Serialize>(
        address: &Address,
        hello: &Hello,
        callee: Callee,
        question: &Q,
        deadline: Instant,
    ) -> Result<Self, ClientError> {
        let nobody = |why: String| ClientError::NobodyToAsk { why };
        let dialled = timeout_at(deadline, dial(address, hello, callee)).await;
        let late = |_| nobody(format!("{address} did not answer in time"));
        let mut connection = dialled.map_err(late)?.map_err(nobody)?;
        let sent = timeout_at(deadline, connection.send(question)).await;
        sent.map_err(late)?
            .map_err(|cause| nobody(format!("{address}: {cause}")))?;
        Ok(Self {
            address: address.clone(),
            connection,
        })
    }

    /// The next message that came back.
    pub(crate) async fn answer<A: DeserializeOwned>(
        &mut self,
        deadline: Instant,
    ) -> Result<A, ClientError> {
        let address = &self.address;
        let late = |_| ClientError::DeadlinePassed {
            address: address.clone(),
        };
        let received = timeout_at(deadline, self.connection.receive())
            .await
            .map_err(late)?;
        match received {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(ClientError::NobodyToAsk {
                why: format!("{address} closed the connection"),
            }),
            Err(cause) => Err(ClientError::NobodyToAsk {
                why: format!("{address}: {cause}"),
            }),
        }
    }

    /// The error for an answer to another question.
    pub(crate) fn unexpected(&self, answer: &impl std::fmt::Debug) -> ClientError {
        const SHOWN_CHARACTERS: usize = 200;
        let what = format!("{answer:?}");
        ClientError::Unexpected {
            address: self.address.clone(),
            what: what.chars().take(SHOWN_CHARACTERS).collect(),
        }
    }
}
