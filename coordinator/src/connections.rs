//! Takes connections, hears who calls, and finds who serves that caller.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::input::ConnectionId;
use kv_common::id::ClusterId;
use kv_common::message::hello::{Caller, Hello, HelloRefusal};
use kv_common::view::ClusterMap;
use kv_net::{Accepted, FrameSender, Limits, LinkError, accept};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::metrics::Counters;
use crate::registry::Arrival;
use crate::{client_connection, node_connection};

/// Connections of all kinds together.
const CONNECTIONS_MAX: u64 = 4096;
/// Callers that may be refused side by side; further ones are dropped without a word.
const REFUSED_MAX: u64 = 100;
/// After a failure that will not have passed at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);
/// A reader that takes nothing for so long is given up.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(5);

/// What connections know.
pub(crate) struct Door {
    pub(crate) cluster: ClusterId,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) maps: watch::Receiver<ClusterMap>,
    counters: Arc<Counters>,
    open: Cell<u64>,
    last_connection: Cell<u64>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionEnd {
    #[error(transparent)]
    Accept(#[from] kv_net::AcceptError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the connection broke: {0}")]
    Socket(#[from] std::io::Error),
    #[error("it took nothing for {} s", STALL_MAX.as_secs())]
    Stalled,
    #[error("the coordinator stops")]
    Stopping,
}

impl Door {
    pub(crate) fn new(
        cluster: ClusterId,
        arrivals: mpsc::Sender<Arrival>,
        maps: watch::Receiver<ClusterMap>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            cluster,
            arrivals,
            maps,
            counters,
            open: Cell::new(0),
            last_connection: Cell::new(0),
        }
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        self.last_connection.set(self.last_connection.get() + 1);
        ConnectionId(self.last_connection.get())
    }

    pub(crate) async fn arrived(&self, arrival: Arrival) -> Result<(), ConnectionEnd> {
        let sent = self.arrivals.send(arrival).await;
        sent.map_err(|_| ConnectionEnd::Stopping)
    }

    fn decide(&self, hello: &Hello) -> Result<(Accepted, Limits), HelloRefusal> {
        if self.open.get() > CONNECTIONS_MAX {
            return Err(HelloRefusal::TooManyConnections {
                max: CONNECTIONS_MAX,
            });
        }
        let ours = self.cluster;
        match hello.cluster {
            Some(theirs) if theirs != ours => return Err(HelloRefusal::Cluster { ours, theirs }),
            Some(_) | None => {}
        }
        match hello.caller {
            Caller::Client { .. } | Caller::Node { .. } => {
                let accepted = Accepted {
                    cluster: Some(ours),
                    node: None,
                    incarnation: None,
                };
                Ok((accepted, Limits::control()))
            }
            Caller::Primary { .. } | Caller::Joiner { .. } => Err(HelloRefusal::WrongDoor),
        }
    }
}

/// Takes connections for as long as the task lives.
pub(crate) async fn listen(door: Rc<Door>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                if let Some(counted) = Counted::new(&door) {
                    tokio::task::spawn_local(serve(counted, socket));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Sends a message to a caller that has to take it in reasonable time.
pub(crate) async fn send<M: Serialize>(
    sender: &mut FrameSender,
    message: &M,
) -> Result<(), ConnectionEnd> {
    match timeout(STALL_MAX, sender.send(message)).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(ConnectionEnd::Stalled),
    }
}

/// A connection that counts for as long as the value lives.
struct Counted(Rc<Door>);

impl Counted {
    fn new(door: &Rc<Door>) -> Option<Self> {
        let open = door.open.get();
        (open < CONNECTIONS_MAX + REFUSED_MAX).then(|| {
            door.open.set(open + 1);
            Self(Rc::clone(door))
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

async fn serve(counted: Counted, socket: TcpStream) {
    let door = &counted.0;
    let peer = socket.peer_addr();
    if let Err(error) = accept_and_serve(door, socket).await {
        let peer = peer.map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
        tracing::debug!(peer, %error, "a connection ended");
    }
}

async fn accept_and_serve(door: &Rc<Door>, socket: TcpStream) -> Result<(), ConnectionEnd> {
    let decide = |hello: &Hello| door.decide(hello);
    let limits = Limits::control();
    let accepted = accept(socket, decide, limits.handshake_timeout).await;
    let (connection, hello) =
        accepted.inspect_err(|error| door.counters.refused_connections.count(error))?;
    match hello.caller {
        Caller::Node { node, incarnation } => {
            node_connection::serve(door, connection, node, incarnation).await
        }
        Caller::Client { .. } => client_connection::serve(door, connection).await,
        // The hello was refused.
        Caller::Primary { .. } | Caller::Joiner { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Door;
    use coordinator_core::cluster_state::ClusterState;
    use coordinator_core::coordinator::{Coordinator, Settings};
    use kv_common::id::{ClusterId, Incarnation, NodeId};
    use kv_common::message::hello::{Caller, Hello, HelloRefusal, PROTOCOL_VERSION};
    use kv_common::time::Now;
    use std::sync::Arc;
    use tokio::sync::{mpsc, watch};

    fn door() -> Door {
        let settings = Settings {
            copies: 1,
            min_in_sync: 1,
            expect: 1,
            heartbeat_interval_ms: 50,
        };
        let state = ClusterState::new(ClusterId(5));
        let core = Coordinator::start(Now::default(), settings, state);
        let (arrivals, _) = mpsc::channel(1);
        let (_, maps) = watch::channel(core.map().clone());
        Door::new(ClusterId(5), arrivals, maps, Arc::default())
    }

    fn hello(cluster: Option<u64>, caller: Caller) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: cluster.map(ClusterId),
            caller,
            credentials: None,
        }
    }

    #[test]
    fn nodes_and_clients_of_this_cluster_or_of_none_are_let_in() {
        let node = NodeId(1);
        let incarnation = Incarnation(1);
        let client = || Caller::Client {
            name: "test".to_owned(),
        };
        let door = door();
        for caller in [client(), Caller::Node { node, incarnation }] {
            assert!(door.decide(&hello(None, caller.clone())).is_ok());
            assert!(door.decide(&hello(Some(5), caller.clone())).is_ok());
            let refused = door.decide(&hello(Some(6), caller));
            assert!(matches!(refused, Err(HelloRefusal::Cluster { .. })));
        }
        for caller in [
            Caller::Primary { node, incarnation },
            Caller::Joiner { node, incarnation },
        ] {
            let refused = door.decide(&hello(Some(5), caller));
            assert_eq!(refused.err(), Some(HelloRefusal::WrongDoor));
        }
    }
}
