//! The shell of the simulated coordinator.

use std::collections::{BTreeMap, VecDeque};

use coordinator_core::cluster_state::ClusterState;
use coordinator_core::coordinator::{Coordinator, Settings};
use coordinator_core::effect::Effect;
use coordinator_core::input::{ConnectionId, Input, OrderToken, Ticket};
use kv_common::id::{ClusterId, Incarnation, NodeId};
use kv_common::message::control::{CoordinatorToNode, NodeToCoordinator};
use kv_common::message::registry::Order;
use kv_common::view::ClusterMap;
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::fault_kinds::FaultKind;
use crate::trace::Event;
use crate::world::{Clock, MS, Options, Party, TrueNs, World};

const CLUSTER: ClusterId = ClusterId(1);
/// How often an operator looks whether what was ordered is done, or can be.
const OPERATOR_PAUSE: TrueNs = 100 * MS;

/// The coordinator dies while it pushes one of so many views.
const DEATHS_WHILE_PUSHING: u32 = 50;

/// The coordinator: what it stored for good, its process while it runs.
pub(crate) struct SimulatedCoordinator {
    stored: ClusterState,
    settings: Settings,
    clock: Clock,
    run: u64,
    process: Option<Process>,
    /// What clients would be told; stays as it was while the coordinator is down.
    pub(crate) map: Option<ClusterMap>,
}

struct Process {
    core: Coordinator,
    connections: BTreeMap<u64, NodeId>,
    storing: VecDeque<(ClusterState, Ticket)>,
    timer_at: TrueNs,
}

impl SimulatedCoordinator {
    pub(crate) fn new(options: &Options) -> Self {
        let copies = options.nodes.min(3);
        Self {
            stored: ClusterState::new(CLUSTER),
            settings: Settings {
                copies,
                min_in_sync: copies.saturating_sub(1).max(1),
                expect: copies,
                heartbeat_interval_ms: 50,
            },
            clock: Clock::steady(),
            run: 0,
            process: None,
            map: None,
        }
    }

    /// How many members must hold a write before its success is answered.
    pub(crate) fn min_in_sync(&self) -> usize {
        self.settings.min_in_sync.into()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }
}

impl World {
    pub(crate) fn start_coordinator(&mut self) {
        if self.coordinator.is_up() {
            return;
        }
        let now = self.coordinator.clock.read(self.now);
        let state = self.coordinator.stored.clone();
        self.coordinator.run += 1;
        self.coordinator.process = Some(Process {
            core: Coordinator::start(now, self.coordinator.settings, state),
            connections: BTreeMap::new(),
            storing: VecDeque::new(),
            timer_at: 0,
        });
        self.trace.note(self.now, || Event::CoordinatorStarts);
        self.carry_out_coordinator();
        if self.coordinator.stored.past_is_missing() {
            let run = self.coordinator.run;
            self.after(OPERATOR_PAUSE, move |world| world.order_adoption(run));
        }
    }

    /// Whether somebody would know of a view that the coordinator lost.
    pub(crate) fn may_lose_coordinator(&self) -> bool {
        let knows = |node: &crate::node::SimulatedNode| node.disk.promises.view.is_some();
        self.coordinator.stored.view().is_some() && self.nodes.values().any(knows)
    }

    /// What the coordinator stored is gone, but for the cluster's id, which its nodes know.
    pub(crate) fn lose_coordinator_disk(&mut self) {
        self.coordinator.stored = ClusterState::with_past_missing(CLUSTER);
        self.invariants.coordinator_lost_its_past();
        self.trace.note(self.now, || Event::CoordinatorLosesDisk);
    }

    /// An operator has the views adopted, as soon as that is possible.
    fn order_adoption(&mut self, run: u64) {
        if self.coordinator.run != run || !self.coordinator.stored.past_is_missing() {
            return;
        }
        let order = Order::AdoptViews {
            nodes: self.options.nodes.into(),
            accepts_loss: false,
        };
        let token = OrderToken(self.now);
        self.coordinator_input(Input::Order { token, order });
        self.after(OPERATOR_PAUSE, move |world| world.order_adoption(run));
    }

