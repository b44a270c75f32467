//! A seal that was ordered and has no view yet: whom it was asked of, what they answered, and which
//! view follows.

use std::collections::{BTreeMap, BTreeSet};

use kv_common::id::{Epoch, NodeId, Position};
use kv_common::message::control::SealAnswer;
use kv_common::time::Monotonic;
use kv_common::view::{PrimarySeat, Release, View, ViewSettings};

use crate::input::OrderToken;
use crate::liveness::Liveness;

/// A planned switchover under way.
#[derive(Clone, Debug)]
pub(crate) struct Handover {
    /// The run of the target that is to take over: a later one may have lost what it is chosen for.
    pub(crate) to: PrimarySeat,
    /// The order that waits for its end, if somebody gave one.
    pub(crate) token: Option<OrderToken>,
    /// After this, the ordinary way is taken.
    pub(crate) give_up_at: Monotonic,
}

/// A seal that was ordered and has no view yet.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    pub(crate) epoch: Epoch,
    pub(crate) began_at: Monotonic,
    /// While it stands, the primary hands over and nobody else is asked.
    pub(crate) handover: Option<Handover>,
    pub(crate) asked_at: BTreeMap<NodeId, Monotonic>,
    answers: BTreeMap<NodeId, SealAnswer>,
    first_usable_at: Option<Monotonic>,
}

impl Failover {
    pub(crate) fn new(now: Monotonic, epoch: Epoch) -> Self {
        Self {
            epoch,
            began_at: now,
            handover: None,
            asked_at: BTreeMap::new(),
            answers: BTreeMap::new(),
            first_usable_at: None,
        }
    }

    /// A member's answer; for another epoch it counts for nothing.
    pub(crate) fn answered(&mut self, now: Monotonic, node: NodeId, answer: SealAnswer) {
        if answer.epoch == self.epoch {
            self.answers.insert(node, answer);
            let usable = self.answers.values().any(is_usable);
            if usable {
                self.first_usable_at.get_or_insert(now);
            }
        }
    }

    /// Ends the handover; the seal stays open.
    pub(crate) fn take_handover(&mut self) -> Option<Handover> {
        self.handover.take()
    }

    /// A node that was restarted must be asked anew: its answer was another run's.
    pub(crate) fn forget_answer(&mut self, node: NodeId) {
        self.answers.remove(&node);
        self.asked_at.remove(&node);
    }

    pub(crate) fn answer_of(&self, node: NodeId) -> Option<&SealAnswer> {
        self.answers.get(&node)
    }

    pub(crate) fn has_answer(&self, node: NodeId) -> bool {
        self.answers.contains_key(&node)
    }

    /// The view that follows from the answers, when it is time: every member answered; or all that
    /// are connected did, and they are enough for writes; or some did and the rest had `patience`.
    /// Those that are `drained` give way.
    pub(crate) fn outcome(
        &self,
        now: Monotonic,
        patience: std::time::Duration,
        live: &Liveness,
        old: &View,
        settings: ViewSettings,
        drained: &BTreeSet<NodeId>,
    ) -> Option<View> {
        let all_answered = old.members().all(|member| self.has_answer(member));
        let connected_answered = old
            .members()
            .all(|member| self.has_answer(member) || !live.is_connected(member));
        let usable = self.answers.values().filter(|answer| is_usable(answer));
        let enough = usable.count() >= usize::from(settings.min_in_sync);
        let waited = now.since(self.first_usable_at?) >= patience;
        if !(all_answered || waited || connected_answered && enough) {
            return None;
        }
        let chosen = self.best(old, all_answered, drained)?;
        Some(self.view_with(chosen, old, settings))
    }

    /// Those that may be chosen.
    fn candidates(
        &self,
        old: &View,
        all_answered: bool,
    ) -> impl Iterator<Item = (NodeId, &SealAnswer)> {
        old.members()
            .filter_map(|member| Some((member, self.answers.get(&member)?)))
            .filter(move |(_, answer)| is_usable(answer) && (answer.tail_certain || all_answered))
    }

    /// The highest position, then the lowest id, of those that may be chosen. A drained member is chosen
    /// when no other is there that certainly holds everything: to be served by it is better than not to
    /// be served.
    fn best(&self, old: &View, all_answered: bool, drained: &BTreeSet<NodeId>) -> Option<NodeId> {
        let position = |answer: &SealAnswer| answer.position.unwrap_or(Position::ZERO);
        let gives_way = |member: &NodeId| drained.contains(member);
        let others_suffice = self
            .candidates(old, all_answered)
            .any(|(member, answer)| answer.tail_certain && !gives_way(&member));
        self.candidates(old, all_answered)
            .filter(|(member, _)| !(others_suffice && gives_way(member)))
            .max_by(|(one, first), (other, second)| {
                position(first)
                    .cmp(&position(second))
                    .then_with(|| other.cmp(one))
            })
            .map(|(member, _)| member)
    }

    /// The view of this epoch with `primary` and the other members that answered as backups.
    pub(crate) fn view_with(&self, primary: NodeId, old: &View, settings: ViewSettings) -> View {
        let mut backups: Vec<NodeId> = old
            .members()
            .filter(|member| *member != primary)
            .filter(|member| self.answers.get(member).is_some_and(is_usable))
            .collect();
        backups.sort_unstable();
        let incarnation = self
            .answers
            .get(&primary)
            .map(|answer| answer.incarnation)
            .unwrap_or_default();
        View {
            shard: old.shard,
            epoch: self.epoch,
            primary: PrimarySeat {
                node: primary,
                incarnation,
            },
            backups,
            release: self.release(old),
            settings,
        }
    }

    /// The old primary's word that it gave the old epoch up.
    pub(crate) fn release(&self, old: &View) -> Option<Release> {
        let answer = self.answers.get(&old.primary.node)?;
        answer
            .release
            .filter(|release| release.epoch == old.epoch && release.seat == old.primary)
    }
}

/// Whether the node may be chosen for its data.
pub(crate) fn is_usable(answer: &SealAnswer) -> bool {
    answer.healthy && answer.position.is_some()
}
