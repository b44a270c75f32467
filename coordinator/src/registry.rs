//! The task that owns the core: what arrives goes in, and what the core asks for is carried out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::coordinator::Coordinator;
use coordinator_core::effect::Effect;
use coordinator_core::input::{ConnectionId, Input, OrderToken};
use kv_common::id::{Address, Incarnation, NodeId};
use kv_common::message::control::{CoordinatorToNode, NodeToCoordinator};
use kv_common::message::registry::{ClientToCoordinator, CoordinatorToClient, Event};
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kv_common::view::ClusterMap;
use kv_daemon::clock;
use kv_daemon::signals::Asked;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::metrics::{Counters, ObservedCoordinator};
use crate::service::{Service, status_line};
use crate::snapshot::{Publisher, Snapshot};
use crate::store_thread::{Job, StoreEvent, StoreThread};
use crate::stored::{EVENTS_KEPT, StoredError};

/// Messages that wait for the core. Connections wait while it is full.
pub(crate) const ARRIVALS: usize = 1024;
/// What the events of one answer may take, well below the largest frame.
const EVENTS_ANSWER_MAX_BYTES: usize = 2 << 20;
/// Beside its text, an event takes no more than this.
const EVENT_OVERHEAD_BYTES: usize = 128;

/// What connections bring.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A node's hello is through.
    NodeConnected {
        connection: ConnectionId,
        node: NodeId,
        incarnation: Incarnation,
        outgoing: mpsc::Sender<CoordinatorToNode>,
    },
    /// A node sent a message.
    NodeSays {
        connection: ConnectionId,
        message: NodeToCoordinator,
    },
    /// A node's connection ended.
    NodeGone { connection: ConnectionId },
    /// A client asks; there is room for its answer.
    ClientAsks {
        message: ClientToCoordinator,
        answers: mpsc::Sender<CoordinatorToClient>,
    },
}

/// Why the registry ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// Decisions cannot be made durable any more.
    StoreFailed(StoredError),
}

struct NodeDoor {
    outgoing: mpsc::Sender<CoordinatorToNode>,
    /// Maps are for those that are.
    registered: bool,
    last_heartbeat: Option<Monotonic>,
}

/// The owner of the core.
pub(crate) struct Registry {
    core: Coordinator,
    store: StoreThread,
    nodes: BTreeMap<ConnectionId, NodeDoor>,
    orders: BTreeMap<OrderToken, (u64, mpsc::Sender<CoordinatorToClient>)>,
    last_order: u64,
    /// Durable events, oldest first.
    events: VecDeque<Event>,
    maps: watch::Sender<ClusterMap>,
    primary_address: Option<Address>,
    counters: Arc<Counters>,
    publisher: Publisher,
}

impl Registry {
    pub(crate) fn new(core: Coordinator, store: StoreThread, events: VecDeque<Event>) -> Self {
        let maps = watch::Sender::new(core.map().clone());
        let now = clock::now();
        let publisher = Publisher::new(Snapshot {
            at: now.monotonic,
            status: core.status(now),
            events: Vec::new(),
        });
        Self {
            counters: Arc::new(Counters::default()),
            publisher,
            core,
            store,
            nodes: BTreeMap::new(),
            orders: BTreeMap::new(),
            last_order: 0,
            events,
            maps,
            primary_address: None,
        }
    }

    /// The newest durable map, for those that watch.
    pub(crate) fn maps(&self) -> watch::Receiver<ClusterMap> {
        self.maps.subscribe()
    }

    /// What is counted.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// What the HTTP thread sees of the coordinator.
    pub(crate) fn observed(&self) -> ObservedCoordinator {
        ObservedCoordinator {
            counters: Arc::clone(&self.counters),
            snapshots: self.publisher.subscribe(),
        }
    }

    /// Makes the start itself durable, before anybody is listened to.
    pub(crate) async fn begin(&mut self) -> Result<(), Ended> {
        self.write_address(&self.core.map().clone()).await;
        self.carry_out().await;
        let event = self.store.done.recv().await;
        self.stored(event).await
    }

    /// Serves until it is asked to stop or nothing can be made durable any more.
    pub(crate) async fn run(
        &mut self,
        mut arrivals: mpsc::Receiver<Arrival>,
        service: &mut Service,
    ) -> Ended {
        loop {
            let turn = sleep(self.until_timeout());
            tokio::select! {
                biased;
                asked = service.asked() => match asked {
                    Asked::Stop => return Ended::Stopped,
                    Asked::Reload => self.reload(service).await,
                },
                event = self.store.done.recv() => {
                    if let Err(ended) = self.stored(event).await {
                        return ended;
                    }
                }
                Some(arrival) = arrivals.recv() => {
                    self.arrived(arrival);
                    self.carry_out().await;
                }
                () = turn => {
                    self.core.handle_timeout(clock::now());
                    self.carry_out().await;
                }
            }
            // The core's own turns come often enough for it.
            let now = clock::now();
            let status = || self.core.status(now);
            service
                .manager
                .turn(now.monotonic, || status_line(&status()));
            let version = self.core.map().version;
            self.publisher
                .turn(now.monotonic, version, &self.events, status);
        }
    }

    async fn reload(&mut self, service: &mut Service) {
        if let Some(settings) = service.reload().await {
            let input = Input::SettingsChanged(settings);
            self.core.handle(clock::now(), input);
            self.carry_out().await;
        }
    }

    /// Ends the store thread when everything that was decided is written.
    pub(crate) fn stop(self) {
        self.store.stop();
    }

    fn until_timeout(&self) -> Duration {
        let due = self.core.poll_timeout();
        due.map_or(Duration::MAX, |due| due.since(clock::monotonic()))
    }

