//! Whom the primary proposes for the next view.
//!
//! A proposal changes nothing by itself, but for one thing: a joiner that was proposed counts as a
//! member at once, for commits and for the lease, because the coordinator may make the view any
//! time and the answer may be lost. A removed backup counts until a view without it is held.

use kv_common::id::NodeId;
use kv_common::message::control::{NodeToCoordinator, Proposal};
use kv_common::time::{Monotonic, Now};

use super::follower::{Exchange, Follower};
use super::{Phase, Primary};
use crate::effect::Effect;
use crate::local::Local;

/// The newest proposal of this epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposed {
    backups: Vec<NodeId>,
    at: Monotonic,
}

impl Primary {
    /// Proposes another view when a backup is lost or a joiner is ready.
    pub(super) fn review_membership(&mut self, now: Now, local: &mut Local) {
        if !local.coordinator_up {
            return;
        }
        let mut reasons = Vec::new();
        let mut backups = Vec::new();
        for node in self.counted() {
            match self.loss_of(now.monotonic, node) {
                None => backups.push(node),
                Some(why) => reasons.push(format!("{} {why}", local.name_of(node))),
            }
        }
        for node in local.joiners() {
            if !backups.contains(&node) && self.is_ready(now.monotonic, local, node) {
                reasons.push(format!("{} caught up", local.name_of(node)));
                backups.push(node);
            }
        }
        backups.sort_unstable();
        reasons.sort();
        if reasons.is_empty() && !self.counted_joiners.is_empty() {
            // A joiner counts until an answer comes, so a lost proposal is made again.
            reasons.push("no answer to the last proposal".to_owned());
        }
        if reasons.is_empty() || self.was_just_proposed(now.monotonic, &backups) {
            return;
        }
        let joining = backups.iter().filter(|node| !self.view.has_member(**node));
        self.counted_joiners.extend(joining);
        self.proposed = Some(Proposed {
            backups: backups.clone(),
            at: now.monotonic,
        });
        local.emit(Effect::SendCoordinator(NodeToCoordinator::Propose(
            Proposal {
                shard: self.view.shard,
                replaces: self.view.epoch,
                incarnation: local.seat().incarnation,
                backups,
                why: reasons.join(", "),
            },
        )));
    }

    /// The coordinator is back: what was proposed may have been lost.
    pub(crate) fn coordinator_up(&mut self, now: Now, local: &mut Local) {
        self.proposed = None;
        self.review_membership(now, local);
    }

    fn was_just_proposed(&self, now: Monotonic, backups: &[NodeId]) -> bool {
        self.proposed.as_ref().is_some_and(|proposed| {
            proposed.backups == backups && now.since(proposed.at) < self.timing.down()
        })
    }

    /// Why a counted member is lost, if it is.
    fn loss_of(&self, now: Monotonic, node: NodeId) -> Option<&'static str> {
        let Some(follower) = self.followers.get(&node) else {
            return Some("is not reached");
        };
        let silent = now.since(follower.heard_or_busy()) >= self.timing.remove_silent();
        let stuck = follower.has_entries_waiting()
            && now.since(follower.progressed_or_busy()) >= self.timing.remove_stuck();
        match follower.exchange {
            Exchange::Down { broke: true } => Some("lost its connection"),
            Exchange::NeedsCopy => Some("needs a copy"),
            Exchange::Failed => Some("has a failing disk"),
            _ if silent => Some("is silent"),
            _ if stuck => Some("does not acknowledge"),
            Exchange::Down { broke: false }
            | Exchange::Matching { .. }
            | Exchange::Streaming { .. } => None,
        }
    }

    /// Whether a joiner holds everything committed and is heard. It is proposed only by a primary
    /// that serves, so that a takeover rests on the members it was given.
    fn is_ready(&self, now: Monotonic, local: &Local, node: NodeId) -> bool {
        let serving = matches!(self.phase, Phase::Serving);
        let caught_up = |follower: &Follower| {
            let heard = now.since(follower.heard_at) < self.timing.remove_silent();
            let streams = matches!(follower.exchange, Exchange::Streaming { .. });
            heard && streams && follower.held() >= Some(local.log.committed())
        };
        serving && self.followers.get(&node).is_some_and(caught_up)
    }
}
