//! The shell of a simulated node: carries out the effects of its core.

use kv_common::id::{Incarnation, NodeId, ShardId};
use kv_common::message::control::{
    CoordinatorToNode, FsyncMode, NodeToCoordinator, Registration, Standing,
};
use kv_common::refusal::Refusal;
use kv_common::view::PrimarySeat;
use kvnode_core::effect::Effect;
use kvnode_core::input::{Identity, Input, LinkId, Start};
use kvnode_core::replica::Replica;
use rand::RngExt;
use rand::rngs::StdRng;

use std::collections::BTreeMap;

use crate::disk::{Disk, LogOrder};
use crate::world::{Clock, MS, Party, TrueNs, World};

const HASH_SEED: u64 = 7;

/// A node: its disk for good, its process while it runs.
pub(crate) struct SimulatedNode {
    pub(crate) id: NodeId,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) process: Option<Process>,
    /// Nothing happens in the process before this.
    pub(crate) paused_until: TrueNs,
}

/// What a crash ends.
pub(crate) struct Process {
    pub(crate) replica: Replica,
    incarnation: Incarnation,
    /// The connection to the coordinator.
    pub(crate) connection: Option<u64>,
    wanted_links: Vec<NodeId>,
    links: BTreeMap<NodeId, LinkId>,
    timer_at: TrueNs,
    disk_free_at: TrueNs,
    meta_free_at: TrueNs,
}

impl SimulatedNode {
    pub(crate) fn new(id: NodeId, random: &mut StdRng) -> Self {
        Self {
            id,
            disk: Disk::default(),
            clock: Clock::new(random),
            process: None,
            paused_until: 0,
        }
    }
}

