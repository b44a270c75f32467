//! Giving the role up in a planned switchover: new writes wait, the target reaches our position,
//! then the epoch is released for good.

use kv_common::id::{Epoch, NodeId};
use kv_common::time::Now;

use super::follower::Exchange;
use super::{Next, Phase, Primary};
use crate::local::Local;
use crate::refused_messages::MessageRefusal;

impl Primary {
    /// The coordinator tells us to hand over to `to`.
    pub(crate) fn hand_over(
        &mut self,
        now: Now,
        local: &mut Local,
        epoch: Epoch,
        to: NodeId,
        seal: Epoch,
    ) -> Next {
        if epoch < self.view.epoch {
            local.refused_messages.count(MessageRefusal::OldOrder);
            return Next::Stay;
        }
        if let Err(why) = self.may_hand_over(epoch, to) {
            local.handover_failed(epoch, why);
            return Next::Stay;
        }
        let name = local.name_of(to);
        local.role_changed(format!("handing epoch {epoch} over to {name}"));
        self.phase = Phase::HandingOver {
            to,
            seal,
            give_up_at: now.monotonic.after(self.timing.down()),
        };
        self.close_batch(now, local);
        self.advance(now, local)
    }

    fn may_hand_over(&self, epoch: Epoch, to: NodeId) -> Result<(), &'static str> {
        if epoch > self.view.epoch {
            return Err("the primary has not entered the view yet");
        }
        if !matches!(self.phase, Phase::Serving) {
            return Err("the primary is taking over or handing over already");
        }
        if !self.view.backups.contains(&to) {
            return Err("the target is not a backup of the view");
        }
        match self.followers.get(&to).map(|follower| follower.exchange) {
            Some(Exchange::Streaming { .. }) => Ok(()),
            _ => Err("the primary does not reach the target"),
        }
    }

    /// Releases the epoch when nothing of ours is open any more and the target holds all of it.
    pub(super) fn next_of_handover(&self, local: &Local) -> Next {
        let Phase::HandingOver { to, seal, .. } = self.phase else {
            return Next::Stay;
        };
        let last = local.log.appended();
        let all_applied = self.writer.is_closed() && local.log.applied() == last;
        let target_has_all = self
            .followers
            .get(&to)
            .is_some_and(|target| target.held() == Some(last));
        if all_applied && target_has_all {
            Next::Release { seal }
        } else {
            Next::Stay
        }
    }

    pub(super) fn handover_timed_out(&mut self, now: Now, local: &mut Local) {
        if let Phase::HandingOver { give_up_at, .. } = self.phase
            && give_up_at <= now.monotonic
        {
            self.give_up_handover(now, local, "the target did not catch up in time");
        }
    }

    /// Goes on as primary, and executes what waited.
    pub(super) fn give_up_handover(&mut self, now: Now, local: &mut Local, why: &str) {
        self.end_handover(local, why);
        self.execute_parked(now, local);
    }

    /// Goes on as primary. What waited is still to be executed.
    pub(super) fn end_handover(&mut self, local: &mut Local, why: &str) {
        if matches!(self.phase, Phase::HandingOver { .. }) {
            self.phase = Phase::Serving;
            local.handover_failed(self.view.epoch, why);
        }
    }

    pub(super) fn execute_parked(&mut self, now: Now, local: &mut Local) {
        for (client, request) in std::mem::take(&mut self.parked) {
            self.request(now, local, client, request);
        }
    }
}
