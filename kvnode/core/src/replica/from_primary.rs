//! What a primary that called us says.

use kv_common::message::replication::{FollowerRefusal, PrimaryStamp, PrimaryToFollower};
use kv_common::time::Now;
use kv_common::view::{PrimarySeat, View};

use crate::following::{Following, MatchRequest, refuse};
use crate::input::LinkId;
use crate::local::Local;

use super::{Replica, Role};

impl Replica {
    pub(super) fn primary_says(
        &mut self,
        now: Now,
        link: LinkId,
        seat: PrimarySeat,
        message: PrimaryToFollower,
    ) {
        match message {
            PrimaryToFollower::Match {
                stamp,
                view,
                history,
                log_from,
            } => {
                let request = MatchRequest { history, log_from };
                self.match_asked(now, link, seat, &stamp, view, request);
            }
            PrimaryToFollower::Append { stamp, batch } => {
                let local = &mut self.local;
                if let Some(following) = following_of(&mut self.role, local, link, seat, &stamp) {
                    following.append(now, local, &stamp, batch);
                }
            }
            PrimaryToFollower::Beat { stamp } => {
                let local = &mut self.local;
                if let Some(following) = following_of(&mut self.role, local, link, seat, &stamp) {
                    following.beat(now, local, &stamp);
                }
            }
            // The shell puts pieces together.
            PrimaryToFollower::AppendPiece { .. } => {}
        }
    }

    fn match_asked(
        &mut self,
        now: Now,
        link: LinkId,
        seat: PrimarySeat,
        stamp: &PrimaryStamp,
        view: View,
        request: MatchRequest,
    ) {
        let epoch = stamp.epoch;
        let genuine = view.primary == seat && view.epoch == epoch && seat != self.local.seat();
        if !genuine || view.shard != stamp.shard {
            let why = FollowerRefusal::NotThePrimary { epoch };
            return refuse(&mut self.local, link, epoch, why);
        }
        if let Err(why) = check_stamp(&self.local, seat, stamp) {
            return refuse(&mut self.local, link, epoch, why);
        }
        self.learn_view(view);
        let mut following = Following::new(now, seat, link, stamp, request);
        if self.local.has_entered(epoch) {
            following.view_is_durable(now, &mut self.local);
        }
        self.role = Role::Following(Box::new(following));
    }

    pub(super) fn primary_down(&mut self, link: LinkId) {
        if let Role::Following(following) = &self.role
            && following.link() == link
        {
            self.role = Role::Idle;
        }
    }
}

/// The follower's side of this connection, if the message belongs to it; else the sender is told
/// why not.
fn following_of<'role>(
    role: &'role mut Role,
    local: &mut Local,
    link: LinkId,
    seat: PrimarySeat,
    stamp: &PrimaryStamp,
) -> Option<&'role mut Following> {
    let epoch = stamp.epoch;
    let why = match (check_stamp(local, seat, stamp), role) {
        (Err(why), _) => why,
        (Ok(()), Role::Following(following)) if following.is_on(link, seat, epoch) => {
            return Some(following);
        }
        (Ok(()), _) => FollowerRefusal::NotMatched { epoch },
    };
    refuse(local, link, epoch, why);
    None
}

/// Whether something of this shard and epoch may be taken from `seat` at all.
fn check_stamp(
    local: &Local,
    seat: PrimarySeat,
    stamp: &PrimaryStamp,
) -> Result<(), FollowerRefusal> {
    let (promises, epoch) = (&local.promises, stamp.epoch);
    if stamp.shard != local.identity.shard {
        return Err(FollowerRefusal::NotThePrimary { epoch });
    }
    if let Some(failure) = &local.disk_failure {
        let cause = failure.cause.clone();
        return Err(FollowerRefusal::DiskFailed { cause });
    }
    if epoch < promises.view_epoch() {
        let newer = promises.view_epoch();
        return Err(FollowerRefusal::OldEpoch { epoch, newer });
    }
    if epoch < promises.seal {
        let seal = promises.seal;
        return Err(FollowerRefusal::Sealed { epoch, seal });
    }
    match &promises.view {
        Some(view) if view.epoch == epoch && view.primary != seat => {
            Err(FollowerRefusal::NotThePrimary { epoch })
        }
        _ => Ok(()),
    }
}
