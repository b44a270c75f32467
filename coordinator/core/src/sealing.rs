//! Asking for seals, and what the answers do to a planned switchover.

use kv_common::id::NodeId;
use kv_common::message::control::{CoordinatorToNode, SealAnswer};
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now};

use crate::coordinator::{Coordinator, SHARD};
use crate::effect::Effect;
use crate::failover::Failover;
use crate::input::OrderToken;
use crate::refused_messages::MessageRefusal;

/// Beats between two askings of the same member.
const ASK_AGAIN_BEATS: u32 = 2;

impl Coordinator {
    /// Asks every connected member that has not answered, now and then again.
    pub(crate) fn ask_for_seals(&mut self, now: Monotonic) {
        let (Some(failover), Some(view)) = (&mut self.failover, self.state.view()) else {
            return;
        };
        if failover.handover.is_some() || self.halted.is_some() {
            return;
        }
        let again_after = view.settings.timing().heartbeat_interval() * ASK_AGAIN_BEATS;
        let mut asks = Vec::new();
        for member in view.members() {
            let Some(connection) = self.live.connection_of(member) else {
                continue;
            };
            let asked_lately = failover
                .asked_at
                .get(&member)
                .is_some_and(|at| now.since(*at) < again_after);
            if !failover.has_answer(member) && !asked_lately {
                failover.asked_at.insert(member, now);
                asks.push(connection);
            }
        }
        let epoch = failover.epoch;
        for connection in asks {
            let shard = SHARD;
            self.send(connection, CoordinatorToNode::Seal { shard, epoch });
        }
    }

    pub(crate) fn sealed(&mut self, now: Now, node: NodeId, answer: SealAnswer) {
        let current = self.live.nodes.get(&node).map(|heard| heard.incarnation);
        let member = self.state.view().is_some_and(|view| view.has_member(node));
        if answer.shard != SHARD || current != Some(answer.incarnation) || !member {
            self.refused_messages.count(MessageRefusal::StraySeal);
            return;
        }
        if answer.view_epoch > self.state.epoch() {
            return self.lose_past(now, node, answer.view_epoch);
        }
        if let Some(failover) = &mut self.failover {
            failover.answered(now.monotonic, node, answer);
        }
        self.finish_handover(now);
    }

    /// The primary released its epoch: the target takes over at once.
    fn finish_handover(&mut self, now: Now) {
        let (Some(failover), Some(old)) = (&self.failover, self.state.view()) else {
            return;
        };
        let Some(handover) = &failover.handover else {
            return;
        };
        let Some(release) = failover.release(old) else {
            return;
        };
        let (token, to) = (handover.token, handover.to);
        let mut view = old.clone();
        view.epoch = failover.epoch;
        view.primary = to;
        let others = old.members().filter(|member| *member != to.node);
        view.backups = others.collect();
        view.backups.sort_unstable();
        view.release = Some(release);
        view.settings = self.settings.of_views();
        let (from, name) = (
            self.state.name_of(old.primary.node),
            self.state.name_of(to.node),
        );
        let what = format!("{from} handed over to {name}");
        let epoch = view.epoch;
        self.install(now, view, "switchover", what);
        if let Some(token) = token {
            self.answer(token, Ok(format!("{name} is primary, epoch {epoch}")));
        }
    }

    /// A handover that cannot end well any more becomes an ordinary failover at the same seal.
    pub(crate) fn abandon_handover(&mut self, now: Now) -> bool {
        let (Some(failover), Some(view)) = (&self.failover, self.state.view()) else {
            return false;
        };
        let Some(handover) = &failover.handover else {
            return false;
        };
        let primary_gone = !self.live.is_connected(view.primary.node);
        // A run that began meanwhile was not asked what it still has.
        let target = handover.to;
        let target_gone = self.live.connected_run_of(target.node) != Some(target.incarnation);
        if now.monotonic < handover.give_up_at && !primary_gone && !target_gone {
            return false;
        }
        self.handover_failed("it took too long, or one of the two was lost or restarted");
        true
    }

    pub(crate) fn handover_failed(&mut self, why: &str) {
        let handover = self.failover.as_mut().and_then(Failover::take_handover);
        if let Some(handover) = handover {
            let why = format!("the switchover failed: {why}; a failover follows");
            match handover.token {
                Some(token) => self.answer(token, Err(Refusal::NotAllowed { why })),
                None => self.log(why),
            }
        }
    }

    pub(crate) fn answer(&mut self, token: OrderToken, result: Result<String, Refusal>) {
        self.emit(Effect::AnswerOrder { token, result });
    }
}