    pub(crate) fn crash_coordinator(&mut self) {
        self.trace.note(self.now, || Event::CoordinatorCrashes);
        if let Some(process) = self.coordinator.process.take() {
            for node in process.connections.into_values() {
                self.node_loses_coordinator(node);
            }
        }
    }

    pub(crate) fn coordinator_connected(&mut self, node: NodeId, run: Incarnation, id: u64) {
        if let Some(process) = &mut self.coordinator.process {
            process.connections.insert(id, node);
        }
        self.coordinator_input(Input::NodeConnected {
            connection: ConnectionId(id),
            node,
            incarnation: run,
        });
    }

    /// The connection of a node is gone, whoever noticed first.
    pub(crate) fn connection_broke(&mut self, node: NodeId, id: u64) {
        let known = self
            .coordinator
            .process
            .as_mut()
            .and_then(|process| process.connections.remove(&id));
        if known == Some(node) {
            let connection = ConnectionId(id);
            self.coordinator_input(Input::NodeDisconnected { connection });
        }
    }

    pub(crate) fn tell_coordinator(&mut self, node: NodeId, message: NodeToCoordinator) {
        let Some(id) = self.process(node).and_then(|process| process.connection) else {
            return;
        };
        self.deliver(Party::Node(node), Party::Coordinator, move |world| {
            let open = world
                .coordinator
                .process
                .as_ref()
                .is_some_and(|process| process.connections.contains_key(&id));
            if open {
                let connection = ConnectionId(id);
                world.coordinator_input(Input::NodeSays {
                    connection,
                    message,
                });
            }
        });
    }

    pub(crate) fn order_switchover(&mut self) {
        let order = Order::Switchover { to: None };
        let token = OrderToken(self.now);
        self.coordinator_input(Input::Order { token, order });
    }

    /// The coordinator takes its settings over again; while it is down, it finds them at its next start.
    pub(crate) fn change_heartbeat_interval(&mut self, interval_ms: u32) {
        self.coordinator.settings.heartbeat_interval_ms = interval_ms;
        let settings = self.coordinator.settings;
        self.coordinator_input(Input::SettingsChanged(settings));
    }

    /// Has a node drained, and undrained some time after.
    pub(crate) fn order_drain(&mut self, node: NodeId, for_ns: TrueNs) {
        let order = Order::Drain {
            node: node.to_string(),
        };
        let token = OrderToken(self.now);
        self.coordinator_input(Input::Order { token, order });
        self.after(for_ns, move |world| world.order_undrain(node));
    }

    /// Orders it again until the coordinator has stored it.
    fn order_undrain(&mut self, node: NodeId) {
        let order = Order::Undrain {
            node: node.to_string(),
        };
        let token = OrderToken(self.now);
        self.coordinator_input(Input::Order { token, order });
        if !self.coordinator.is_up() || self.coordinator.stored.is_drained(node) {
            self.after(OPERATOR_PAUSE, move |world| world.order_undrain(node));
        }
    }

    fn coordinator_input(&mut self, input: Input) {
        let now = self.coordinator.clock.read(self.now);
        if let Some(process) = &mut self.coordinator.process {
            process.core.handle(now, input);
            self.carry_out_coordinator();
        }
    }

    fn coordinator_timer(&mut self, run: u64) {
        let (at, now) = (self.now, self.coordinator.clock.read(self.now));
        let due = self.coordinator.run == run;
        if let Some(process) = &mut self.coordinator.process
            && due
            && process.timer_at == at
        {
            process.core.handle_timeout(now);
            self.carry_out_coordinator();
        }
    }

