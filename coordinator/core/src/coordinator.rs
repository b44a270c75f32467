//! The doors of the coordinator's core: inputs in, effects out.

use std::collections::VecDeque;

use kv_common::id::{NodeId, ShardId};
use kv_common::limits::NODES_MAX;
use kv_common::message::control::{
    CoordinatorToNode, NodeToCoordinator, Registration, RegistrationRefusal, Standing,
};
use kv_common::message::registry::Event;
use kv_common::tally::Tally;
use kv_common::time::{Monotonic, Now};
use kv_common::timing::Timing;
use kv_common::view::{ClusterMap, PrimarySeat, View, ViewSettings};

use crate::cluster_state::{ClusterState, Command};
use crate::drain::DrainOrder;
use crate::effect::Effect;
use crate::failover::Failover;
use crate::input::{ConnectionId, Input, Ticket};
use crate::liveness::Liveness;
use crate::lost_past;
use crate::refused_messages::MessageRefusal;

/// The shard that this version governs: all keys.
pub(crate) const SHARD: ShardId = ShardId(0);

/// What the coordinator was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many copies to keep.
    pub copies: u8,
    /// How many members must hold a write before its success is answered.
    pub min_in_sync: u8,
    /// How many nodes form the first view.
    pub expect: u8,
    /// The one knob of all periods.
    pub heartbeat_interval_ms: u32,
}

impl Settings {
    pub(crate) fn of_views(&self) -> ViewSettings {
        ViewSettings {
            copies: self.copies,
            min_in_sync: self.min_in_sync,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing::from_ms(self.heartbeat_interval_ms)
    }
}

/// The core of the coordinator.
///
/// Hand [inputs](Self::handle) in with the time, call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] says so, and after each turn carry out what
/// [`Self::poll_effect`] hands out, in order.
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) settings: Settings,
    pub(crate) state: ClusterState,
    pub(crate) live: Liveness,
    pub(crate) failover: Option<Failover>,
    pub(crate) halted: Option<String>,
    /// Why no first view can be formed although enough nodes are here.
    pub(crate) formation_blocked: Option<String>,
    pub(crate) form_ordered: Option<Option<NodeId>>,
    /// The primary that was the last to be asked to hand over because it was about to stop, and how often.
    pub(crate) asked_to_hand_over: Option<(PrimarySeat, u8)>,
    /// Orders to drain a node that wait until it has left the view; one a node.
    pub(crate) drain_orders: Vec<DrainOrder>,
    /// When the view in force was installed, or this run began.
    pub(crate) installed_at: Monotonic,
    /// What this turn wants to be done, once it is durable.
    outbox: Vec<Effect>,
    events: Vec<Event>,
    changed: bool,
    last_ticket: Ticket,
    waiting: VecDeque<(Ticket, Vec<Effect>)>,
    ready: VecDeque<Effect>,
    newest_map: ClusterMap,
    durable_map: ClusterMap,
    pub(crate) refused_messages: Tally<MessageRefusal>,
}

impl Coordinator {
    /// A coordinator at the start of a run, with the state as it was stored, or a new one.
    #[must_use]
    pub fn start(now: Now, settings: Settings, mut state: ClusterState) -> Self {
        state.apply(Command::Start);
        let live = Liveness::new(now.monotonic);
        let map = map_of(&state, Vec::new(), first_version(&state));
        let failover = state
            .open_seal()
            .map(|epoch| Failover::new(now.monotonic, epoch));
        let mut coordinator = Self {
            settings,
            live,
            failover,
            halted: state.past_is_missing().then(lost_past::of_a_new_state),
            formation_blocked: None,
            form_ordered: None,
            asked_to_hand_over: None,
            drain_orders: Vec::new(),
            installed_at: now.monotonic,
            outbox: Vec::new(),
            events: Vec::new(),
            changed: true,
            last_ticket: Ticket::default(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            newest_map: map.clone(),
            durable_map: map,
            refused_messages: Tally::default(),
            state,
        };
        coordinator.end_turn();
        coordinator
    }

    /// Takes note of what happened, and decides.
    ///
    /// # Panics
    /// When an invariant of the core is broken.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.live.turn(now.monotonic, self.settings.timing());
        self.dispatch(now, input);
        self.conclude(now);
    }

