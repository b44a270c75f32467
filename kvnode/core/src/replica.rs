//! The doors of a node's core: inputs in, effects out.
//!
//! ```text
//!            view names me and my run                 wait over, tail committed
//!   idle ──────────────────────────────► taking over ─────────────────────────► serving
//!    ▲ ▲                                    │                                      │
//!    │ └── seal, newer view, disk failure ──┴─────── seal, release, newer view ────┘
//!    │       Match from the primary of a view not older than mine
//!    └─────────────────────────────► following
//! ```

mod from_primary;
mod observe;

use std::time::Duration;

use kv_common::id::{Epoch, NodeId, Seq};
use kv_common::message::control::DiskFailure;
use kv_common::message::replication::{FollowerRefusal, FollowerToPrimary};
use kv_common::tally::Tally;
use kv_common::time::{Monotonic, Now};
use kv_common::view::{ClusterMap, Release, View};

use crate::effect::Effect;
use crate::following::{Following, refuse};
use crate::input::{ClientToken, Input, LinkId, Recovered, Start, Ticket};
use crate::local::{AfterStored, Local};
use crate::primary::{Next, Primary, Request};
use crate::refused_messages::MessageRefusal;

/// After a copy that came to nothing.
const COPY_PAUSE: Duration = Duration::from_secs(1);

/// The role that a replica holds.
#[derive(Debug)]
enum Role {
    Idle,
    Following(Box<Following>),
    Primary(Box<Primary>),
}

/// The core of a node: one copy of one shard.
///
/// The caller hands in what happened with [`Self::handle`], calls [`Self::handle_timeout`] when the
/// time that [`Self::poll_timeout`] names has come, and after each turn (one or many inputs) carries
/// out what [`Self::poll_effect`] hands out, in that order, until there is nothing more. `now` must
/// never go back.
#[derive(Debug)]
pub struct Replica {
    local: Local,
    role: Role,
    now: Now,
}

impl Replica {
    /// A replica at the start of a run.
    #[must_use]
    pub fn start(now: Now, start: Start) -> Self {
        let replica = Self {
            local: Local::start(now, start),
            role: Role::Idle,
            now,
        };
        replica.local.check();
        replica
    }

