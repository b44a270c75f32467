//! Messages to followers and from them.

use kv_common::batch::Batch;
use kv_common::id::{NodeId, Position, Seq};
use kv_common::message::replication::{
    FollowerRefusal, FollowerToPrimary, PrimaryStamp, PrimaryToFollower,
};
use kv_common::time::Now;

use super::follower::Exchange;
use super::{Next, Primary};
use crate::effect::Effect;
use crate::input::LinkId;
use crate::local::Local;
use crate::refused_messages::MessageRefusal;

/// How much is read from the log at once for a follower that is far behind.
const READ_BYTES: usize = 4 << 20;

impl Primary {
    pub(crate) fn follower_up(&mut self, now: Now, local: &mut Local, node: NodeId, link: LinkId) {
        if let Some(follower) = self.followers.get_mut(&node) {
            follower.link_up(link);
            self.send_match(now, local, node);
        }
    }

    pub(crate) fn follower_down(
        &mut self,
        now: Now,
        local: &mut Local,
        node: NodeId,
        link: LinkId,
    ) -> Next {
        if let Some(follower) = self.followers.get_mut(&node)
            && follower.link == Some(link)
        {
            follower.link_down();
            self.review_membership(now, local);
        }
        self.advance(now, local)
    }

    pub(crate) fn follower_says(
        &mut self,
        now: Now,
        local: &mut Local,
        node: NodeId,
        link: LinkId,
        message: FollowerToPrimary,
    ) -> Next {
        let lease = self.timing.lease();
        let epoch = self.view.epoch;
        let Some(follower) = self.followers.get_mut(&node) else {
            local
                .refused_messages
                .count(MessageRefusal::UnknownFollower);
            return Next::Stay;
        };
        // Acks count only in the epoch that they name, and only on the connection they belong to.
        if follower.link != Some(link) || epoch_of(&message) != epoch {
            local.refused_messages.count(MessageRefusal::StaleAnswer);
            return Next::Stay;
        }
        match message {
            FollowerToPrimary::Matched {
                answers,
                common,
                held,
                ..
            } => {
                follower.answered(now.monotonic, answers, lease);
                self.follower_matched(now, local, node, common, held);
            }
            FollowerToPrimary::Ack { answers, held, .. } => {
                follower.answered(now.monotonic, answers, lease);
                if !follower.acknowledged(now.monotonic, held) {
                    // It claims what it was never sent: nothing that it says can be relied on.
                    local.refused_messages.count(MessageRefusal::NeverSent);
                    local.emit(Effect::ResetLink { link });
                    return Next::Stay;
                }
                self.send(now, local, node);
            }
            FollowerToPrimary::NeedsCopy { answers, .. } => {
                follower.answered(now.monotonic, answers, lease);
                follower.exchange = Exchange::NeedsCopy;
            }
            FollowerToPrimary::Refused { why, .. } => self.refused(now, local, node, &why),
        }
        self.advance(now, local)
    }

    fn follower_matched(
        &mut self,
        now: Now,
        local: &mut Local,
        node: NodeId,
        common: Position,
        held: Seq,
    ) {
        let ours = local.log.history();
        let agrees = common.seq <= local.log.appended() && ours.position_of(common.seq) == common;
        let Some(follower) = self.followers.get_mut(&node) else {
            return;
        };
        if agrees {
            follower.matched(now.monotonic, common.seq, held);
            self.send(now, local, node);
        } else {
            local
                .refused_messages
                .count(MessageRefusal::ContraryHistory);
            self.send_match(now, local, node);
        }
    }

    fn refused(&mut self, now: Now, local: &mut Local, node: NodeId, why: &FollowerRefusal) {
        let Some(follower) = self.followers.get_mut(&node) else {
            return;
        };
        match why {
            FollowerRefusal::Gap { .. }
            | FollowerRefusal::NotMatched { .. }
            | FollowerRefusal::BadBatch { .. } => {
                // Several messages on their way may be refused for one cause: ask once.
                if !matches!(follower.exchange, Exchange::Matching { .. }) {
                    self.send_match(now, local, node);
                }
            }
            FollowerRefusal::DiskFailed { .. } => follower.exchange = Exchange::Failed,
            // A newer view is on its way to us.
            FollowerRefusal::OldEpoch { .. }
            | FollowerRefusal::Sealed { .. }
            | FollowerRefusal::NotThePrimary { .. } => {}
        }
    }