impl World {
    pub(crate) fn start_node(&mut self, id: NodeId) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.disk.incarnation = node.disk.incarnation.next();
        node.paused_until = 0;
        let incarnation = node.disk.incarnation;
        let start = Start {
            identity: Identity {
                shard: ShardId(0),
                seat: PrimarySeat {
                    node: id,
                    incarnation,
                },
                fsync: FsyncMode::Always,
            },
            promises: node.disk.promises.clone(),
            recovered: node.disk.recover(HASH_SEED),
        };
        node.process = Some(Process {
            replica: Replica::start(node.clock.read(now), start),
            incarnation,
            connection: None,
            wanted_links: Vec::new(),
            links: BTreeMap::new(),
            timer_at: 0,
            disk_free_at: 0,
            meta_free_at: 0,
        });
        self.trace(&format!("node {}", id.0), || {
            format!("run {incarnation} begins")
        });
        self.keep_registered(id, incarnation);
        self.send_heartbeats(id, incarnation);
    }

    pub(crate) fn crash_node(&mut self, id: NodeId) {
        let arrived = self.random.random_range(0..3);
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = node.process.take() else {
            return;
        };
        node.disk.crash(arrived);
        self.trace(&format!("node {}", id.0), || "crashes".to_owned());
        if let Some(connection) = process.connection {
            self.connection_broke(id, connection);
        }
        for (follower, link) in process.links {
            self.node_later(follower, None, Input::PrimaryDown { link });
        }
        let others: Vec<NodeId> = self
            .nodes
            .keys()
            .copied()
            .filter(|other| *other != id)
            .collect();
        for other in others {
            self.drop_link(other, id);
        }
    }

    /// The link from `from` to `to` breaks; both ends notice.
    pub(crate) fn drop_link(&mut self, from: NodeId, to: NodeId) {
        let Some(process) = self.process(from) else {
            return;
        };
        if let Some(link) = process.links.remove(&to) {
            self.node_later(from, None, Input::FollowerDown { node: to, link });
            self.node_later(to, None, Input::PrimaryDown { link });
        }
    }

    pub(crate) fn process(&mut self, id: NodeId) -> Option<&mut Process> {
        self.nodes.get_mut(&id)?.process.as_mut()
    }

    fn incarnation_of(&mut self, id: NodeId) -> Option<Incarnation> {
        self.process(id).map(|process| process.incarnation)
    }

    /// Gives an input to the run of a node that is there when its time comes, if it is `run`.
    fn node_later(&mut self, id: NodeId, run: Option<Incarnation>, input: Input) {
        self.after(MS / 20, move |world| world.node_input(id, run, input));
    }

    /// Gives an input to a node, now or when its pause is over.
    pub(crate) fn node_input(&mut self, id: NodeId, run: Option<Incarnation>, input: Input) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = &mut node.process else {
            return;
        };
        if run.is_some_and(|run| run != process.incarnation) {
            return;
        }
        if node.paused_until > now {
            let (until, run) = (node.paused_until, Some(process.incarnation));
            return self.at(until, move |world| world.node_input(id, run, input));
        }
        process.replica.handle(node.clock.read(now), input);
        self.carry_out(id);
    }

    fn node_timer(&mut self, id: NodeId, run: Incarnation) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = &mut node.process else {
            return;
        };
        if process.incarnation != run || process.timer_at != now {
            return;
        }
        if node.paused_until > now {
            process.timer_at = node.paused_until;
            let until = node.paused_until;
            return self.at(until, move |world| world.node_timer(id, run));
        }
        process.replica.handle_timeout(node.clock.read(now));
        self.carry_out(id);
    }

    fn carry_out(&mut self, id: NodeId) {
        while let Some(effect) = self
            .process(id)
            .and_then(|process| process.replica.poll_effect())
        {
            self.effect(id, effect);
        }
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let clock = node.clock;
        let Some(process) = &mut node.process else {
            return;
        };
        let Some(wanted) = process.replica.poll_timeout() else {
            return;
        };
        let at = clock.when(wanted).max(now + 1000);
        if process.timer_at != at {
            process.timer_at = at;
            let run = process.incarnation;
            self.at(at, move |world| world.node_timer(id, run));
        }
    }

    fn effect(&mut self, id: NodeId, effect: Effect) {
        match effect {
            Effect::Append(batch) => self.log_order(id, LogOrder::Append(batch)),
            Effect::CutLog { after, ticket } => self.log_order(id, LogOrder::Cut { after, ticket }),
            Effect::ReadLog {
                node, link, from, ..
            } => self.log_order(id, LogOrder::Read { node, link, from }),
            Effect::StorePromises { promises, ticket } => self.store_order(id, promises, ticket),
            Effect::Reply {
                client,
                result,
                lease_until,
            } => {
                let now = self.now;
                let clock = self.nodes[&id].clock;
                let lost = lease_until.is_some_and(|until| clock.read(now).monotonic >= until);
                let result = if lost {
                    Err(Refusal::LeaseLost)
                } else {
                    result
                };
                self.answer_client(id, client, result);
            }
            Effect::SendFollower { link, message } => {
                let links = self.process(id).map(|process| process.links.clone());
                let follower =
                    links.and_then(|links| links.into_iter().find(|(_, open)| *open == link));
                let (Some((to, _)), Some(run)) = (follower, self.incarnation_of(id)) else {
                    return;
                };
                let seat = PrimarySeat {
                    node: id,
                    incarnation: run,
                };
                self.deliver(Party::Node(id), Party::Node(to), move |world| {
                    let input = Input::PrimarySays {
                        link,
                        seat,
                        message,
                    };
                    world.node_input(to, None, input);
                });
            }
            Effect::SendPrimary { link, message } => {
                let primary = self.nodes.values().find_map(|node| {
                    let links = &node.process.as_ref()?.links;
                    (links.get(&id) == Some(&link)).then_some(node.id)
                });
                if let Some(primary) = primary {
                    self.deliver(Party::Node(id), Party::Node(primary), move |world| {
                        let input = Input::FollowerSays {
                            node: id,
                            link,
                            message,
                        };
                        world.node_input(primary, None, input);
                    });
                }
            }
            Effect::KeepLinks { followers } => self.keep_links(id, followers),
            Effect::ResetLink { link } => {
                let to = self.process(id).and_then(|process| {
                    process
                        .links
                        .iter()
                        .find(|(_, open)| **open == link)
                        .map(|(to, _)| *to)
                });
                if let Some(to) = to {
                    self.drop_link(id, to);
                    self.dial_later(id, to);
                }
            }
            Effect::SendCoordinator(message) => self.tell_coordinator(id, message),
            Effect::StartCopy { from, .. } => {
                let run = self.incarnation_of(id);
                self.after(20 * MS, move |world| world.copy(id, run, from));
            }
            Effect::RoleChanged { role } => self.trace(&format!("node {}", id.0), || role),
        }
    }

    fn log_order(&mut self, id: NodeId, order: LogOrder) {
        let (now, spread) = (self.now, self.stall());
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = &mut node.process else {
            return;
        };
        node.disk.order(order);
        process.disk_free_at = process.disk_free_at.max(now) + spread;
        let (at, run) = (process.disk_free_at, process.incarnation);
        self.at(at, move |world| {
            if world.incarnation_of(id) == Some(run) {
                let done = world
                    .nodes
                    .get_mut(&id)
                    .and_then(|node| node.disk.next_order_done());
                if let Some(input) = done {
                    world.node_input(id, Some(run), input);
                }
            }
        });
    }

    fn store_order(
        &mut self,
        id: NodeId,
        promises: kvnode_core::promise::Promises,
        ticket: kvnode_core::input::Ticket,
    ) {
        let (now, spread) = (self.now, self.stall());
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = &mut node.process else {
            return;
        };
        node.disk.store(promises, ticket);
        process.meta_free_at = process.meta_free_at.max(now) + spread;
        let (at, run) = (process.meta_free_at, process.incarnation);
        self.at(at, move |world| {
            if world.incarnation_of(id) == Some(run) {
                let done = world
                    .nodes
                    .get_mut(&id)
                    .and_then(|node| node.disk.next_store_done());
                if let Some(input) = done {
                    world.node_input(id, Some(run), input);
                }
            }
        });
    }

    fn stall(&mut self) -> TrueNs {
        let stalls = self.faults_go_on && self.random.random_ratio(1, 300);
        let longest = if stalls { 150 * MS } else { MS / 2 };
        self.random.random_range(MS / 10..longest)
    }

    fn copy(&mut self, id: NodeId, run: Option<Incarnation>, from: NodeId) {
        let source = self.nodes.get(&from).and_then(|node| {
            let process = node.process.as_ref()?;
            let reachable = !self.cut.contains(&(Party::Node(from), Party::Node(id)));
            (process.replica.serves_copies() && reachable)
                .then(|| node.disk.copy_up_to(process.replica.applied()))
        });
        if run.is_none() || self.incarnation_of(id) != run {
            return;
        }
        let input = match (source, self.nodes.get_mut(&id)) {
            (Some(batches), Some(node)) => {
                node.disk.replace(batches);
                Input::CopyDone(Box::new(node.disk.recover(HASH_SEED)))
            }
            _ => Input::CopyFailed {
                why: "the source is away".to_owned(),
            },
        };
        self.node_input(id, run, input);
    }

    fn keep_links(&mut self, id: NodeId, followers: Vec<NodeId>) {
        let Some(process) = self.process(id) else {
            return;
        };
        let gone: Vec<NodeId> = process
            .links
            .keys()
            .copied()
            .filter(|node| !followers.contains(node))
            .collect();
        process.wanted_links = followers.clone();
        for node in gone {
            self.drop_link(id, node);
        }
        for node in followers {
            self.dial_later(id, node);
        }
    }

    fn dial_later(&mut self, from: NodeId, to: NodeId) {
        let Some(run) = self.incarnation_of(from) else {
            return;
        };
        let delay = self.random.random_range(MS..20 * MS);
        self.after(delay, move |world| world.dial(from, run, to));
    }

    fn dial(&mut self, from: NodeId, run: Incarnation, to: NodeId) {
        let (there, back) = (
            (Party::Node(from), Party::Node(to)),
            (Party::Node(to), Party::Node(from)),
        );
        let reachable = !self.cut.contains(&there) && !self.cut.contains(&back);
        let target_runs = self.process(to).is_some();
        let link = LinkId(self.next_link());
        let Some(process) = self.process(from) else {
            return;
        };
        let wanted = process.wanted_links.contains(&to) && !process.links.contains_key(&to);
        if process.incarnation != run || !wanted {
            return;
        }
        if reachable && target_runs {
            process.links.insert(to, link);
            self.node_input(from, Some(run), Input::FollowerUp { node: to, link });
        } else {
            self.dial_later(from, to);
        }
    }

    /// Dials again wherever a link is wanted and gone.
    fn redial(&mut self, id: NodeId) {
        let Some(process) = self.process(id) else {
            return;
        };
        let missing: Vec<NodeId> = process
            .wanted_links
            .iter()
            .copied()
            .filter(|node| !process.links.contains_key(node))
            .collect();
        for node in missing {
            self.dial_later(id, node);
        }
    }

    fn keep_registered(&mut self, id: NodeId, run: Incarnation) {
        if self.incarnation_of(id) != Some(run) {
            return;
        }
        let (there, back) = (
            (Party::Node(id), Party::Coordinator),
            (Party::Coordinator, Party::Node(id)),
        );
        let reachable = !self.cut.contains(&there) && !self.cut.contains(&back);
        let registered = self
            .process(id)
            .is_some_and(|process| process.connection.is_some());
        if !registered && reachable && self.coordinator.is_up() {
            let connection = self.next_link();
            let Some(process) = self.process(id) else {
                return;
            };
            process.connection = Some(connection);
            let promises = process.replica.promises();
            let standing = match promises.view {
                None => Standing::Fresh { data: None },
                Some(_) => Standing::Veteran {
                    view_epoch: promises.view_epoch(),
                    seal: promises.seal,
                },
            };
            let address = kv_common::id::Address(format!("node-{}:1", id.0));
            let registration = Registration {
                node: id,
                incarnation: run,
                name: format!("node-{}", id.0),
                address,
                redis_address: None,
                fsync: FsyncMode::Always,
                standing,
            };
            self.coordinator_connected(id, run, connection);
            self.tell_coordinator(id, NodeToCoordinator::Register(registration));
        }
        self.after(30 * MS, move |world| world.keep_registered(id, run));
    }

    fn send_heartbeats(&mut self, id: NodeId, run: Incarnation) {
        if self.incarnation_of(id) != Some(run) {
            return;
        }
        let now = self.now;
        if let Some(node) = self.nodes.get(&id)
            && node.paused_until <= now
            && let Some(process) = &node.process
            && process.connection.is_some()
        {
            let report = process.replica.report(node.clock.read(now));
            self.tell_coordinator(id, NodeToCoordinator::Heartbeat(report));
        }
        self.redial(id);
        self.after(50 * MS, move |world| world.send_heartbeats(id, run));
    }

    /// What the coordinator sent over a node's connection.
    pub(crate) fn hear_coordinator(
        &mut self,
        id: NodeId,
        connection: u64,
        message: CoordinatorToNode,
    ) {
        if self
            .process(id)
            .is_none_or(|process| process.connection != Some(connection))
        {
            return;
        }
        let input = match message {
            CoordinatorToNode::Registered { .. } => Input::CoordinatorUp,
            CoordinatorToNode::Refused(why) => {
                self.trace(&format!("node {}", id.0), || format!("refused: {why}"));
                return;
            }
            CoordinatorToNode::Map(map) => Input::Map(map),
            CoordinatorToNode::Seal { shard, epoch } => Input::Seal { shard, epoch },
            CoordinatorToNode::Handover {
                shard,
                epoch,
                to,
                seal,
            } => Input::Handover {
                shard,
                epoch,
                to,
                seal,
            },
        };
        self.node_input(id, None, input);
    }

    /// A node loses its connection to the coordinator.
    pub(crate) fn node_loses_coordinator(&mut self, id: NodeId) {
        if let Some(process) = self.process(id)
            && process.connection.take().is_some()
        {
            self.node_later(id, None, Input::CoordinatorDown);
        }
    }
}
