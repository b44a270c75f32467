//! A cluster in this process: a coordinator and nodes that speak the protocol on ports of their own,
//! keep their keys in one table, and fail as a test tells them to.

#![allow(
    clippy::expect_used,
    reason = "this is a part of tests, and what it expects is what they rest on"
)]
#![allow(dead_code, reason = "each test program uses its own part")]

mod coordinator;
mod node;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_common::command::Command;
use kv_common::id::{Address, ClusterId, Epoch, Incarnation, NodeId, ShardId};
use kv_common::message::client::SessionStamp;
use kv_common::message::hello::{Hello, HelloRefusal};
use kv_common::refusal::Refusal;
use kv_common::view::{ClusterMap, NodeInfo, PrimarySeat, View, ViewSettings};
use kv_net::{Accepted, Limits};
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::table::Table;

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the primary does with the next command that is no session command.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Closes the connection without executing.
    CloseBefore,
    /// Executes, and closes the connection instead of answering.
    CloseAfter,
    /// Refuses.
    Refuse(Refusal),
    /// Executes, and never answers.
    Mute,
}

/// A command as it came to the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) stamp: Option<SessionStamp>,
    pub(crate) command: Command,
}

/// What the servers share.
pub(crate) struct World {
    pub(crate) table: Table,
    /// One for each coming command.
    pub(crate) faults: VecDeque<Fault>,
    /// Refused with for as long as it stands.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) attempts: Vec<Attempt>,
    /// Which node is primary.
    pub(crate) primary: usize,
    /// Whether nodes tell who is primary.
    pub(crate) hints: bool,
    /// Whether nodes have a map.
    pub(crate) nodes_have_maps: bool,
    /// What reads answer instead of the value.
    pub(crate) reads: Option<fn(&Bytes) -> Bytes>,
    /// Nodes that hold something else, by index.
    pub(crate) differs: Option<usize>,
    addresses: Vec<Address>,
    epoch: u64,
}

/// A cluster in this process. Its threads end with the process.
pub(crate) struct FakeCluster {
    world: Arc<Mutex<World>>,
    pub(crate) coordinator: Address,
    pub(crate) nodes: Vec<Address>,
    maps: watch::Sender<ClusterMap>,
}

impl FakeCluster {
    /// A coordinator and three nodes, the first of which is primary.
    pub(crate) fn start() -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let cluster = Self::listen().await;
                ready.send(cluster).expect("the test waits");
                std::future::pending::<()>().await;
            });
        });
        started.recv_timeout(PATIENCE).expect("it listens")
    }

    async fn listen() -> Self {
        let listener = || async {
            let any = Address("127.0.0.1:0".to_owned());
            let listener = kv_net::listen(&any).await.expect("a free port");
            let address = listener.local_addr().expect("an address").to_string();
            (listener, Address(address))
        };
        let (coordinator, coordinator_address) = listener().await;
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(listener().await);
        }
        let nodes: Vec<_> = listeners
            .iter()
            .map(|(_, address)| address.clone())
            .collect();
        let world = Arc::new(Mutex::new(World::new(nodes.clone())));
        let (maps, _) = watch::channel(locked(&world).map());
        for (index, (listener, _)) in listeners.into_iter().enumerate() {
            tokio::spawn(node::serve(listener, index, Arc::clone(&world)));
        }
        let seen = maps.clone();
        tokio::spawn(coordinator::serve(coordinator, seen, Arc::clone(&world)));
        Self {
            world,
            coordinator: coordinator_address,
            nodes,
            maps,
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.world)
    }

    /// Makes another node primary, and lets the coordinator say so.
    pub(crate) fn fail_over(&self, primary: usize) {
        let map = {
            let mut world = self.world();
            world.make_primary(primary);
            world.map()
        };
        self.maps.send_replace(map);
    }

    /// Waits until something holds of the world.
    pub(crate) async fn wait_until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.world()) {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl World {
    fn new(addresses: Vec<Address>) -> Self {
        Self {
            table: Table::default(),
            faults: VecDeque::new(),
            refusal: None,
            attempts: Vec::new(),
            primary: 0,
            hints: true,
            nodes_have_maps: true,
            reads: None,
            differs: None,
            addresses,
            epoch: 1,
        }
    }

    /// Makes another node primary; nobody but the nodes knows.
    pub(crate) fn make_primary(&mut self, primary: usize) {
        self.primary = primary;
        self.epoch += 1;
    }

    /// The attempts at commands on keys that change something.
    pub(crate) fn write_attempts(&self) -> Vec<Attempt> {
        let writes = self.attempts.iter().filter(|attempt| {
            attempt.command.is_write() && attempt.command.keys().next().is_some()
        });
        writes.cloned().collect()
    }

    fn map(&self) -> ClusterMap {
        let node = |index: usize| NodeId(index as u64 + 1);
        let others = (0..self.addresses.len()).filter(|index| *index != self.primary);
        let infos = self.addresses.iter().enumerate().map(|(index, address)| {
            let info = NodeInfo {
                name: format!("node-{}", index + 1),
                address: address.clone(),
                redis_address: None,
            };
            (node(index), info)
        });
        ClusterMap {
            cluster: ClusterId(7),
            version: self.epoch,
            view: Some(View {
                shard: ShardId(0),
                epoch: Epoch(self.epoch),
                primary: PrimarySeat {
                    node: node(self.primary),
                    incarnation: Incarnation(1),
                },
                backups: others.map(node).collect(),
                release: None,
                settings: ViewSettings {
                    copies: 3,
                    min_in_sync: 2,
                    heartbeat_interval_ms: 50,
                },
            }),
            joiners: Vec::new(),
            nodes: infos.collect::<BTreeMap<_, _>>(),
        }
    }
}

/// Poisoning only means that another assertion failed first.
fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes each caller in as `node`, or as the coordinator, and serves it with `serve`.
async fn accept_all<F>(
    listener: TcpListener,
    node: Option<NodeId>,
    limits: Limits,
    serve: impl Fn(kv_net::Connection) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.expect("a caller");
        let serve = serve.clone();
        tokio::spawn(async move {
            let accepted = Accepted {
                node,
                ..Accepted::default()
            };
            let welcome = move |_: &Hello| Ok::<_, HelloRefusal>((accepted, limits));
            if let Ok((connection, _)) = kv_net::accept(stream, welcome, HANDSHAKE_TIMEOUT).await {
                serve(connection).await;
            }
        });
    }
}
