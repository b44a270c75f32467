//! A node's process, and the others that it talks to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kv_common::command::{Command, Reply};
use kv_common::id::{Address, ClusterId, Epoch, NodeId, ShardId};
use kv_common::message::client::{ClientToNode, NodeToClient};
use kv_common::message::control::{
    CoordinatorToNode, NodeReport, NodeToCoordinator, Registration, RegistrationRefusal,
};
use kv_common::message::hello::{Caller, Hello, HelloRefusal, PROTOCOL_VERSION};
use kv_common::refusal::Refusal;
use kv_common::view::{ClusterMap, NodeInfo, PrimarySeat, View, ViewSettings};
use kv_net::{Accepted, Connection, FrameReceiver, FrameSender, Limits, accept, dial};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// What takes longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);
const HEARTBEAT_INTERVAL_MS: u32 = 20;
const POLL: Duration = Duration::from_millis(5);

/// A running node. Killed when the value goes.
pub(crate) struct Node {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Node {
    pub(crate) fn start(data_dir: &Path, coordinator: &Address, more: &[&str]) -> Self {
        let data_dir = data_dir.to_str().expect("text");
        let arguments = [
            &["--coordinator", &coordinator.0, "--data-dir", data_dir],
            &["--listen", "127.0.0.1:0"][..],
            more,
        ];
        Self::with(&arguments.concat())
    }

    /// With these arguments alone.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut child = Process::new(env!("CARGO_BIN_EXE_kvnode"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel(10_000);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line that contains `what`.
    pub(crate) async fn line(&mut self, what: &str) -> String {
        let mut seen = Vec::new();
        let found = timeout(DEADLINE, async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(what) {
                    return line;
                }
                seen.push(line);
            }
            panic!("the log ended without '{what}':\n{}", seen.join("\n"));
        });
        found.await.unwrap_or_else(|_| panic!("no line '{what}'"))
    }

    /// Where it listens.
    pub(crate) async fn address(&mut self) -> Address {
        let line = self.line("listening").await;
        let (_, address) = line.split_once("address=").expect("names the address");
        self.line("ready").await;
        Address(address.trim().to_owned())
    }

    /// Waits until it ends by itself, and gives what it logged meanwhile.
    pub(crate) async fn end(&mut self) -> (ExitStatus, Vec<String>) {
        let mut lines = Vec::new();
        let closed = timeout(DEADLINE, async {
            while let Some(line) = self.lines.recv().await {
                lines.push(line);
            }
        });
        closed.await.expect("ends");
        (self.child.wait().expect("is waited for"), lines)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("has a pid"), Signal::TERM).expect("is signalled");
        let (status, lines) = self.end().await;
        assert!(status.success(), "{status}:\n{}", lines.join("\n"));
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("is waited for").is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            while let Ok(line) = self.lines.try_recv() {
                eprintln!("{line}");
            }
        }
    }
}

/// A listening socket of a test's own.
pub(crate) struct Door {
    listener: TcpListener,
    pub(crate) address: Address,
}

impl Door {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address(listener.local_addr().expect("bound").to_string());
        Self { listener, address }
    }

    /// The next caller, who is answered with `accepted`.
    pub(crate) async fn caller(&self, accepted: Accepted, limits: Limits) -> (Connection, Hello) {
        let (stream, _) = within(self.listener.accept()).await.expect("a caller");
        let welcome = |_: &Hello| Ok((accepted, limits));
        let connection = accept(stream, welcome, DEADLINE).await;
        connection.expect("says hello")
    }

    /// The next caller, who is refused.
    pub(crate) async fn refuse(&self, why: HelloRefusal) {
        let (stream, _) = within(self.listener.accept()).await.expect("a caller");
        let refused = accept(stream, |_: &Hello| Err(why), DEADLINE).await;
        assert!(refused.is_err());
    }

    /// A coordinator's side of the next node's connection, up to its registration.
    pub(crate) async fn registration(&self) -> (CoordinatorSide, Registration) {
        let accepted = Accepted {
            cluster: Some(CLUSTER),
            ..Accepted::default()
        };
        let (mut connection, hello) = self.caller(accepted, Limits::control()).await;
        let message = receive(&mut connection).await;
        let NodeToCoordinator::Register(registration) = message else {
            panic!("not a registration: {message:?}");
        };
        let caller = Caller::Node {
            node: registration.node,
            incarnation: registration.incarnation,
        };
        assert_eq!(hello.caller, caller);
        let side = CoordinatorSide {
            connection,
            seat: PrimarySeat {
                node: registration.node,
                incarnation: registration.incarnation,
            },
            address: registration.address.clone(),
        };
        (side, registration)
    }

    /// The same, and the node is taken.
    pub(crate) async fn node(&self) -> CoordinatorSide {
        let (mut side, _) = self.registration().await;
        side.take().await;
        side
    }
}

