//! Everything that the coordinator's core asks its shell to do, in order.

use kv_common::message::control::CoordinatorToNode;
use kv_common::message::registry::Event;
use kv_common::refusal::Refusal;
use kv_common::view::ClusterMap;

use crate::cluster_state::ClusterState;
use crate::input::{ConnectionId, OrderToken, Ticket};

/// What the core asks its shell to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store the state and the new events in one step → [`crate::input::Input::Stored`]. What
    /// follows from the state is handed out only after that.
    Store {
        /// Comes back.
        ticket: Ticket,
        /// The whole state; it is small.
        state: Box<ClusterState>,
        /// Events to be added to the stored log.
        events: Vec<Event>,
    },
    /// Send to a node.
    SendNode {
        /// The connection.
        connection: ConnectionId,
        /// What.
        message: CoordinatorToNode,
    },
    /// Send this map to every registered node and every client that watches. When its primary's
    /// address differs from the one before, write it to the address file.
    PushMap(ClusterMap),
    /// Answer an order.
    AnswerOrder {
        /// Which.
        token: OrderToken,
        /// What was done, or why nothing was.
        result: Result<String, Refusal>,
    },
    /// Close a node's connection, after what was sent to it.
    Disconnect {
        /// The connection.
        connection: ConnectionId,
    },
    /// Log this: a decision that was made durable, or a note about a node.
    Log {
        /// The sentence.
        line: String,
    },
}
