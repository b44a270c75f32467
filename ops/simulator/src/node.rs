//! The shell of a simulated node: carries out the effects of its core.

use std::collections::{BTreeMap, VecDeque};

use kv_common::command::Reply;
use kv_common::id::{Incarnation, NodeId, ShardId};
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kv_common::view::PrimarySeat;
use kvnode_core::effect::Effect;
use kvnode_core::input::{ClientToken, Identity, Input, LinkId, Start};
use kvnode_core::replica::Replica;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::disk::{Disk, LogOrder};
use crate::trace::Event;
use crate::world::{Clock, MS, TrueNs, World};

pub(crate) const HASH_SEED: u64 = 7;

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
    /// What came during a pause.
    backlog: VecDeque<Input>,
    pub(crate) incarnation: Incarnation,
    /// The connection to the coordinator.
    pub(crate) connection: Option<u64>,
    pub(crate) wanted_links: Vec<NodeId>,
    pub(crate) links: BTreeMap<NodeId, LinkId>,
    pub(crate) timer_at: TrueNs,
    pub(crate) disk_free_at: TrueNs,
    pub(crate) meta_free_at: TrueNs,
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
                fsync: self.options.fsync,
            },
            promises: node.disk.promises.clone(),
            recovered: node.disk.recover(HASH_SEED),
        };
        node.process = Some(Process {
            replica: Replica::start(node.clock.read(now), start),
            backlog: VecDeque::new(),
            incarnation,
            connection: None,
            wanted_links: Vec::new(),
            links: BTreeMap::new(),
            timer_at: 0,
            disk_free_at: 0,
            meta_free_at: 0,
        });
        let run = incarnation;
        self.trace.note(now, || Event::RunBegins { node: id, run });
        self.keep_registered(id, incarnation);
        self.send_heartbeats(id, incarnation);
    }

    pub(crate) fn crash_node(&mut self, id: NodeId) {
        let (now, fsync) = (self.now, self.options.fsync);
        let arrived = self.random.random_range(0..3);
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = node.process.take() else {
            return;
        };
        node.disk.crash(now, arrived, fsync);
        self.trace.note(now, || Event::NodeCrashes { node: id });
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
    pub(crate) fn process(&mut self, id: NodeId) -> Option<&mut Process> {
        self.nodes.get_mut(&id)?.process.as_mut()
    }

    pub(crate) fn incarnation_of(&mut self, id: NodeId) -> Option<Incarnation> {
        self.process(id).map(|process| process.incarnation)
    }

    /// Gives an input to the run of a node that is there when its time comes, if it is `run`.
    pub(crate) fn node_later(&mut self, id: NodeId, run: Option<Incarnation>, input: Input) {
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
        if node.paused_until > now || !process.backlog.is_empty() {
            process.backlog.push_back(input);
            let (until, run) = (node.paused_until, process.incarnation);
            return self.at(until, move |world| world.node_resumes(id, run));
        }
        process.replica.handle(node.clock.read(now), input);
        self.carry_out(id);
    }

    /// A pause may be over: what came meanwhile is met in its order.
    fn node_resumes(&mut self, id: NodeId, run: Incarnation) {
        let now = self.now;
        loop {
            let Some(node) = self.nodes.get_mut(&id) else {
                return;
            };
            let Some(process) = &mut node.process else {
                return;
            };
            if process.incarnation != run {
                return;
            }
            if node.paused_until > now {
                let until = node.paused_until;
                return self.at(until, move |world| world.node_resumes(id, run));
            }
            let Some(input) = process.backlog.pop_front() else {
                return;
            };
            process.replica.handle(node.clock.read(now), input);
            self.carry_out(id);
        }
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
        self.check_node(id);
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
            } => self.reply(id, client, result, lease_until),
            Effect::SendFollower { link, message } => self.send_follower(id, link, message),
            Effect::SendPrimary { link, message } => self.send_primary(id, link, message),
            Effect::KeepLinks { followers } => self.keep_links(id, followers),
            Effect::ResetLink { link } => self.reset_link(id, link),
            Effect::SendCoordinator(message) => self.tell_coordinator(id, message),
            Effect::StartCopy { from, .. } => {
                let run = self.incarnation_of(id);
                self.after(20 * MS, move |world| world.copy(id, run, from));
            }
            // No client of the simulator listens.
            Effect::KeyEvents(_) => {}
            Effect::RoleChanged { role } => self
                .trace
                .note(self.now, || Event::RoleChanges { node: id, role }),
        }
    }

    /// A reply goes out only while the lease that it rests on runs.
    fn reply(
        &mut self,
        id: NodeId,
        client: ClientToken,
        result: Result<Reply, Refusal>,
        lease_until: Option<Monotonic>,
    ) {
        let now = self.now;
        let clock = self.nodes[&id].clock;
        let lost = lease_until.is_some_and(|until| clock.read(now).monotonic >= until);
        let result = if lost {
            Err(Refusal::LeaseLost)
        } else {
            result
        };
        if result.is_ok() {
            self.check_reply(id, client, lease_until.is_some());
        }
        self.answer_client(id, client, result);
    }

    /// Traces how each node stands at the end of a run.
    pub(crate) fn trace_ends(&mut self) {
        for node in self.nodes.values() {
            let how = || match &node.process {
                Some(process) => {
                    let links = process.links.keys();
                    let followers: Vec<u64> = links.map(|follower| follower.0).collect();
                    let report = process.replica.report(node.clock.read(self.now));
                    format!("links to {followers:?}, {report:?}")
                }
                None => "is down".to_owned(),
            };
            let event = || Event::NodeEnds {
                node: node.id,
                how: how(),
            };
            self.trace.note(self.now, event);
        }
    }
}