    /// Takes note of what happened.
    ///
    /// # Panics
    /// When an invariant of the core is broken: going on could lose what was acknowledged.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.begin_turn(now);
        self.dispatch(now, input);
        self.local.check();
    }

    /// The time that [`Self::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.begin_turn(now);
        if let Role::Primary(primary) = &mut self.role {
            let next = primary.handle_timeout(now, &mut self.local);
            self.after_primary(next);
        }
        self.local.check();
    }

    /// What is to be done next. When nothing else is, the open batch is closed, if it is due.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(effect) = self.local.next_effect() {
            return Some(effect);
        }
        if let Role::Primary(primary) = &mut self.role
            && primary.batch_is_due(&self.local)
        {
            primary.close_batch(self.now, &mut self.local);
            let next = primary.advance(self.now, &mut self.local);
            self.after_primary(next);
            self.local.check();
        }
        self.local.next_effect()
    }

    /// What others said and nothing was done about, since the start of the run.
    #[must_use]
    pub fn refused_messages(&self) -> &Tally<MessageRefusal> {
        &self.local.refused_messages
    }

    /// When [`Self::handle_timeout`] is to be called; none: not before the next input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        match &self.role {
            Role::Primary(primary) => Some(primary.poll_timeout(self.now.monotonic)),
            Role::Idle | Role::Following(_) => None,
        }
    }

    fn dispatch(&mut self, now: Now, input: Input) {
        match input {
            Input::Request {
                client,
                stamp,
                command,
            } => self.requested(now, client, Request { stamp, command }),
            Input::CoordinatorUp => self.coordinator_up(now),
            Input::CoordinatorDown => self.local.coordinator_up = false,
            Input::Map(map) => self.take_map(now, map),
            Input::Seal { shard, epoch } if shard == self.local.identity.shard => self.seal(epoch),
            Input::Handover {
                shard,
                epoch,
                to,
                seal,
            } if shard == self.local.identity.shard => self.hand_over(now, epoch, to, seal),
            Input::Seal { .. } | Input::Handover { .. } => {
                self.local
                    .refused_messages
                    .count(MessageRefusal::OtherShard);
            }
            Input::FollowerUp { node, link } => self.with_primary(|primary, local| {
                primary.follower_up(now, local, node, link);
                Next::Stay
            }),
            Input::FollowerDown { node, link } => {
                self.with_primary(|primary, local| primary.follower_down(now, local, node, link));
            }
            Input::FollowerSays {
                node,
                link,
                message,
            } => self.follower_says(now, node, link, message),
            Input::PrimarySays {
                link,
                seat,
                message,
            } => self.primary_says(now, link, seat, message),
            Input::PrimaryDown { link } => self.primary_down(link),
            Input::Flushed { through } => self.flushed(now, through),
            Input::LogCut { ticket } => self.log_cut(now, ticket),
            Input::LogRead {
                node,
                link,
                from: _,
                batches,
            } => self.with_primary(|primary, local| {
                primary.log_read(now, local, node, link, batches);
                Next::Stay
            }),
            Input::LogReleased { log_from } => self.local.log.released(log_from),
            Input::PromisesStored { ticket } => self.promises_stored(now, ticket),
            Input::CopyProgressed(progress) => self.local.copy_progressed(progress),
            Input::CopyDone(recovered) => self.copy_done(*recovered),
            Input::CopyFailed { why } => self.copy_failed(now, &why),
            Input::TellKeyEvents(tells) => self.local.tells_key_events = tells,
            Input::DiskFailed(failure) => self.disk_failed(failure),
        }
    }

    fn begin_turn(&mut self, now: Now) {
        let gap = now.monotonic.since(self.now.monotonic);
        self.now = now;
        if let Role::Primary(primary) = &mut self.role {
            primary.stood_still(now, gap);
        }
    }

    fn requested(&mut self, now: Now, client: ClientToken, request: Request) {
        match &mut self.role {
            Role::Primary(primary) => primary.request(now, &mut self.local, client, request),
            Role::Idle | Role::Following(_) => {
                let result = Err(self.local.not_primary());
                self.local.emit(Effect::Reply {
                    client,
                    result,
                    lease_until: None,
                });
            }
        }
    }

    fn follower_says(&mut self, now: Now, node: NodeId, link: LinkId, message: FollowerToPrimary) {
        if !matches!(self.role, Role::Primary(_)) {
            self.local
                .refused_messages
                .count(MessageRefusal::NotPrimary);
        }
        self.with_primary(|primary, local| primary.follower_says(now, local, node, link, message));
    }

    fn with_primary(&mut self, step: impl FnOnce(&mut Primary, &mut Local) -> Next) {
        if let Role::Primary(primary) = &mut self.role {
            let next = step(primary, &mut self.local);
            self.after_primary(next);
        }
    }

    /// The coordinator waits for an answer to its order, also from a node that is not primary (yet).
    fn hand_over(&mut self, now: Now, epoch: Epoch, to: NodeId, seal: Epoch) {
        if matches!(self.role, Role::Primary(_)) {
            self.with_primary(|primary, local| primary.hand_over(now, local, epoch, to, seal));
        } else {
            self.local.handover_failed(epoch, "the node is not primary");
        }
    }

    fn after_primary(&mut self, next: Next) {
        match next {
            Next::Stay => {}
            Next::Release { seal } => self.release(seal),
        }
    }

    fn coordinator_up(&mut self, now: Now) {
        self.local.coordinator_up = true;
        self.with_primary(|primary, local| {
            primary.coordinator_up(now, local);
            Next::Stay
        });
    }

    /// A map: the newest addresses and joiners, and perhaps a newer view.
    fn take_map(&mut self, now: Now, map: ClusterMap) {
        let stale = self
            .local
            .map
            .as_ref()
            .is_some_and(|known| known.cluster == map.cluster && known.version > map.version);
        if stale {
            self.local.refused_messages.count(MessageRefusal::OldOrder);
            return;
        }
        let view = map.view.clone();
        self.local.map = Some(map);
        if let Some(view) = view {
            self.learn_view(view);
        }
        self.with_primary(|primary, local| {
            primary.map_changed(now, local);
            Next::Stay
        });
    }

    /// Adopts a newer view: promises it, and acts upon it when that is durable.
    fn learn_view(&mut self, view: View) {
        if view.shard != self.local.identity.shard || !self.local.promises.allow(&view) {
            return;
        }
        let epoch = view.epoch;
        let mine = view.primary == self.local.seat();
        self.local.promises.adopt(view);
        if !mine {
            // The role is another's from the moment that we know of it, and nothing of an older
            // epoch is acknowledged any more.
            self.step_down("a newer view names another primary");
            self.role = Role::Idle;
        }
        self.local.store_promises(AfterStored::Enter(epoch));
    }

    fn promises_stored(&mut self, now: Now, ticket: Ticket) {
        while let Some(after) = self.local.take_stored(ticket) {
            match after {
                AfterStored::Enter(epoch) => self.enter(now, epoch),
                AfterStored::AnswerSeal(epoch) => {
                    if self.local.promises.seal == epoch {
                        self.local.answer_seal(epoch);
                    }
                }
            }
        }
    }

    /// Acts upon the adopted view, now that it is durable.
    fn enter(&mut self, now: Now, epoch: Epoch) {
        // Overtaken by a newer view or a seal, whose own turn comes.
        if self.local.promises.floor() != epoch || !self.local.has_entered(epoch) {
            return;
        }
        let Some(view) = self.local.view().cloned() else {
            return;
        };
        if view.primary == self.local.seat() {
            return self.act_as_primary(now, view);
        }
        if let Role::Following(following) = &mut self.role
            && following.epoch() == epoch
        {
            following.view_is_durable(now, &mut self.local);
        }
    }

    fn act_as_primary(&mut self, now: Now, view: View) {
        if let Role::Primary(primary) = &mut self.role {
            primary.continue_in(now, &mut self.local, view);
            let next = primary.advance(now, &mut self.local);
            return self.after_primary(next);
        }
        let unfit = self.local.unfit.is_some() || self.local.copying.is_some();
        if unfit || self.local.disk_failure.is_some() {
            // Not acting is what the coordinator sees, and it chooses again.
            self.local
                .role_changed("named primary, and not fit to be one".to_owned());
            return;
        }
        let mut primary = Primary::take_over(now, &mut self.local, view);
        let next = primary.advance(now, &mut self.local);
        self.role = Role::Primary(Box::new(primary));
        self.after_primary(next);
    }

    /// Promises to take nothing below `epoch`, and says how far the log goes.
    fn seal(&mut self, epoch: Epoch) {
        let promises = &mut self.local.promises;
        if epoch < promises.seal || epoch <= promises.view_epoch() {
            self.local.refused_messages.count(MessageRefusal::OldOrder);
            return;
        }
        promises.seal = epoch;
        self.step_down("sealed");
        self.role = Role::Idle;
        self.local.store_promises(AfterStored::AnswerSeal(epoch));
    }

    /// Gives the epoch up for good: from here on no read, no write and no lease under it.
    fn release(&mut self, seal: Epoch) {
        let seat = self.local.seat();
        let epoch = self.local.promises.view_epoch();
        self.local.promises.release = Some(Release { epoch, seat });
        self.local.promises.seal = self.local.promises.seal.max(seal);
        self.step_down("handed over");
        self.local.store_promises(AfterStored::AnswerSeal(seal));
    }

    fn step_down(&mut self, why: &str) {
        if matches!(self.role, Role::Primary(_))
            && let Role::Primary(primary) = std::mem::replace(&mut self.role, Role::Idle)
        {
            primary.step_down(&mut self.local, why);
        }
    }

    fn disk_failed(&mut self, failure: DiskFailure) {
        if self.local.disk_failure.is_none() {
            let cause = failure.cause.clone();
            self.local.disk_failure = Some(failure);
            self.step_down(&format!("the disk fails: {cause}"));
            if let Role::Following(following) = &self.role {
                let why = FollowerRefusal::DiskFailed { cause };
                let (link, epoch) = (following.link(), following.epoch());
                refuse(&mut self.local, link, epoch, why);
            }
            self.role = Role::Idle;
        }
    }

    fn flushed(&mut self, now: Now, through: Seq) {
        if self.local.disk_failure.is_some() {
            return;
        }
        self.local.log.flush(through);
        match &mut self.role {
            Role::Primary(primary) => {
                let next = primary.advance(now, &mut self.local);
                self.after_primary(next);
            }
            Role::Following(following) => following.flushed(now, &mut self.local),
            Role::Idle => {}
        }
    }

    fn log_cut(&mut self, now: Now, ticket: Ticket) {
        self.local.log.cut_done(ticket);
        if let Role::Following(following) = &mut self.role {
            following.log_cut(now, &mut self.local, ticket);
        }
    }

    fn copy_done(&mut self, recovered: Recovered) {
        assert!(
            !matches!(self.role, Role::Primary(_)),
            "a primary never takes a copy"
        );
        self.local.replace_data(recovered);
        let at = self.local.log.last();
        self.local
            .role_changed(format!("the copy is whole, at position {at}"));
        self.copy_ended();
    }

    fn copy_failed(&mut self, now: Now, why: &str) {
        let what = format!("the copy came to nothing: {why}");
        self.local.role_changed(what);
        self.local.copy_not_before = now.monotonic.after(COPY_PAUSE);
        self.copy_ended();
    }

    fn copy_ended(&mut self) {
        self.local.copying = None;
        if let Role::Following(following) = &mut self.role {
            following.copy_ended();
        }
    }
}
