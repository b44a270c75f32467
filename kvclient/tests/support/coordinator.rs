//! The coordinator of the cluster.

use std::sync::{Arc, Mutex};

use kv_common::id::{Epoch, NodeId};
use kv_common::message::registry::{
    ClientToCoordinator, ClusterStatus, CoordinatorToClient, Event, NodeStatus, Order,
};
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;
use kv_common::view::ClusterMap;
use kv_net::{Connection, Limits};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{World, accept_all, locked};

pub(super) async fn serve(
    listener: TcpListener,
    maps: watch::Sender<ClusterMap>,
    world: Arc<Mutex<World>>,
) {
    accept_all(listener, None, Limits::control(), move |connection| {
        serve_one(connection, maps.subscribe(), Arc::clone(&world))
    })
    .await;
}

async fn serve_one(
    mut connection: Connection,
    mut maps: watch::Receiver<ClusterMap>,
    world: Arc<Mutex<World>>,
) {
    let mut watching = false;
    loop {
        let answer = tokio::select! {
            message = connection.receive::<ClientToCoordinator>() => match message {
                Ok(Some(ClientToCoordinator::Watch)) => {
                    watching = true;
                    CoordinatorToClient::Map(maps.borrow_and_update().clone())
                }
                Ok(Some(message)) => locked(&world).coordinate(message),
                Ok(None) | Err(_) => return,
            },
            Ok(()) = maps.changed(), if watching => {
                CoordinatorToClient::Map(maps.borrow_and_update().clone())
            }
        };
        if connection.send(&answer).await.is_err() {
            return;
        }
    }
}

impl World {
    fn coordinate(&self, message: ClientToCoordinator) -> CoordinatorToClient {
        match message {
            ClientToCoordinator::Watch => CoordinatorToClient::Map(self.map()),
            ClientToCoordinator::Status { id } => {
                let status = self.status();
                CoordinatorToClient::Status { id, status }
            }
            ClientToCoordinator::Events { id, .. } => CoordinatorToClient::Events {
                id,
                events: vec![Event {
                    number: 1,
                    at: UnixMs(1_700_000_000_000),
                    epoch: Epoch(1),
                    rule: "first view".to_owned(),
                    what: "node-1 is primary".to_owned(),
                }],
            },
            ClientToCoordinator::Order { id, order } => {
                let result = match order {
                    Order::Switchover { to: Some(to) } if to != "node-2" => {
                        let what = format!("there is no node '{to}'");
                        Err(Refusal::NotFound { what })
                    }
                    Order::Switchover { .. } => Ok("node-2 is primary".to_owned()),
                    Order::Drain { node } => Ok(format!("{node} is drained")),
                    Order::Undrain { node } => Ok(format!("{node} is not drained any more")),
                    Order::Forget { node } => Ok(format!("{node} is forgotten")),
                    Order::Form { .. } => Ok("a view is formed".to_owned()),
                    Order::ForcePrimary { node, .. } => Ok(format!("{node} is primary")),
                    Order::AdoptViews { .. } => Ok("the views are adopted".to_owned()),
                };
                CoordinatorToClient::Ordered { id, result }
            }
        }
    }

    fn status(&self) -> ClusterStatus {
        let nodes = (0..self.addresses.len()).map(|index| NodeStatus {
            node: NodeId(index as u64 + 1),
            connected: true,
            silent_ms: Some(3),
            report: Some(self.report(index)),
            drained: false,
        });
        ClusterStatus {
            map: self.map(),
            conditions: Vec::new(),
            nodes: nodes.collect(),
        }
    }
}
