//! What a replica has whatever its role: identity, promises, log, state, and the effects that wait
//! to be carried out.

use std::collections::VecDeque;

use kv_common::batch::Batch;
use kv_common::entry::Entry;
use kv_common::id::{Address, Epoch, NodeId, Position, Seq};
use kv_common::message::control::{CopyProgress, DiskFailure, NodeToCoordinator, SealAnswer};
use kv_common::refusal::Refusal;
use kv_common::tally::Tally;
use kv_common::time::{Monotonic, Now};
use kv_common::view::{ClusterMap, PrimarySeat, Release, View};

use crate::effect::Effect;
use crate::input::{Identity, Recovered, Start, Ticket};
use crate::log_positions::LogPositions;
use crate::promise::{LeasePromises, Promises};
use crate::refused_messages::MessageRefusal;
use crate::state::{State, WARMED_MAX};
use crate::tail::Tail;

/// What was waiting for promises to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterStored {
    /// The view of this epoch may be acted upon.
    Enter(Epoch),
    /// A seal at this epoch may be answered.
    AnswerSeal(Epoch),
}

/// A copy under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copying {
    /// The primary that it comes from.
    pub(crate) from: NodeId,
    /// The epoch in which it was found to be needed.
    pub(crate) epoch: Epoch,
    /// How far it is, once it told.
    pub(crate) progress: Option<CopyProgress>,
}

/// What a replica has whatever its role.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) identity: Identity,
    /// The newest promises; durable up to what [`Self::take_stored`] confirmed.
    pub(crate) promises: Promises,
    pub(crate) lease_promises: LeasePromises,
    pub(crate) log: LogPositions,
    pub(crate) tail: Tail,
    pub(crate) state: State,
    pub(crate) map: Option<ClusterMap>,
    pub(crate) coordinator_up: bool,
    pub(crate) disk_failure: Option<DiskFailure>,
    pub(crate) copying: Option<Copying>,
    /// A copy that came to nothing is not asked for again before this.
    pub(crate) copy_not_before: Monotonic,
    /// Why the data must not be chosen, when it must not.
    pub(crate) unfit: Option<String>,
    pub(crate) refused_messages: Tally<MessageRefusal>,
    /// Whether somebody listens to what happens to keys.
    pub(crate) tells_key_events: bool,
    /// Whether the log must have all that this node ever acknowledged.
    tail_certain: bool,
    storing: VecDeque<(Ticket, AfterStored)>,
    last_ticket: Ticket,
    effects: VecDeque<Effect>,
}

impl Local {
    pub(crate) fn start(now: Now, start: Start) -> Self {
        let Start {
            identity,
            promises,
            recovered,
        } = start;
        let mut local = Self {
            identity,
            lease_promises: LeasePromises::at_start(now.monotonic, &promises),
            promises,
            log: LogPositions::recovered(
                recovered.history,
                recovered.log_from,
                recovered.state.applied().seq,
            ),
            tail: Tail::default(),
            state: recovered.state,
            map: None,
            coordinator_up: false,
            disk_failure: None,
            copying: None,
            copy_not_before: Monotonic::ZERO,
            unfit: recovered.unfit,
            refused_messages: Tally::default(),
            tells_key_events: false,
            tail_certain: recovered.tail_certain,
            storing: VecDeque::new(),
            last_ticket: Ticket::default(),
            effects: VecDeque::new(),
        };
        local.take_tail(&recovered.tail);
        local
    }

    /// Replaces log and state by what a copy brought.
    pub(crate) fn replace_data(&mut self, recovered: Recovered) {
        self.log = LogPositions::recovered(
            recovered.history,
            recovered.log_from,
            recovered.state.applied().seq,
        );
        self.state = recovered.state;
        self.unfit = recovered.unfit;
        self.tail_certain = recovered.tail_certain;
        self.take_tail(&recovered.tail);
    }

    fn take_tail(&mut self, batches: &[Batch]) {
        match Tail::recovered(batches, self.log.applied()) {
            Ok(tail) => self.tail = tail,
            Err(cause) => self.unfit = Some(format!("the tail of the log: {cause}")),
        }
    }

    /// What waits for a commit, in bytes.
    pub(crate) fn tail_bytes(&self) -> u64 {
        self.tail.bytes()
    }

    pub(crate) fn me(&self) -> NodeId {
        self.identity.seat.node
    }

    pub(crate) fn seat(&self) -> PrimarySeat {
        self.identity.seat
    }