    /// The time that [`Self::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.live.turn(now.monotonic, self.settings.timing());
        self.conclude(now);
    }

    fn conclude(&mut self, now: Now) {
        self.decide(now);
        self.ask_for_seals(now.monotonic);
        self.answer_drain_orders(now.monotonic);
        self.end_turn();
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.ready.pop_front()?;
        if let Effect::PushMap(map) = &effect {
            self.durable_map = map.clone();
        }
        Some(effect)
    }

    /// When [`Self::handle_timeout`] is to be called: every half heartbeat interval, because what
    /// it looks for is silence.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        let turn = self.settings.timing().heartbeat_interval() / 2;
        Some(self.live.last_turn().after(turn))
    }

    /// What nodes said and nothing was done about, since the start of the run.
    #[must_use]
    pub fn refused_messages(&self) -> &Tally<MessageRefusal> {
        &self.refused_messages
    }

    /// The newest map that is durable.
    #[must_use]
    pub fn map(&self) -> &ClusterMap {
        &self.durable_map
    }

    fn dispatch(&mut self, now: Now, input: Input) {
        match input {
            Input::NodeConnected {
                connection,
                node,
                incarnation,
            } => self.live.connected(connection, node, incarnation),
            Input::NodeSays {
                connection,
                message,
            } => self.node_says(now, connection, message),
            Input::NodeDisconnected { connection } => {
                if let Some(node) = self.live.disconnected(now.monotonic, connection) {
                    let name = self.state.name_of(node);
                    self.log(format!("{name} disconnected"));
                }
            }
            Input::Order { token, order } => self.order(now, token, order),
            // The rule about settings does the rest.
            Input::SettingsChanged(settings) => self.settings = settings,
            Input::Stored { ticket } => self.stored(ticket),
        }
    }

    fn node_says(&mut self, now: Now, connection: ConnectionId, message: NodeToCoordinator) {
        if let NodeToCoordinator::Register(registration) = message {
            return self.register(now, connection, registration);
        }
        let Some(node) = self.live.heard(now.monotonic, connection) else {
            self.refused_messages.count(MessageRefusal::Unregistered);
            return;
        };
        match message {
            NodeToCoordinator::Register(_) => {}
            NodeToCoordinator::Heartbeat(report) => {
                if report.node == node {
                    self.check_past(now, node, report.view_epoch, report.seal);
                    self.live.reported(now.monotonic, node, report);
                } else {
                    self.refused_messages.count(MessageRefusal::OtherNode);
                }
            }
            NodeToCoordinator::Sealed(answer) => self.sealed(now, node, answer),
            NodeToCoordinator::Propose(proposal) => self.propose(now, node, &proposal),
            NodeToCoordinator::HandoverFailed { epoch, why, .. } => {
                if epoch == self.state.epoch() {
                    self.handover_failed(&why);
                } else {
                    self.refused_messages.count(MessageRefusal::OldHandover);
                }
            }
        }
    }

    fn register(&mut self, now: Now, connection: ConnectionId, registration: Registration) {
        let node = registration.node;
        if let Err(why) = self.check_registration(connection, &registration) {
            self.refused_messages.count(MessageRefusal::from(&why));
            let name = registration.name;
            self.log(format!("{name} is not taken: {why}"));
            let message = CoordinatorToNode::Refused(why);
            self.send(connection, message);
            self.outbox.push(Effect::Disconnect { connection });
            return;
        }
        if let Standing::Veteran { view_epoch, seal } = registration.standing {
            self.check_past(now, node, view_epoch, seal);
        }
        let replaced = self.live.registered(
            now.monotonic,
            connection,
            node,
            registration.incarnation,
            registration.standing.clone(),
        );
        if let Some(connection) = replaced {
            self.outbox.push(Effect::Disconnect { connection });
        }
        if let Some(failover) = &mut self.failover {
            failover.forget_answer(node);
        }
        let (name, run) = (registration.name.clone(), registration.incarnation);
        self.log(format!("{name} connected, run {run}"));
        self.apply(Command::Register(registration));
        self.warn_of_shared_door(node);
        let registered = CoordinatorToNode::Registered {
            cluster: self.state.cluster(),
            heartbeat_interval_ms: self.settings.heartbeat_interval_ms,
        };
        self.send(connection, registered);
        // A registration always brings a newer map, which follows to everybody.
        self.touch_map();
    }

    fn check_registration(
        &self,
        connection: ConnectionId,
        registration: &Registration,
    ) -> Result<(), RegistrationRefusal> {
        let node = registration.node;
        if self.state.is_forgotten(node) {
            return Err(RegistrationRefusal::Forgotten);
        }
        let known = self.state.nodes().get(&node).map(|node| node.incarnation);
        let caller = self.live.caller(connection);
        let genuine = caller == Some((node, registration.incarnation));
        if let Some(newest) = known
            && (newest > registration.incarnation || !genuine)
        {
            let theirs = registration.incarnation;
            return Err(RegistrationRefusal::OldIncarnation { theirs, newest });
        }
        if let Some(ours) = self.state.fsync()
            && ours != registration.fsync
        {
            let theirs = registration.fsync;
            return Err(RegistrationRefusal::Fsync { ours, theirs });
        }
        if known.is_none() && self.state.nodes().len() >= NODES_MAX {
            let max = NODES_MAX;
            return Err(RegistrationRefusal::TooManyNodes { max });
        }
        let others = self.state.nodes().iter();
        let others = others.filter(|(other, _)| **other != node && self.live.is_connected(**other));
        for (holder, other) in others {
            if other.info.address == registration.address {
                return Err(RegistrationRefusal::AddressTaken {
                    address: registration.address.clone(),
                    holder: *holder,
                });
            }
            if other.info.name == registration.name {
                return Err(RegistrationRefusal::NameTaken {
                    name: registration.name.clone(),
                    holder: *holder,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, command: Command) {
        self.state.apply(command);
        self.changed = true;
    }

    /// Installs a view: durable first, then pushed to everybody.
    pub(crate) fn install(&mut self, now: Now, view: View, rule: &str, what: String) {
        self.apply(Command::InstallView(view));
        self.installed_at = now.monotonic;
        self.failover = None;
        self.event(now, rule, what);
    }

    pub(crate) fn event(&mut self, now: Now, rule: &str, what: String) {
        self.apply(Command::CountEvent);
        self.log(format!("[{rule}] {what}"));
        self.events.push(Event {
            number: self.state.events(),
            at: now.unix,
            epoch: self.state.epoch(),
            rule: rule.to_owned(),
            what,
        });
    }

    pub(crate) fn log(&mut self, line: String) {
        self.outbox.push(Effect::Log { line });
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, message: CoordinatorToNode) {
        self.outbox.push(Effect::SendNode {
            connection,
            message,
        });
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        self.outbox.push(effect);
    }

    /// Numbers maps above those of all starts before.
    pub(crate) fn number_maps_anew(&mut self) {
        let first = first_version(&self.state);
        self.newest_map.version = self.newest_map.version.max(first);
    }

    /// Sends the newest map again, to everybody.
    pub(crate) fn touch_map(&mut self) {
        self.newest_map.version += 1;
        self.outbox.push(Effect::PushMap(self.newest_map.clone()));
    }

    /// Ends a turn: a changed map is pushed, and what the turn wants goes out when what it changed
    /// is durable, and never before what earlier turns want.
    fn end_turn(&mut self) {
        let joiners = self.joiners();
        let version = self.newest_map.version;
        let map = map_of(&self.state, joiners, version);
        if map != self.newest_map {
            self.newest_map = map;
            self.outbox
                .retain(|effect| !matches!(effect, Effect::PushMap(_)));
            self.touch_map();
        }
        let outbox = std::mem::take(&mut self.outbox);
        if std::mem::take(&mut self.changed) {
            self.last_ticket = Ticket(self.last_ticket.0 + 1);
            self.ready.push_back(Effect::Store {
                ticket: self.last_ticket,
                state: Box::new(self.state.clone()),
                events: std::mem::take(&mut self.events),
            });
            self.waiting.push_back((self.last_ticket, outbox));
        } else if let Some((_, last)) = self.waiting.back_mut() {
            last.extend(outbox);
        } else {
            self.ready.extend(outbox);
        }
    }

    fn stored(&mut self, ticket: Ticket) {
        while self
            .waiting
            .front()
            .is_some_and(|(waiting, _)| *waiting <= ticket)
        {
            if let Some((_, effects)) = self.waiting.pop_front() {
                self.ready.extend(effects);
            }
        }
    }
}

/// The number of the first map of a run. Each has room for as many as it will ever make.
fn first_version(state: &ClusterState) -> u64 {
    state.starts() << 32
}

fn map_of(state: &ClusterState, joiners: Vec<NodeId>, version: u64) -> ClusterMap {
    ClusterMap {
        cluster: state.cluster(),
        version,
        view: state.view().cloned(),
        joiners,
        nodes: state
            .nodes()
            .iter()
            .map(|(node, known)| (*node, known.info.clone()))
            .collect(),
    }
}