    async fn stored(&mut self, event: Option<StoreEvent>) -> Result<(), Ended> {
        match event {
            Some(StoreEvent::Saved { ticket, events }) => {
                for event in &events {
                    self.counters.decided(event);
                }
                self.events.extend(events);
                while self.events.len() as u64 > EVENTS_KEPT {
                    self.events.pop_front();
                }
                self.core.handle(clock::now(), Input::Stored { ticket });
                self.carry_out().await;
                Ok(())
            }
            Some(StoreEvent::Failed(error)) => Err(Ended::StoreFailed(error)),
            // The thread ends only when it was told to, or by a panic that it has reported.
            None => Err(Ended::Stopped),
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        let input = match arrival {
            Arrival::NodeConnected {
                connection,
                node,
                incarnation,
                outgoing,
            } => {
                let door = NodeDoor {
                    outgoing,
                    registered: false,
                    last_heartbeat: None,
                };
                self.nodes.insert(connection, door);
                Input::NodeConnected {
                    connection,
                    node,
                    incarnation,
                }
            }
            Arrival::NodeSays {
                connection,
                message,
            } => {
                if matches!(message, NodeToCoordinator::Heartbeat(_)) {
                    self.note_heartbeat(connection);
                }
                Input::NodeSays {
                    connection,
                    message,
                }
            }
            Arrival::NodeGone { connection } => {
                self.nodes.remove(&connection);
                Input::NodeDisconnected { connection }
            }
            Arrival::ClientAsks { message, answers } => {
                return self.client_asks(message, answers);
            }
        };
        self.core.handle(clock::now(), input);
    }

    fn note_heartbeat(&mut self, connection: ConnectionId) {
        let now = clock::monotonic();
        if let Some(door) = self.nodes.get_mut(&connection)
            && let Some(before) = door.last_heartbeat.replace(now)
        {
            self.counters.heartbeat_gaps.observe(now.since(before));
        }
    }

    fn client_asks(
        &mut self,
        message: ClientToCoordinator,
        answers: mpsc::Sender<CoordinatorToClient>,
    ) {
        let answer = match message {
            // The client's connection sees to that by itself.
            ClientToCoordinator::Watch => return,
            ClientToCoordinator::Status { id } => CoordinatorToClient::Status {
                id,
                status: self.core.status(clock::now()),
            },
            ClientToCoordinator::Events { id, after, limit } => CoordinatorToClient::Events {
                id,
                events: newest_events(&self.events, after, limit),
            },
            ClientToCoordinator::Order { id, order } => {
                self.last_order += 1;
                let token = OrderToken(self.last_order);
                self.orders.insert(token, (id, answers));
                let input = Input::Order { token, order };
                return self.core.handle(clock::now(), input);
            }
        };
        // A client that went away needs no answer.
        let _ = answers.try_send(answer);
    }

    async fn carry_out(&mut self) {
        self.counters
            .messages_refused_are(self.core.refused_messages());
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Store {
                    ticket,
                    state,
                    events,
                } => {
                    self.job(Job::Save {
                        ticket,
                        state,
                        events,
                    })
                    .await;
                }
                Effect::SendNode {
                    connection,
                    message,
                } => self.send_node(connection, message),
                Effect::PushMap(map) => self.push_map(map).await,
                Effect::AnswerOrder { token, result } => self.answer_order(token, result),
                Effect::Disconnect { connection } => {
                    self.nodes.remove(&connection);
                }
                Effect::Log { line } => tracing::info!("{line}"),
            }
        }
    }

    async fn job(&self, job: Job) {
        // The thread has ended only after a failure, which it has reported.
        let _ = self.store.jobs.send(job).await;
    }

    fn send_node(&mut self, connection: ConnectionId, message: CoordinatorToNode) {
        let Some(door) = self.nodes.get_mut(&connection) else {
            return;
        };
        door.registered |= matches!(message, CoordinatorToNode::Registered { .. });
        if let Err(TrySendError::Full(_)) = door.outgoing.try_send(message) {
            tracing::warn!("a node takes no messages; its connection is closed");
            self.nodes.remove(&connection);
        }
    }

    async fn push_map(&mut self, map: ClusterMap) {
        let registered = self.nodes.iter().filter(|(_, door)| door.registered);
        let connections: Vec<ConnectionId> = registered.map(|(id, _)| *id).collect();
        for connection in connections {
            self.send_node(connection, CoordinatorToNode::Map(map.clone()));
        }
        self.write_address(&map).await;
        self.maps.send_replace(map);
    }

    async fn write_address(&mut self, map: &ClusterMap) {
        let address = map.primary_address();
        if let Some(address) = address
            && self.primary_address.as_ref() != Some(address)
        {
            self.primary_address = Some(address.clone());
            self.job(Job::Address(address.to_string())).await;
        }
    }

    fn answer_order(&mut self, token: OrderToken, result: Result<String, Refusal>) {
        if let Some((id, answers)) = self.orders.remove(&token) {
            // A client that went away needs no answer.
            let _ = answers.try_send(CoordinatorToClient::Ordered { id, result });
        }
    }
}

/// The newest events after number `after`, oldest first, as many as are asked for and fit.
fn newest_events(events: &VecDeque<Event>, after: u64, limit: u32) -> Vec<Event> {
    let mut bytes = 0;
    let mut newest: Vec<Event> = events
        .iter()
        .rev()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .take_while(|event| event.number > after)
        .take_while(|event| {
            bytes += event.what.len() + event.rule.len() + EVENT_OVERHEAD_BYTES;
            bytes <= EVENTS_ANSWER_MAX_BYTES
        })
        .cloned()
        .collect();
    newest.reverse();
    newest
}