    fn carry_out_coordinator(&mut self) {
        while let Some(effect) = self
            .coordinator
            .process
            .as_mut()
            .and_then(|process| process.core.poll_effect())
        {
            self.coordinator_effect(effect);
        }
        let (now, run, clock) = (self.now, self.coordinator.run, self.coordinator.clock);
        let Some(process) = &mut self.coordinator.process else {
            return;
        };
        if let Some(wanted) = process.core.poll_timeout() {
            let at = clock.when(wanted).max(now + 1000);
            if process.timer_at != at {
                process.timer_at = at;
                self.at(at, move |world| world.coordinator_timer(run));
            }
        }
    }

    fn coordinator_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Store { ticket, state, .. } => {
                let run = self.coordinator.run;
                if let Some(process) = &mut self.coordinator.process {
                    process.storing.push_back((*state, ticket));
                }
                self.after(MS, move |world| world.coordinator_stored(run));
            }
            Effect::SendNode {
                connection,
                message,
            } => self.tell_node(connection.0, message),
            Effect::PushMap(map) => self.push(map),
            Effect::Disconnect { connection } => {
                let node = self
                    .coordinator
                    .process
                    .as_mut()
                    .and_then(|process| process.connections.remove(&connection.0));
                if let Some(node) = node {
                    self.node_loses_coordinator(node);
                }
            }
            Effect::AnswerOrder { result, .. } => {
                self.trace.note(self.now, || Event::OrderEnds(result));
            }
            Effect::Log { line } => self
                .trace
                .note(self.now, || Event::CoordinatorDecides(line)),
        }
    }

    fn push(&mut self, map: ClusterMap) {
        let mut connections: Vec<u64> = self
            .coordinator
            .process
            .iter()
            .flat_map(|process| process.connections.keys().copied())
            .collect();
        let known = self.coordinator.map.replace(map.clone());
        let newer = known.is_none_or(|known| known.view != map.view);
        if newer {
            self.trace
                .note(self.now, || Event::CoordinatorPushes(map.clone()));
        }
        if newer
            && self.may_happen(FaultKind::Coordinator)
            && self.random.random_ratio(1, DEATHS_WHILE_PUSHING)
        {
            connections.shuffle(&mut self.random);
            return self.die_while_pushing(connections.first().copied(), map);
        }
        for connection in connections {
            self.tell_node(connection, CoordinatorToNode::Map(map.clone()));
        }
    }

    /// One node hears of the view, and then the coordinator is gone, perhaps with its disk.
    fn die_while_pushing(&mut self, connection: Option<u64>, map: ClusterMap) {
        let node = connection.and_then(|connection| {
            let process = self.coordinator.process.as_ref()?;
            Some((connection, *process.connections.get(&connection)?))
        });
        if let Some((connection, node)) = node {
            self.hear_coordinator(node, connection, CoordinatorToNode::Map(map));
        }
        self.crash_coordinator();
        if self.random.random_ratio(1, 2) && self.may_lose_coordinator() {
            self.lose_coordinator_disk();
        }
        let later = self.random.random_range(10 * MS..1500 * MS);
        self.after(later, Self::start_coordinator);
    }

    fn coordinator_stored(&mut self, run: u64) {
        if self.coordinator.run != run {
            return;
        }
        let next = self
            .coordinator
            .process
            .as_mut()
            .and_then(|process| process.storing.pop_front());
        if let Some((state, ticket)) = next {
            if let Some(view) = state.view() {
                self.check_view(view, state.drained());
            }
            self.coordinator.stored = state;
            self.coordinator_input(Input::Stored { ticket });
        }
    }

    fn tell_node(&mut self, connection: u64, message: CoordinatorToNode) {
        let node = self
            .coordinator
            .process
            .as_ref()
            .and_then(|process| process.connections.get(&connection).copied());
        if let Some(node) = node {
            if !matches!(message, CoordinatorToNode::Map(_)) {
                let message = message.clone();
                self.trace
                    .note(self.now, || Event::CoordinatorTells { node, message });
            }
            self.deliver(Party::Coordinator, Party::Node(node), move |world| {
                world.hear_coordinator(node, connection, message);
            });
        }
    }
}
