//! Takes connections, hears who calls, and finds who serves that caller.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use kv_common::id::ClusterId;
use kv_common::message::hello::{Caller, Hello, HelloRefusal};
use kv_common::view::PrimarySeat;
use kv_net::{Accepted, Connection, Limits, accept};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::copy_fetch;

use super::Serving;
use super::{client_connection, copy_serve, primary_links};

/// Callers that may be refused side by side; further ones are dropped without a word.
const REFUSED_MAX: u64 = 100;
/// After a failure that will not have passed at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections for as long as the task lives.
pub(super) async fn listen(serving: Rc<Serving>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                if let Some(counted) = Counted::new(&serving) {
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

/// A connection that counts for as long as the value lives.
struct Counted {
    serving: Rc<Serving>,
}

impl Counted {
    fn new(serving: &Rc<Serving>) -> Option<Self> {
        let count = serving.connections.get();
        (count < serving.connection_limits.main + REFUSED_MAX).then(|| {
            serving.connections.set(count + 1);
            Self {
                serving: Rc::clone(serving),
            }
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = self.serving.connections.get();
        self.serving.connections.set(count - 1);
    }
}

async fn serve(counted: Counted, socket: TcpStream) {
    let serving = &counted.serving;
    let peer = socket.peer_addr();
    let decide = |hello: &Hello| serving.decide(hello);
    let accepted = accept(socket, decide, Limits::client().handshake_timeout).await;
    let ended = match accepted {
        Ok((connection, hello)) => dispatch(serving, connection, hello.caller).await,
        Err(error) => {
            serving.counters.refused_connections.count(&error);
            Err(error.to_string())
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = name_of_peer(peer), error, "a connection ended");
    }
}

fn name_of_peer(peer: io::Result<std::net::SocketAddr>) -> String {
    peer.map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string())
}

async fn dispatch(
    serving: &Rc<Serving>,
    connection: Connection,
    caller: Caller,
) -> Result<(), String> {
    match caller {
        Caller::Client { .. } => {
            let (socket, input, frame_max_bytes) = connection.into_parts();
            client_connection::serve(serving, socket, input, frame_max_bytes)
                .await
                .map_err(|error| error.to_string())
        }
        Caller::Primary { node, incarnation } => {
            let seat = PrimarySeat { node, incarnation };
            let (socket, input, frame_max_bytes) = connection.into_parts();
            let served = primary_links::serve(serving, seat, socket, input, frame_max_bytes).await;
            served.map_err(|error| {
                tracing::warn!(%error, "lost the primary {}", serving.name_of(node));
                error.to_string()
            })
        }
        Caller::Joiner { node, .. } => copy_serve::serve(serving, connection, node)
            .await
            .map_err(|error| error.to_string()),
        Caller::Node { .. } => Err(HelloRefusal::WrongDoor.to_string()),
    }
}

impl Serving {
    fn decide(&self, hello: &Hello) -> Result<(Accepted, Limits), HelloRefusal> {
        let max = self.connection_limits.main;
        if self.connections.get() > max {
            return Err(HelloRefusal::TooManyConnections { max });
        }
        let ours = self.pulse.cluster();
        let limits = admit(ours, hello)?;
        let accepted = Accepted {
            cluster: ours,
            node: Some(self.seat.node),
            incarnation: Some(self.seat.incarnation),
        };
        Ok((accepted, limits))
    }
}

/// Who is let in: clients of our cluster or of none yet, and nodes of our cluster.
fn admit(ours: Option<ClusterId>, hello: &Hello) -> Result<Limits, HelloRefusal> {
    if let (Some(ours), Some(theirs)) = (ours, hello.cluster)
        && ours != theirs
    {
        return Err(HelloRefusal::Cluster { ours, theirs });
    }
    let same_cluster = ours.is_some() && ours == hello.cluster;
    match hello.caller {
        Caller::Client { .. } => Ok(Limits::client()),
        Caller::Primary { .. } if same_cluster => Ok(Limits::peer()),
        Caller::Joiner { .. } if same_cluster => Ok(copy_fetch::limits()),
        Caller::Primary { .. } | Caller::Joiner { .. } | Caller::Node { .. } => {
            Err(HelloRefusal::WrongDoor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::admit;
    use kv_common::id::{ClusterId, Incarnation, NodeId};
    use kv_common::message::hello::{Caller, Hello, HelloRefusal, PROTOCOL_VERSION};

    fn hello(cluster: Option<u64>, caller: Caller) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: cluster.map(ClusterId),
            caller,
            credentials: None,
        }
    }

    #[test]
    fn primaries_come_from_our_own_cluster_only() {
        let caller = || Caller::Primary {
            node: NodeId(1),
            incarnation: Incarnation(1),
        };
        let ours = Some(ClusterId(5));
        assert!(admit(ours, &hello(Some(5), caller())).is_ok());
        assert!(matches!(
            admit(ours, &hello(Some(6), caller())),
            Err(HelloRefusal::Cluster { .. })
        ));
        for (ours, theirs) in [(ours, None), (None, Some(5)), (None, None)] {
            let refused = admit(ours, &hello(theirs, caller()));
            assert_eq!(refused, Err(HelloRefusal::WrongDoor));
        }
    }

    #[test]
    fn clients_need_not_know_the_cluster() {
        let caller = || Caller::Client {
            name: "test".to_owned(),
        };
        assert!(admit(Some(ClusterId(5)), &hello(None, caller())).is_ok());
        assert!(admit(None, &hello(Some(5), caller())).is_ok());
        assert!(admit(Some(ClusterId(5)), &hello(Some(6), caller())).is_err());
    }
}
