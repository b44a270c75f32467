//! The connection of a node: its messages go to the registry in order, and the registry's to it.

use std::rc::Rc;

use coordinator_core::input::ConnectionId;
use kv_common::id::{Incarnation, NodeId};
use kv_common::message::control::{CoordinatorToNode, NodeToCoordinator};
use kv_net::Connection;
use tokio::sync::mpsc;

use crate::connections::{ConnectionEnd, Door, send};
use crate::registry::Arrival;

/// Messages that wait for a node: maps and a few orders. One that lets more wait is given up.
const OUTGOING: usize = 256;

pub(crate) async fn serve(
    door: &Rc<Door>,
    connection: Connection,
    node: NodeId,
    incarnation: Incarnation,
) -> Result<(), ConnectionEnd> {
    let id = door.next_connection();
    let (outgoing, to_send) = mpsc::channel(OUTGOING);
    door.arrived(Arrival::NodeConnected {
        connection: id,
        node,
        incarnation,
        outgoing,
    })
    .await?;
    let ended = carry(door, connection, id, to_send).await;
    door.arrived(Arrival::NodeGone { connection: id }).await?;
    ended
}

async fn carry(
    door: &Rc<Door>,
    connection: Connection,
    id: ConnectionId,
    mut to_send: mpsc::Receiver<CoordinatorToNode>,
) -> Result<(), ConnectionEnd> {
    let (mut receiver, mut sender) = connection.split();
    loop {
        tokio::select! {
            received = receiver.receive::<NodeToCoordinator>() => match received? {
                Some(message) => {
                    let connection = id;
                    door.arrived(Arrival::NodeSays { connection, message }).await?;
                }
                None => return Ok(()),
            },
            message = to_send.recv() => match message {
                Some(message) => send(&mut sender, &message).await?,
                // The registry has given this connection up.
                None => return Ok(()),
            },
        }
    }
}
