//! What operators order.

use kv_common::id::NodeId;
use kv_common::message::control::CoordinatorToNode;
use kv_common::message::registry::Order;
use kv_common::refusal::Refusal;
use kv_common::time::Now;
use kv_common::view::{PrimarySeat, View};

use crate::cluster_state::Command;
use crate::coordinator::{Coordinator, SHARD};
use crate::failover::Handover;
use crate::input::OrderToken;

/// Beats that a handover may take.
const HANDOVER_BEATS: u32 = 16;

/// How often a primary that is about to stop is asked to hand over. A disk or a machine that stands still for
/// a moment may spoil an attempt; one that cannot hand over at all is soon replaced as one that died.
const HANDOVERS_MAX: u8 = 3;

impl Coordinator {
    pub(crate) fn order(&mut self, now: Now, token: OrderToken, order: Order) {
        let outcome = match order {
            Order::AdoptViews {
                nodes,
                accepts_loss,
            } => self.adopt_views(now, nodes, accepts_loss).map(Some),
            _ if self.halted.is_some() => Err(self.halted.clone().unwrap_or_default()),
            Order::Switchover { to } => self.switch_over(now, token, to.as_deref()).map(|()| None),
            Order::Drain { node } => self.drain(now, token, &node),
            Order::Undrain { node } => self.undrain(now, &node).map(Some),
            Order::Forget { node } => self.forget(now, &node).map(Some),
            Order::Form { from } => self.form(from.as_deref()).map(Some),
            Order::ForcePrimary {
                node,
                confirmed_epoch,
            } => self.force_primary(now, &node, confirmed_epoch).map(Some),
        };
        match outcome {
            // It is answered when it ended.
            Ok(None) => {}
            Ok(Some(done)) => self.answer(token, Ok(done)),
            Err(why) => self.answer(token, Err(Refusal::NotAllowed { why })),
        }
    }

    fn switch_over(&mut self, now: Now, token: OrderToken, to: Option<&str>) -> Result<(), String> {
        if self.failover.is_some() {
            return Err("a failover or switchover is under way".to_owned());
        }
        let view = self.state.view().ok_or("there is no view yet")?.clone();
        let to = match to {
            Some(named) => self.find(named)?,
            None => self
                .furthest_backup(&view)
                .filter(|node| !self.state.is_drained(*node))
                .ok_or("no backup is connected that could take over")?,
        };
        let name = self.state.name_of(to);
        if to == view.primary.node {
            return Err(format!("{name} is the primary already"));
        }
        if self.state.is_drained(to) {
            return Err(format!(
                "{name} is drained; kvclient admin undrain lets it take part again"
            ));
        }
        if !view.backups.contains(&to) {
            return Err(format!(
                "{name} is not in sync; only a backup of the view can take over"
            ));
        }
        if !self.live.is_connected(to) {
            return Err(format!("{name} is not connected"));
        }
        let why = format!("an operator wants {name} to be primary");
        self.begin_handover(now, &view, to, Some(token), why)
    }

    /// A primary that is about to stop hands over first, and one that is drained hands over to one that is
    /// not.
    pub(crate) fn hand_over_of_leaving(&mut self, now: Now) -> bool {
        let Some(view) = self.state.view().cloned() else {
            return false;
        };
        let asked = self
            .asked_to_hand_over
            .filter(|(seat, _)| *seat == view.primary);
        let times = asked.map_or(0, |(_, times)| times);
        let leaves = self.live.is_leaving(view.primary);
        let drained = self.state.is_drained(view.primary.node) && self.primary_serves(&view);
        if !(leaves || drained) || times >= HANDOVERS_MAX {
            return false;
        }
        let backup = self.furthest_backup(&view);
        let Some(to) = backup.filter(|to| leaves || !self.state.is_drained(*to)) else {
            return false;
        };
        self.asked_to_hand_over = Some((view.primary, times + 1));
        let (from, name) = (
            self.state.name_of(view.primary.node),
            self.state.name_of(to),
        );
        let cause = if leaves { "about to stop" } else { "drained" };
        let why = format!("{from} is {cause}: {name} is to be primary");
        self.begin_handover(now, &view, to, None, why).is_ok()
    }

    fn begin_handover(
        &mut self,
        now: Now,
        view: &View,
        to: NodeId,
        token: Option<OrderToken>,
        why: String,
    ) -> Result<(), String> {
        let primary = self
            .live
            .connection_of(view.primary.node)
            .ok_or("the primary is not connected")?;
        let incarnation = self
            .live
            .connected_run_of(to)
            .ok_or("the target is not connected")?;
        let seal = self.order_seal(now);
        let timing = view.settings.timing();
        if let Some(failover) = &mut self.failover {
            failover.handover = Some(Handover {
                to: PrimarySeat {
                    node: to,
                    incarnation,
                },
                token,
                give_up_at: now
                    .monotonic
                    .after(timing.heartbeat_interval() * HANDOVER_BEATS),
            });
        }
        self.event(now, "switchover", why);
        self.send(
            primary,
            CoordinatorToNode::Handover {
                shard: SHARD,
                epoch: view.epoch,
                to,
                seal,
            },
        );
        Ok(())
    }

    /// Of the backups that stay, the one that is furthest ahead; a drained one only when there is no other.
    fn furthest_backup(&self, view: &View) -> Option<NodeId> {
        view.backups
            .iter()
            .copied()
            .filter(|node| self.live.is_staying(*node))
            .max_by_key(|node| {
                let held = self
                    .live
                    .report_of(*node)
                    .map(|report| report.positions.held);
                let drained = self.state.is_drained(*node);
                (!drained, held, std::cmp::Reverse(*node))
            })
    }

    fn forget(&mut self, now: Now, named: &str) -> Result<String, String> {
        let node = self.find(named)?;
        let name = self.state.name_of(node);
        if self.state.view().is_some_and(|view| view.has_member(node)) {
            return Err(format!(
                "{name} is a member of the view; stop it first and wait until it is removed"
            ));
        }
        if self.live.is_connected(node) {
            return Err(format!("{name} is connected; stop it first"));
        }
        self.live.forget(node);
        self.apply(Command::Forget(node));
        self.event(now, "forget", format!("an operator had {name} forgotten"));
        Ok(format!("{name} is forgotten"))
    }

    fn form(&mut self, from: Option<&str>) -> Result<String, String> {
        if self.state.view().is_some() {
            return Err("the cluster has formed already".to_owned());
        }
        let from = from.map(|named| self.find(named)).transpose()?;
        let fresh = self.fresh_nodes();
        if let Some(node) = from
            && !fresh.iter().any(|(fresh, _)| *fresh == node)
        {
            let name = self.state.name_of(node);
            return Err(format!("{name} is not connected as a fresh node"));
        }
        if fresh.is_empty() {
            return Err("no node is here to form a cluster with".to_owned());
        }
        self.form_ordered = Some(from);
        Ok(format!("forming with {} nodes", fresh.len()))
    }

    /// The node that an operator named, by id, name or address.
    pub(crate) fn find(&self, named: &str) -> Result<NodeId, String> {
        let mut found = self.state.nodes().iter().filter(|(node, known)| {
            node.to_string() == named || known.info.name == named || known.info.address.0 == named
        });
        match (found.next(), found.next()) {
            (Some((node, _)), None) => Ok(*node),
            (None, _) => Err(format!("no node is called '{named}'")),
            (Some(_), Some(_)) => Err(format!(
                "several nodes are called '{named}'; use an address or an id"
            )),
        }
    }
}
