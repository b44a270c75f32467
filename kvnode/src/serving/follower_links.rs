//! The connections that a primary keeps to its followers.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use kv_common::id::NodeId;
use kv_common::message::replication::PrimaryToFollower;
use kv_common::time::Now;
use kvnode_core::input::LinkId;
use kvnode_core::replica::Replica;
use tokio::task::JoinHandle;

use super::Serving;
use super::follower_link::{self, FollowerInput};
use super::follower_output::FollowerOutput;

/// The connections that a primary keeps to its followers.
#[derive(Debug, Default)]
pub(super) struct FollowerLinks {
    keepers: BTreeMap<NodeId, Keeper>,
    open: BTreeMap<LinkId, OpenLink>,
    touched: Vec<Rc<FollowerOutput>>,
}

/// The task that keeps a connection. It ends when the value goes.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct OpenLink {
    input: Rc<FollowerInput>,
    output: Rc<FollowerOutput>,
}

impl FollowerLinks {
    /// Keeps connections to these nodes and to no other.
    pub(super) fn keep(&mut self, followers: &[NodeId], serving: &Weak<Serving>) {
        self.keepers.retain(|node, _| followers.contains(node));
        self.open.retain(|_, link| {
            let kept = followers.contains(&link.input.node);
            if !kept {
                link.output.close();
            }
            kept
        });
        for node in followers {
            if !self.keepers.contains_key(node)
                && let Some(serving) = serving.upgrade()
            {
                let task = tokio::task::spawn_local(follower_link::keep(serving, *node));
                self.keepers.insert(*node, Keeper(task));
            }
        }
    }

    pub(super) fn opened(&mut self, input: Rc<FollowerInput>, output: Rc<FollowerOutput>) {
        self.open.insert(input.link, OpenLink { input, output });
    }

    pub(super) fn closed(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    /// Tells the core what came, without waiting for the connections' tasks.
    pub(super) fn hear(&self, replica: &mut Replica, now: Now) {
        for OpenLink { input, output } in self.open.values() {
            input.hear(replica, now, output);
        }
    }

    /// Sends at the end of the turn; nowhere if the connection is gone.
    pub(super) fn send(&mut self, link: LinkId, message: PrimaryToFollower) {
        if let Some(OpenLink { output, .. }) = self.open.get(&link)
            && output.put(message)
        {
            self.touched.push(Rc::clone(output));
        }
    }

    /// Closes a connection; its task dials again.
    pub(super) fn reset(&mut self, link: LinkId) {
        if let Some(OpenLink { output, .. }) = self.open.get(&link) {
            output.close();
        }
    }

    pub(super) fn flush(&mut self) {
        for output in self.touched.drain(..) {
            output.flush();
        }
    }
}
