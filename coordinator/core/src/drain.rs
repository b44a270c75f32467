//! Nodes that an operator takes out for maintenance: they hand over, leave the view while enough others
//! stay, and are not chosen again until they are undrained.

use kv_common::id::NodeId;
use kv_common::message::control::HeldRole;
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now};
use kv_common::view::View;

use crate::cluster_state::Command;
use crate::coordinator::Coordinator;
use crate::input::OrderToken;

/// Beats after which an order is answered although the node has not left the view.
const PATIENCE_BEATS: u32 = 40;

/// An order that waits until its node has left the view.
#[derive(Clone, Debug)]
pub(crate) struct DrainOrder {
    node: NodeId,
    token: OrderToken,
    answer_at: Monotonic,
}

impl Coordinator {
    /// Has a node drained. None: the answer comes when it has left the view.
    pub(crate) fn drain(
        &mut self,
        now: Now,
        token: OrderToken,
        named: &str,
    ) -> Result<Option<String>, String> {
        let node = self.find(named)?;
        let name = self.state.name_of(node);
        let view = self.state.view().ok_or("there is no view yet")?.clone();
        let is_member = view.has_member(node);
        if is_member && self.failover.is_some() {
            return Err("a failover or switchover is under way; wait a moment".to_owned());
        }
        // Who orders it again wants it tried again.
        self.asked_to_hand_over = None;
        if !self.state.is_drained(node) {
            if is_member {
                self.check_that_enough_stay(&view, node)?;
            }
            self.apply(Command::Drain(node));
            self.event(now, "drain", format!("an operator had {name} drained"));
        }
        if !is_member {
            return Ok(Some(format!("{name} is drained")));
        }
        if self.drain_orders.iter().any(|order| order.node == node) {
            return Err(format!("{name} is being drained; wait a moment"));
        }
        let beat = view.settings.timing().heartbeat_interval();
        self.drain_orders.push(DrainOrder {
            node,
            token,
            answer_at: now.monotonic.after(beat * PATIENCE_BEATS),
        });
        Ok(None)
    }

    pub(crate) fn undrain(&mut self, now: Now, named: &str) -> Result<String, String> {
        let node = self.find(named)?;
        let name = self.state.name_of(node);
        if !self.state.is_drained(node) {
            return Ok(format!("{name} is not drained"));
        }
        self.apply(Command::Undrain(node));
        self.event(now, "undrain", format!("an operator had {name} undrained"));
        Ok(format!("{name} is not drained any more"))
    }

    fn check_that_enough_stay(&self, view: &View, node: NodeId) -> Result<(), String> {
        let stay = self.staying(view).filter(|member| *member != node).count();
        let needed = usize::from(self.settings.min_in_sync);
        if stay >= needed {
            return Ok(());
        }
        let name = self.state.name_of(node);
        Err(format!(
            "{name} is needed: a write needs {needed} copies in sync, and without it there would be {stay}; \
             have another node in sync first (kvclient status), or lower min-in-sync"
        ))
    }

    /// The members that are here, are heard by the primary, go on, and are not drained.
    fn staying<'a>(&'a self, view: &'a View) -> impl Iterator<Item = NodeId> + 'a {
        let primary = view.primary.node;
        let report = self.live.report_of_connected(primary);
        let is_heard = move |member: NodeId| {
            member == primary || report.is_some_and(|report| report.hears.contains(&member))
        };
        view.members()
            .filter(move |member| is_heard(*member) && self.live.is_staying(*member))
            .filter(|member| !self.state.is_drained(*member))
    }

    /// Whether the primary serves in the view in force.
    pub(crate) fn primary_serves(&self, view: &View) -> bool {
        let report = self.live.report_of_connected(view.primary.node);
        let epoch = view.epoch;
        report.is_some_and(|report| report.role == HeldRole::Primary { epoch })
    }

    /// Drained backups leave the view, when enough others stay.
    ///
    /// The members that stay hold everything that was acknowledged, and the primary counts the others
    /// until it holds the new view; so this is as safe as a proposal of its own.
    pub(crate) fn let_drained_go(&mut self, now: Now) -> bool {
        let Some(view) = self.state.view() else {
            return false;
        };
        let goes = |node: &NodeId| self.state.is_drained(*node);
        let enough = self.staying(view).count() >= usize::from(self.settings.min_in_sync);
        if !enough || !view.backups.iter().any(goes) || !self.primary_serves(view) {
            return false;
        }
        let (gone, backups): (Vec<NodeId>, Vec<NodeId>) =
            view.backups.iter().partition(|node| goes(node));
        let next = View {
            epoch: self.state.highest_named().next(),
            backups,
            release: None,
            settings: self.settings.of_views(),
            ..view.clone()
        };
        let gone: Vec<String> = gone.iter().map(|node| self.state.name_of(*node)).collect();
        let primary = self.state.name_of(next.primary.node);
        let backups = self.names(&next.backups);
        let what = format!("{} drained: {primary} is primary{backups}", gone.join(", "));
        self.install(now, next, "drain", what);
        true
    }

    /// Answers the orders whose node has left the view, and those that waited long enough.
    pub(crate) fn answer_drain_orders(&mut self, now: Monotonic) {
        for order in std::mem::take(&mut self.drain_orders) {
            let DrainOrder {
                node,
                token,
                answer_at,
            } = order;
            let name = self.state.name_of(node);
            let is_member = self.state.view().is_some_and(|view| view.has_member(node));
            if !self.state.is_drained(node) {
                let why = format!("{name} was undrained or forgotten meanwhile");
                self.answer(token, Err(Refusal::NotAllowed { why }));
            } else if !is_member {
                self.answer(token, Ok(format!("{name} is drained")));
            } else if now >= answer_at {
                let what = format!(
                    "{name} is drained and still a member of the view; do not stop it before kvclient status \
                     shows that it has left"
                );
                self.answer(token, Ok(what));
            } else {
                self.drain_orders.push(order);
            }
        }
    }

    /// Who is drained, in sentences.
    pub(crate) fn drained_conditions(&self) -> Vec<String> {
        let sentence = |node: &NodeId| {
            let name = self.state.name_of(*node);
            let view = self.state.view();
            if view.is_some_and(|view| view.has_member(*node)) {
                format!(
                    "{name} is drained, and leaves the view when another can take its part and enough stay in sync"
                )
            } else {
                format!("{name} is drained; kvclient admin undrain lets it take part again")
            }
        };
        self.state.drained().iter().map(sentence).collect()
    }
}
