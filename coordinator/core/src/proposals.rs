//! What a primary asks for: compare-and-set on the epoch.

use std::collections::BTreeSet;
use std::time::Duration;

use kv_common::id::{Address, NodeId};
use kv_common::message::control::{CoordinatorToNode, Proposal};
use kv_common::time::Now;
use kv_common::view::View;

use crate::coordinator::{Coordinator, SHARD};
use crate::refused_messages::MessageRefusal;

/// How long a former member's place is kept for it: a restart costs less than a copy.
pub(crate) const PATIENCE_WITH_FORMER_MEMBERS: Duration = Duration::from_secs(60);

impl Coordinator {
    pub(crate) fn propose(&mut self, now: Now, node: NodeId, proposal: &Proposal) {
        let Some(view) = self.state.view().cloned() else {
            return;
        };
        // While a seal is open the answer is the view that it leads to.
        if self.halted.is_some() || self.failover.is_some() || proposal.shard != SHARD {
            return;
        }
        if proposal.replaces != view.epoch || node != view.primary.node {
            self.refused_messages.count(MessageRefusal::OldProposal);
            // It missed the answer to an earlier one.
            if let Some(connection) = self.live.connection_of(node) {
                let map = self.map().clone();
                self.send(connection, CoordinatorToNode::Map(map));
            }
            return;
        }
        match self.check_proposal(&view, proposal) {
            Ok(()) => self.accept(now, &view, proposal),
            Err(why) => {
                self.refused_messages.count(MessageRefusal::BadProposal);
                // Used up, so that no older copy of it can succeed later.
                let why = format!("refused a proposal: {why}");
                self.install_same_members(now, view, "refused", &why);
            }
        }
    }

    fn check_proposal(&self, view: &View, proposal: &Proposal) -> Result<(), String> {
        if proposal.incarnation != view.primary.incarnation {
            return Err("it comes from another run of the primary".to_owned());
        }
        if !proposal.backups.is_sorted() {
            return Err("its backups are not sorted".to_owned());
        }
        let joiners: BTreeSet<NodeId> = self.joiners().into_iter().collect();
        for node in &proposal.backups {
            let known = view.backups.contains(node) || joiners.contains(node);
            if !known || *node == view.primary.node {
                let name = self.state.name_of(*node);
                return Err(format!("{name} is neither a backup nor being brought in"));
            }
        }
        if proposal.backups.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it names a backup twice".to_owned());
        }
        Ok(())
    }

    fn accept(&mut self, now: Now, view: &View, proposal: &Proposal) {
        let next = View {
            epoch: self.state.highest_named().next(),
            backups: proposal.backups.clone(),
            release: None,
            settings: self.settings.of_views(),
            ..view.clone()
        };
        let primary = self.state.name_of(view.primary.node);
        let backups = self.names(&next.backups);
        let what = format!("{}: {primary} is primary{backups}", proposal.why);
        self.install(now, next, "proposal", what);
    }

    /// The nodes that the primary is to bring in: connected, with a disk that works, not members, as many as
    /// copies are missing, none of them drained. Who was a member comes first. A node that never was one takes
    /// the place of a member that is away only when no former member could come back for it soon.
    pub(crate) fn joiners(&self) -> Vec<NodeId> {
        let Some(view) = self.state.view() else {
            return Vec::new();
        };
        let missing = usize::from(self.settings.copies).saturating_sub(view.member_count());
        let outside = |node: &NodeId| !view.has_member(*node);
        let (former, fresh): (Vec<NodeId>, Vec<NodeId>) = self
            .live
            .nodes
            .keys()
            .copied()
            .filter(|node| self.live.can_take_part(*node))
            .filter(outside)
            .filter(|node| !self.state.is_drained(*node))
            .partition(|node| self.state.was_member(*node));
        let away = self.former_members_expected_back();
        let places_for_fresh = missing.saturating_sub(former.len()).saturating_sub(away);
        let mut joiners: Vec<NodeId> = former.into_iter().take(missing).collect();
        joiners.extend(fresh.into_iter().take(places_for_fresh));
        joiners.sort_unstable();
        joiners
    }

    /// How many former members are away, or here with a broken disk, not for long, and not replaced: a node
    /// that has the address of another took its place for good.
    fn former_members_expected_back(&self) -> usize {
        let Some(view) = self.state.view() else {
            return 0;
        };
        let now = self.live.last_turn();
        self.state
            .nodes()
            .iter()
            .filter(|(node, known)| known.was_member && !view.has_member(**node))
            .filter(|(node, _)| !self.live.can_take_part(**node) && !self.state.is_drained(**node))
            .filter(|(node, _)| self.live.out_for(now, **node) < PATIENCE_WITH_FORMER_MEMBERS)
            .filter(|(node, known)| !self.has_successor(**node, &known.info.address))
            .count()
    }

    /// Whether another node that is here has the address.
    fn has_successor(&self, node: NodeId, address: &Address) -> bool {
        let mut others = self.state.nodes().iter();
        others.any(|(other, known)| {
            *other != node && known.info.address == *address && self.live.is_connected(*other)
        })
    }
}