/// The coordinator's side of a node's connection.
pub(crate) struct CoordinatorSide {
    connection: Connection,
    pub(crate) seat: PrimarySeat,
    address: Address,
}

impl CoordinatorSide {
    pub(crate) async fn take(&mut self) {
        let registered = CoordinatorToNode::Registered {
            cluster: CLUSTER,
            heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
        };
        self.say(&registered).await;
    }

    pub(crate) async fn refuse(&mut self, why: RegistrationRefusal) {
        self.say(&CoordinatorToNode::Refused(why)).await;
    }

    pub(crate) async fn say(&mut self, message: &CoordinatorToNode) {
        self.connection.send(message).await.expect("sends");
    }

    /// The next message that is no heartbeat.
    pub(crate) async fn said(&mut self) -> NodeToCoordinator {
        loop {
            match receive(&mut self.connection).await {
                NodeToCoordinator::Heartbeat(_) => {}
                other => return other,
            }
        }
    }

    /// The first report from now on that is as wanted.
    pub(crate) async fn report(&mut self, is_wanted: impl Fn(&NodeReport) -> bool) -> NodeReport {
        let started = Instant::now();
        loop {
            if let NodeToCoordinator::Heartbeat(report) = receive(&mut self.connection).await {
                if is_wanted(&report) {
                    return report;
                }
                assert!(started.elapsed() < DEADLINE, "still {report:?}");
            }
        }
    }

    /// A map in which this node is the only member of the view, with joiners.
    pub(crate) fn map(&self, epoch: u64, joiners: &[(NodeId, Address)]) -> ClusterMap {
        map(epoch, (self.seat, self.address.clone()), joiners)
    }

    /// Makes this node the only member of a view.
    pub(crate) async fn make_primary(&mut self, epoch: u64) {
        let map = self.map(epoch, &[]);
        self.say(&CoordinatorToNode::Map(map)).await;
    }
}

/// A map with one member in the view.
pub(crate) fn map(
    epoch: u64,
    (seat, address): (PrimarySeat, Address),
    joiners: &[(NodeId, Address)],
) -> ClusterMap {
    let info = |address: &Address| NodeInfo {
        name: address.to_string(),
        address: address.clone(),
        redis_address: None,
    };
    let mut nodes = BTreeMap::from([(seat.node, info(&address))]);
    nodes.extend(joiners.iter().map(|(node, address)| (*node, info(address))));
    let settings = ViewSettings {
        copies: 1,
        min_in_sync: 1,
        heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
    };
    ClusterMap {
        cluster: CLUSTER,
        version: epoch,
        view: Some(View {
            shard: ShardId(0),
            epoch: Epoch(epoch),
            primary: seat,
            backups: Vec::new(),
            release: None,
            settings,
        }),
        joiners: joiners.iter().map(|(node, _)| *node).collect(),
        nodes,
    }
}

pub(crate) fn hello(cluster: Option<ClusterId>, caller: Caller) -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster,
        caller,
        credentials: None,
    }
}

