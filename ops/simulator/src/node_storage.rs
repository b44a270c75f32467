//! The disk of a simulated node, as its core uses it: orders take a while, and are done in order.

use kv_common::id::{Incarnation, NodeId};
use kv_common::message::control::{DiskFailure, DiskTrouble, FsyncMode};
use kvnode_core::input::{Input, Ticket};
use kvnode_core::promise::Promises;
use rand::RngExt;

use crate::disk::LogOrder;
use crate::fault_kinds::FaultKind;
use crate::node::HASH_SEED;
use crate::world::{MS, Party, TrueNs, World};

/// Within this time every copy is in step again, or the cluster has shrunk.
const POWER_CUT_PAUSE: TrueNs = 4_000 * MS;

impl World {
    pub(crate) fn log_order(&mut self, id: NodeId, order: LogOrder) {
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
                    .and_then(|node| node.disk.next_order_done(world.now));
                if let Some(input) = done {
                    world.node_input(id, Some(run), input);
                }
            }
        });
    }

    pub(crate) fn store_order(&mut self, id: NodeId, promises: Promises, ticket: Ticket) {
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

    pub(crate) fn stall(&mut self) -> TrueNs {
        let stalls = self.may_happen(FaultKind::Delays) && self.random.random_ratio(1, 300);
        let longest = if stalls { 150 * MS } else { MS / 2 };
        self.random.random_range(MS / 10..longest)
    }

    /// What the node orders next waits so long.
    pub(crate) fn stall_disk(&mut self, id: NodeId, so_long: TrueNs) {
        let until = self.now + so_long;
        if let Some(process) = self.process(id) {
            process.disk_free_at = process.disk_free_at.max(until);
        }
    }

    /// Nothing is written any more until the node is started again.
    pub(crate) fn fail_disk(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id)
            && node.process.is_some()
        {
            node.disk.broken = true;
            let failure = DiskFailure {
                trouble: DiskTrouble::Failing,
                cause: "input/output error".to_owned(),
            };
            self.node_input(id, None, Input::DiskFailed(failure));
        }
    }

    /// Whether what a power cut at this node takes is surely held by others. Only with `everysec`
    /// does it take anything that a crash does not.
    pub(crate) fn may_lose_power(&self, id: NodeId) -> bool {
        let view = self
            .coordinator
            .map
            .as_ref()
            .and_then(|map| map.view.as_ref());
        let all_run = self.nodes.values().all(|node| node.process.is_some());
        let others =
            view.is_some_and(|view| view.has_member(id) && view.member_count() == self.nodes.len());
        // Once it has answered a seal, the next view may be of it alone.
        let sealed = self.nodes.get(&id).is_some_and(|node| {
            let seal = node
                .process
                .as_ref()
                .map(|process| process.replica.promises().seal);
            seal > view.map(|view| view.epoch)
        });
        let rested = self.now >= self.last_power_cut + POWER_CUT_PAUSE;
        self.options.fsync == FsyncMode::EverySec && all_run && others && !sealed && rested
    }

    pub(crate) fn lose_last_second(&mut self, id: NodeId) {
        let (now, arrived) = (self.now, self.random.random_range(0..4));
        self.last_power_cut = now;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk.lose_last_second(now, arrived);
        }
    }

    pub(crate) fn copy(&mut self, id: NodeId, run: Option<Incarnation>, from: NodeId) {
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
}