    /// The log was read for a follower; nothing came if the log no longer reaches back.
    pub(crate) fn log_read(
        &mut self,
        now: Now,
        local: &mut Local,
        node: NodeId,
        link: LinkId,
        batches: Vec<Batch>,
    ) {
        let stamp = self.stamp(now, local);
        let Some(follower) = self.followers.get_mut(&node) else {
            return;
        };
        let Exchange::Streaming {
            next,
            reading: true,
        } = follower.exchange
        else {
            return;
        };
        if follower.link != Some(link) {
            return;
        }
        if batches.is_empty() {
            return self.send_match(now, local, node);
        }
        let mut expected = next;
        for batch in batches {
            // Never beyond what this primary counts as its log, nor more than there is room for.
            let is_first = batch.first() == next;
            if !(is_first || follower.wants().is_some()) {
                break;
            }
            if batch.first() != expected || batch.last() > local.log.appended() {
                break;
            }
            expected = batch.last().next();
            follower.sent(now.monotonic, batch.last(), batch.bytes().len());
            let message = PrimaryToFollower::Append {
                stamp,
                batch: batch.bytes().clone(),
            };
            local.emit(Effect::SendFollower { link, message });
        }
        if expected == next {
            return self.send_match(now, local, node);
        }
        self.send(now, local, node);
    }

    pub(super) fn match_all(&mut self, now: Now, local: &mut Local) {
        let nodes: Vec<NodeId> = self.followers.keys().copied().collect();
        for node in nodes {
            self.send_match(now, local, node);
        }
    }

    /// Begins the exchange with a follower anew, if there is a connection to it.
    pub(super) fn send_match(&mut self, now: Now, local: &mut Local, node: NodeId) {
        let stamp = self.stamp(now, local);
        let Some(follower) = self.followers.get_mut(&node) else {
            return;
        };
        let Some(link) = follower.link else {
            return;
        };
        follower.exchange = Exchange::Matching {
            asked_at: now.monotonic,
        };
        let message = PrimaryToFollower::Match {
            stamp,
            view: self.view.clone(),
            history: local.log.history().clone(),
            log_from: local.log.log_from(),
        };
        local.emit(Effect::SendFollower { link, message });
    }

    pub(super) fn send_all(&mut self, now: Now, local: &mut Local) {
        let nodes: Vec<NodeId> = self.followers.keys().copied().collect();
        for node in nodes {
            self.send(now, local, node);
        }
    }

    /// Sends a follower what it lacks, as far as there is room on the way to it.
    fn send(&mut self, now: Now, local: &mut Local, node: NodeId) {
        let stamp = self.stamp(now, local);
        let Some(follower) = self.followers.get_mut(&node) else {
            return;
        };
        let Some(link) = follower.link else {
            return;
        };
        while let Some(next) = follower.wants()
            && next <= local.log.appended()
        {
            let Some(batch) = self.writer.recent(next) else {
                follower.exchange = Exchange::Streaming {
                    next,
                    reading: true,
                };
                let max_bytes = READ_BYTES;
                local.emit(Effect::ReadLog {
                    node,
                    link,
                    from: next,
                    max_bytes,
                });
                return;
            };
            follower.sent(now.monotonic, batch.last(), batch.bytes().len());
            let message = PrimaryToFollower::Append {
                stamp,
                batch: batch.bytes().clone(),
            };
            local.emit(Effect::SendFollower { link, message });
        }
    }

    pub(super) fn stamp(&self, now: Now, local: &Local) -> PrimaryStamp {
        PrimaryStamp {
            shard: self.view.shard,
            epoch: self.view.epoch,
            sent_at: now.monotonic,
            committed: local.log.committed(),
            assured: local.log.assured(),
        }
    }
}

fn epoch_of(message: &FollowerToPrimary) -> kv_common::id::Epoch {
    match message {
        FollowerToPrimary::Matched { epoch, .. }
        | FollowerToPrimary::NeedsCopy { epoch, .. }
        | FollowerToPrimary::Ack { epoch, .. }
        | FollowerToPrimary::Refused { epoch, .. } => *epoch,
    }
}
