//! The Sentinel door: Redis clients ask where the primary is, and hear when that changes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use coordinator_sentinel::{Connection, LIMITS, Plan, Question, Settings, notices};
use kv_common::message::registry::{
    ClientToCoordinator, ClusterStatus, CoordinatorToClient, Order,
};
use kv_common::view::ClusterMap;
use kv_net::prepare_socket;
use kv_resp::{RequestReader, Taken, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::connections::{ConnectionEnd, STALL_MAX};
use crate::registry::Arrival;
use crate::service::SentinelPassword;

/// Sentinel connections at a time; further ones are closed without a word.
const CONNECTIONS_MAX: u64 = 4096;
/// How much is read at once, at least.
const READ_BYTES: usize = 4 << 10;
/// After a failure that will not have passed at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// What Sentinel connections know.
pub(crate) struct SentinelDoor {
    pub(crate) settings: Settings,
    password: SentinelPassword,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) maps: watch::Receiver<ClusterMap>,
    open: Cell<u64>,
    last_connection: Cell<u64>,
}

impl SentinelDoor {
    pub(crate) fn new(
        settings: Settings,
        password: SentinelPassword,
        arrivals: mpsc::Sender<Arrival>,
        maps: watch::Receiver<ClusterMap>,
    ) -> Self {
        Self {
            settings,
            password,
            arrivals,
            maps,
            open: Cell::new(0),
            last_connection: Cell::new(0),
        }
    }
}

/// Takes connections for as long as the task lives.
pub(crate) async fn listen(door: Rc<SentinelDoor>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) if door.open.get() < CONNECTIONS_MAX => {
                let door = Rc::clone(&door);
                door.open.set(door.open.get() + 1);
                tokio::task::spawn_local(async move {
                    if let Err(error) = serve(&door, socket).await {
                        tracing::debug!(%peer, %error, "a Sentinel connection ended");
                    }
                    door.open.set(door.open.get() - 1);
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(door: &SentinelDoor, socket: TcpStream) -> Result<(), ConnectionEnd> {
    prepare_socket(&socket)?;
    door.last_connection.set(door.last_connection.get() + 1);
    let mut exchange = Exchange {
        door,
        socket,
        connection: Connection::new(door.last_connection.get()),
        known: door.maps.borrow().clone(),
        output: BytesMut::new(),
    };
    let mut maps = door.maps.clone();
    maps.mark_unchanged();
    let mut requests = RequestReader::new(LIMITS);
    let mut input = BytesMut::new();
    loop {
        input.reserve(READ_BYTES);
        tokio::select! {
            read = exchange.socket.read_buf(&mut input) => {
                if read? == 0 {
                    return Ok(());
                }
                if !exchange.take_requests(&mut requests, &mut input).await? {
                    return exchange.write().await;
                }
            }
            changed = maps.changed() => {
                changed.map_err(|_| ConnectionEnd::Stopping)?;
                let map = maps.borrow_and_update().clone();
                exchange.tell(map);
            }
        }
        exchange.write().await?;
    }
}

/// A connection while it lasts.
struct Exchange<'a> {
    door: &'a SentinelDoor,
    socket: TcpStream,
    connection: Connection,
    /// The map that the client has been told of.
    known: ClusterMap,
    output: BytesMut,
}

impl Exchange<'_> {
    /// Answers what is here. Says whether the connection goes on.
    async fn take_requests(
        &mut self,
        requests: &mut RequestReader,
        input: &mut BytesMut,
    ) -> Result<bool, ConnectionEnd> {
        loop {
            // Looked at for each request: the one before may have said it.
            let door = self.door.password.borrow().clone();
            requests.restrict(self.connection.needs_password(door.as_ref()));
            let arguments = match requests.take(input) {
                Ok(Some(Taken::Request(arguments))) => arguments,
                Ok(Some(Taken::Nothing)) => continue,
                Ok(None) => return Ok(true),
                Err(error) => {
                    self.put(&Value::error(format!("ERR {error}")));
                    return Ok(false);
                }
            };
            let settings = &self.door.settings;
            let turn = self.connection.request(settings, door.as_ref(), &arguments);
            match turn.plan {
                Plan::Answer(values) => values.iter().for_each(|value| self.put(value)),
                Plan::Ask(question) => {
                    let value = self.ask(&question).await?;
                    self.put(&value);
                }
                Plan::Failover => {
                    let value = self.order_failover().await?;
                    self.put(&value);
                }
                Plan::Close(value) => {
                    self.put(&value);
                    return Ok(false);
                }
            }
            // What was answered goes before the next is looked at, so that a client that sends
            // without reading is held up.
            self.write().await?;
        }
    }

    async fn ask(&self, question: &Question) -> Result<Value, ConnectionEnd> {
        let status = self.status().await?;
        let settings = &self.door.settings;
        Ok(Connection::answer(settings, question, &status))
    }

    async fn status(&self) -> Result<ClusterStatus, ConnectionEnd> {
        match self.asked(ClientToCoordinator::Status { id: 0 }).await? {
            CoordinatorToClient::Status { status, .. } => Ok(status),
            _ => Err(ConnectionEnd::Stopping),
        }
    }

    async fn order_failover(&self) -> Result<Value, ConnectionEnd> {
        let order = Order::Switchover { to: None };
        match self
            .asked(ClientToCoordinator::Order { id: 0, order })
            .await?
        {
            CoordinatorToClient::Ordered { result, .. } => {
                Ok(Connection::failover_ordered(&result))
            }
            _ => Err(ConnectionEnd::Stopping),
        }
    }

    async fn asked(
        &self,
        message: ClientToCoordinator,
    ) -> Result<CoordinatorToClient, ConnectionEnd> {
        let (answers, mut answered) = mpsc::channel(1);
        let arrival = Arrival::ClientAsks { message, answers };
        let sent = self.door.arrivals.send(arrival).await;
        sent.map_err(|_| ConnectionEnd::Stopping)?;
        answered.recv().await.ok_or(ConnectionEnd::Stopping)
    }

    fn tell(&mut self, map: ClusterMap) {
        for notice in notices(&self.door.settings.master_name, &self.known, &map) {
            for message in self.connection.messages(&notice) {
                self.put(&message);
            }
        }
        // A map without a primary says nothing about where the next one is not.
        if map.view.is_some() {
            self.known = map;
        }
    }

    fn put(&mut self, value: &Value) {
        value.write(self.connection.protocol(), &mut self.output);
    }

    async fn write(&mut self) -> Result<(), ConnectionEnd> {
        let written = self.socket.write_all_buf(&mut self.output);
        match timeout(STALL_MAX, written).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(ConnectionEnd::Stalled),
        }
    }
}
