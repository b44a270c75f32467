//! Everything that the coordinator's core can be told.

use kv_common::id::{Incarnation, NodeId};
use kv_common::message::control::NodeToCoordinator;
use kv_common::message::registry::Order;

use crate::coordinator::Settings;

/// The shell's name for one connection of a node. Never used twice in a run, so that what comes
/// late from a broken connection is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The shell's name for one order of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderToken(pub u64);

/// The number of a request to store, answered by the input that carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the core is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A node's hello is through; its registration follows as a message.
    NodeConnected {
        /// The connection.
        connection: ConnectionId,
        /// The node.
        node: NodeId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// A node sent a message.
    NodeSays {
        /// The connection.
        connection: ConnectionId,
        /// What.
        message: NodeToCoordinator,
    },
    /// A node's connection broke.
    NodeDisconnected {
        /// The connection.
        connection: ConnectionId,
    },
    /// A client orders something.
    Order {
        /// Comes back with the answer.
        token: OrderToken,
        /// What.
        order: Order,
    },
    /// The operator changed what the coordinator was started with.
    SettingsChanged(Settings),
    /// What was to be stored is durable. Tickets come back in order.
    Stored {
        /// Which.
        ticket: Ticket,
    },
}
