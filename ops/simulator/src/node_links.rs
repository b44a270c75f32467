//! The links from a primary to its followers.

use kv_common::id::{Incarnation, NodeId};
use kv_common::message::replication::{FollowerToPrimary, PrimaryToFollower};
use kv_common::view::PrimarySeat;
use kvnode_core::input::{Input, LinkId};
use rand::RngExt;

use crate::world::{MS, Party, World};

impl World {
    pub(crate) fn drop_link(&mut self, from: NodeId, to: NodeId) {
        let Some(process) = self.process(from) else {
            return;
        };
        if let Some(link) = process.links.remove(&to) {
            self.node_later(from, None, Input::FollowerDown { node: to, link });
            self.node_later(to, None, Input::PrimaryDown { link });
        }
    }

    pub(crate) fn keep_links(&mut self, id: NodeId, followers: Vec<NodeId>) {
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

    pub(crate) fn dial_later(&mut self, from: NodeId, to: NodeId) {
        let Some(run) = self.incarnation_of(from) else {
            return;
        };
        let delay = self.random.random_range(MS..20 * MS);
        self.after(delay, move |world| world.dial(from, run, to));
    }

    pub(crate) fn dial(&mut self, from: NodeId, run: Incarnation, to: NodeId) {
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
    pub(crate) fn redial(&mut self, id: NodeId) {
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

    pub(crate) fn send_follower(&mut self, id: NodeId, link: LinkId, message: PrimaryToFollower) {
        let links = self.process(id).map(|process| process.links.clone());
        let follower = links.and_then(|links| links.into_iter().find(|(_, open)| *open == link));
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

    pub(crate) fn send_primary(&mut self, id: NodeId, link: LinkId, message: FollowerToPrimary) {
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

    pub(crate) fn reset_link(&mut self, id: NodeId, link: LinkId) {
        let to = self.process(id).and_then(|process| {
            let mut links = process.links.iter();
            links.find(|(_, open)| **open == link).map(|(to, _)| *to)
        });
        if let Some(to) = to {
            self.drop_link(id, to);
            self.dial_later(id, to);
        }
    }
}