    pub(crate) fn view(&self) -> Option<&View> {
        self.promises.view.as_ref()
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0 + 1);
        self.last_ticket
    }

    /// Has the promises stored, and `after` done once they are durable.
    pub(crate) fn store_promises(&mut self, after: AfterStored) {
        let ticket = self.next_ticket();
        self.storing.push_back((ticket, after));
        let promises = self.promises.clone();
        self.emit(Effect::StorePromises { promises, ticket });
    }

    /// The next thing that may be done now that everything up to `ticket` is durable.
    pub(crate) fn take_stored(&mut self, ticket: Ticket) -> Option<AfterStored> {
        let (waiting, after) = *self.storing.front()?;
        if waiting > ticket {
            return None;
        }
        self.storing.pop_front();
        Some(after)
    }

    /// Whether the view of `epoch` is the adopted one and durable.
    pub(crate) fn has_entered(&self, epoch: Epoch) -> bool {
        self.promises.view_epoch() == epoch
            && !self
                .storing
                .iter()
                .any(|(_, after)| *after == AfterStored::Enter(epoch))
    }

    /// Applies what is committed; hands each entry to `done`.
    pub(crate) fn apply_committed(&mut self, mut done: impl FnMut(&Entry)) {
        let through = self.log.committed();
        for applied in 0_usize.. {
            if applied.is_multiple_of(WARMED_MAX) {
                self.state.warm(self.tail.keys_through(through));
            }
            let Some(entry) = self.tail.pop_through(through) else {
                return;
            };
            self.state.apply(&entry);
            self.log.apply(entry.position.seq);
            done(&entry);
        }
    }

    /// Whatever an earlier run lost of what it had acknowledged is here again.
    pub(crate) fn tail_is_made_up_for(&mut self) {
        self.tail_certain = true;
    }

    /// Whether the log must have all that this node ever acknowledged.
    pub(crate) fn tail_is_certain(&self) -> bool {
        self.tail_certain
    }

    /// How far the log goes, for who chooses a primary; none if this data must not be chosen.
    fn position_to_offer(&self) -> Option<Position> {
        let fit = self.copying.is_none() && self.unfit.is_none();
        fit.then(|| self.log.held_position())
    }

    pub(crate) fn answer_seal(&mut self, epoch: Epoch) {
        // A release counts only for the switchover that this very answer belongs to.
        let release = self
            .promises
            .release
            .filter(|release| release.seat == self.seat());
        let answer = SealAnswer {
            shard: self.identity.shard,
            epoch,
            incarnation: self.identity.seat.incarnation,
            view_epoch: self.promises.view_epoch(),
            position: self.position_to_offer(),
            tail_certain: self.tail_certain,
            healthy: self.disk_failure.is_none(),
            release: release.filter(|release| release.epoch == self.promises.view_epoch()),
        };
        self.emit(Effect::SendCoordinator(NodeToCoordinator::Sealed(answer)));
    }

    pub(crate) fn handover_failed(&mut self, epoch: Epoch, why: &str) {
        let message = NodeToCoordinator::HandoverFailed {
            shard: self.identity.shard,
            epoch,
            why: why.to_owned(),
        };
        self.emit(Effect::SendCoordinator(message));
    }

    /// What a client is told that asks a node which is not primary.
    pub(crate) fn not_primary(&self) -> Refusal {
        if let Some(failure) = &self.disk_failure {
            let cause = failure.cause.clone();
            return Refusal::DiskFailed { cause };
        }
        let elsewhere = self.primary_seat().filter(|seat| seat.node != self.me());
        Refusal::NotPrimary {
            primary: elsewhere.and_then(|seat| self.address_of(seat.node)),
            epoch: self.promises.view_epoch(),
        }
    }

    fn primary_seat(&self) -> Option<PrimarySeat> {
        self.view().map(|view| view.primary)
    }

    pub(crate) fn address_of(&self, node: NodeId) -> Option<Address> {
        let info = self.map.as_ref()?.nodes.get(&node)?;
        Some(info.address.clone())
    }

    pub(crate) fn name_of(&self, node: NodeId) -> String {
        self.map
            .as_ref()
            .map_or_else(|| node.to_string(), |map| map.name_of(node))
    }

    /// The nodes that the coordinator wants brought in.
    pub(crate) fn joiners(&self) -> Vec<NodeId> {
        let Some(map) = &self.map else {
            return Vec::new();
        };
        let in_view = |node: &NodeId| self.view().is_some_and(|view| view.has_member(*node));
        map.joiners
            .iter()
            .copied()
            .filter(|node| *node != self.me() && !in_view(node))
            .collect()
    }

    /// From when this node may serve as primary of `view`.
    pub(crate) fn serve_from(&mut self, now: Monotonic, release: Option<&Release>) -> Monotonic {
        self.lease_promises.serve_from(now, release)
    }

    pub(crate) fn answered_primary(&mut self, now: Monotonic, seat: PrimarySeat, epoch: Epoch) {
        self.lease_promises
            .answered(now, seat, epoch, &self.promises);
    }

    pub(crate) fn copy_progressed(&mut self, progress: CopyProgress) {
        if let Some(copying) = &mut self.copying {
            copying.progress = Some(progress);
        }
    }

    pub(crate) fn role_changed(&mut self, role: String) {
        self.emit(Effect::RoleChanged { role });
    }

    pub(crate) fn check(&self) {
        self.log.check();
        assert_eq!(
            self.log.appended().0 - self.log.applied().0,
            self.tail.len() as u64,
            "the tail is what is appended and not applied"
        );
        assert_eq!(
            self.state.applied().seq,
            self.log.applied(),
            "the table is where the log says it is"
        );
    }

    /// Cuts log and tail off behind `seq`; comes back as a cut log under the ticket.
    pub(crate) fn cut_log(&mut self, after: Seq) -> Ticket {
        let ticket = self.next_ticket();
        self.log.cut_after(after, ticket);
        self.tail.cut_after(after);
        self.emit(Effect::CutLog { after, ticket });
        ticket
    }
}
