//! What must hold in every state of a cluster, one file each. They see everything at one instant, which
//! no part of a real cluster can. They look at a node when its turn is over, at a reply when it sets
//! out, and at a view when it is durable; each is cheap enough for that.

mod answers_are_held;
mod commits_are_held;
mod equal_copies;
mod one_primary;
mod one_reader;
mod positions;
mod requests_apply_once;
mod view_succession;

use std::collections::BTreeSet;

use kv_common::id::{Epoch, NodeId};
use kv_common::message::control::{FsyncMode, HeldRole};
use kv_common::view::View;
use kvnode_core::input::ClientToken;

use crate::trace::Event;
use crate::world::World;

/// What the invariants remember of a run.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    commits_are_held: commits_are_held::Committed,
    equal_copies: equal_copies::Copies,
    one_primary: one_primary::Seats,
    one_reader: one_reader::Readers,
    requests_apply_once: requests_apply_once::Requests,
    view_succession: view_succession::Views,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

impl Invariants {
    /// The next view follows from what the nodes know, and not from the last one that was durable:
    /// that one may be known to nobody.
    pub(crate) fn coordinator_lost_its_past(&mut self) {
        self.view_succession = view_succession::Views::default();
    }
}

impl World {
    /// A node's turn is over.
    pub(crate) fn check_node(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let Some(process) = &node.process else {
            return;
        };
        let replica = &process.replica;
        let copying = matches!(replica.role(), HeldRole::Copying { .. });
        let checked = positions::check(id, replica)
            .and_then(|()| self.invariants.one_primary.check(id, replica))
            .and_then(|()| {
                if copying {
                    return Ok(());
                }
                self.invariants.equal_copies.check(id, replica)
            })
            .and_then(|()| {
                // With `everysec` a member may have lost what it acknowledged: the others hold it.
                if self.options.fsync == FsyncMode::EverySec {
                    return Ok(());
                }
                let committed = &mut self.invariants.commits_are_held;
                committed.check(id, replica, &self.nodes)?;
                let requests = &mut self.invariants.requests_apply_once;
                requests.check(id, replica, &node.disk)
            });
        self.note(checked);
    }

    /// A reply sets out, and rests on a lease or not.
    pub(crate) fn check_reply(&mut self, id: NodeId, client: ClientToken, on_lease: bool) {
        let epoch = self.process(id).and_then(|process| {
            let role = process.replica.role();
            role.primary_epoch()
        });
        let checked = self.invariants.one_reader.check(id, epoch, on_lease);
        self.note(checked);
        // With `everysec` a member may have lost what it acknowledged: the others hold it.
        if let Some(stamp) = self.write_asked_under(client)
            && self.options.fsync == FsyncMode::Always
        {
            let enough = self.coordinator.min_in_sync();
            let checked = answers_are_held::check(id, &stamp, enough, &self.nodes);
            self.note(checked);
        }
    }

    /// The coordinator's view is durable.
    pub(crate) fn check_view(&mut self, view: &View, drained: &BTreeSet<NodeId>) {
        let committed = self.invariants.commits_are_held.newest();
        let views = &mut self.invariants.view_succession;
        let checked = views.check(view, committed, &self.nodes, drained);
        self.note(checked);
    }

    fn note(&mut self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.trace
                .note(self.now, || Event::Violated(violation.clone()));
            self.violation.get_or_insert(violation);
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

fn violation(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation { invariant, what })
}

/// What people call the run of a primary.
fn primary(id: NodeId, epoch: Epoch) -> String {
    format!("node {} in epoch {epoch}", id.0)
}
