//! The link of a simulated node to the coordinator.

use kv_common::id::{Address, Incarnation, NodeId};
use kv_common::message::control::{CoordinatorToNode, NodeToCoordinator, Registration, Standing};
use kvnode_core::input::Input;

use crate::trace::Event;
use crate::world::{MS, Party, World};

impl World {
    pub(crate) fn keep_registered(&mut self, id: NodeId, run: Incarnation) {
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
            let address = Address(format!("node-{}:1", id.0));
            let registration = Registration {
                node: id,
                incarnation: run,
                name: format!("node-{}", id.0),
                address,
                redis_address: None,
                fsync: self.options.fsync,
                standing,
            };
            self.coordinator_connected(id, run, connection);
            self.tell_coordinator(id, NodeToCoordinator::Register(registration));
        }
        self.after(30 * MS, move |world| world.keep_registered(id, run));
    }

    pub(crate) fn send_heartbeats(&mut self, id: NodeId, run: Incarnation) {
        if self.incarnation_of(id) != Some(run) {
            return;
        }
        let now = self.now;
        let mut interval = 50 * MS;
        if let Some(process) = self.nodes.get(&id).and_then(|node| node.process.as_ref())
            && let Some(view) = &process.replica.promises().view
        {
            interval = u64::from(view.settings.heartbeat_interval_ms) * MS;
        }
        if let Some(node) = self.nodes.get(&id)
            && node.paused_until <= now
            && let Some(process) = &node.process
            && process.connection.is_some()
        {
            let report = process.replica.report(node.clock.read(now));
            self.tell_coordinator(id, NodeToCoordinator::Heartbeat(report));
        }
        self.redial(id);
        self.after(interval, move |world| world.send_heartbeats(id, run));
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
                self.trace
                    .note(self.now, || Event::RegistrationRefused { node: id, why });
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