/// A client of a node.
pub(crate) struct Client {
    connection: Connection,
    last_id: u64,
}

impl Client {
    pub(crate) async fn of(address: &Address) -> Self {
        let caller = Caller::Client {
            name: "test".to_owned(),
        };
        let dialled = dial(address, &hello(None, caller), Limits::client()).await;
        let (connection, accepted) = dialled.expect("is welcome");
        assert!(accepted.node.is_some());
        Self {
            connection,
            last_id: 0,
        }
    }

    pub(crate) async fn send(&mut self, message: &ClientToNode) {
        self.connection.send(message).await.expect("sends");
    }

    pub(crate) async fn receive(&mut self) -> NodeToClient {
        receive(&mut self.connection).await
    }

    /// Both directions, to be used side by side.
    pub(crate) fn split(self) -> (FrameReceiver, FrameSender) {
        self.connection.split()
    }

    /// Sends bytes that are no message, and waits until the node closes the connection.
    pub(crate) async fn expect_closed_after(self, nonsense: &[u8]) {
        let (mut socket, _, _) = self.connection.into_parts();
        socket.write_all(nonsense).await.expect("sends");
        let mut rest = Vec::new();
        // A reset is as good as a close.
        let _ = within(socket.read_to_end(&mut rest)).await;
    }

    /// Asks until the answer is none that asks for a retry.
    pub(crate) async fn ask(&mut self, command: Command) -> Result<Reply, Refusal> {
        let started = Instant::now();
        loop {
            self.last_id += 1;
            let id = self.last_id;
            let command = command.clone();
            let stamp = None;
            self.send(&ClientToNode::Request { id, stamp, command })
                .await;
            let answer = self.receive().await;
            let NodeToClient::Answer {
                id: answered,
                result,
            } = answer
            else {
                panic!("not an answer: {answer:?}");
            };
            assert_eq!(answered, id);
            match result {
                Err(refusal) if refusal.asks_for_retry() && started.elapsed() < DEADLINE => {
                    sleep(POLL).await;
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn put(&mut self, key: &str, value: &[u8]) {
        assert_eq!(self.ask(put(key, value)).await, Ok(Reply::Done));
    }

    pub(crate) async fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        match self.ask(get(key)).await {
            Ok(Reply::Value(value)) => value.map(|value| value.to_vec()),
            other => panic!("not a value: {other:?}"),
        }
    }
}

pub(crate) fn put(key: &str, value: &[u8]) -> Command {
    Command::Put {
        key: key.to_owned().into(),
        value: value.to_vec().into(),
        expiry: None,
        condition: kv_common::command::PutCondition::Always,
    }
}

pub(crate) fn get(key: &str) -> Command {
    let key = key.to_owned().into();
    Command::Get { key }
}

/// The next message of a connection.
pub(crate) async fn receive<M: DeserializeOwned>(connection: &mut Connection) -> M {
    let received = within(connection.receive()).await;
    received.expect("a message").expect("not closed")
}

/// Sends one message.
pub(crate) async fn send<M: Serialize>(connection: &mut Connection, message: &M) {
    connection.send(message).await.expect("sends");
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}

/// A node that is the only member of its view, and everything around it.
pub(crate) struct Single {
    pub(crate) node: Node,
    pub(crate) coordinator: CoordinatorSide,
    pub(crate) client: Client,
    pub(crate) address: Address,
    pub(crate) door: Door,
    folder: TempDir,
}

impl Single {
    pub(crate) async fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let door = Door::open().await;
        let data_dir = folder.path().join("node");
        let mut node = Node::start(&data_dir, &door.address, more);
        let address = node.address().await;
        let mut coordinator = door.node().await;
        coordinator.make_primary(1).await;
        Self {
            client: Client::of(&address).await,
            node,
            coordinator,
            address,
            door,
            folder,
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("node")
    }

    pub(crate) fn db_txt(&self) -> String {
        fs::read_to_string(self.data_dir().join("db.txt")).expect("is there")
    }
}
