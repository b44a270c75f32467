//! A replica that follows a primary: as a backup of the view, or as a joiner.
//!
//! It takes messages only from the primary of the view that it has adopted, and entries only behind
//! the point up to which it matched that primary's history in that epoch, on that connection. Each
//! answer is a promise: for a while this node will not serve as primary, so the primary may answer
//! reads.

use kv_common::batch::Batch;
use kv_common::history::History;
use kv_common::id::{Epoch, Position, Seq};
use kv_common::message::replication::{FollowerRefusal, FollowerToPrimary, PrimaryStamp};
use kv_common::time::{Monotonic, Now};
use kv_common::view::PrimarySeat;

use crate::effect::Effect;
use crate::input::{LinkId, Ticket};
use crate::local::{Copying, Local};
use crate::refused_messages::MessageRefusal;

/// What a `Match` message says, kept until it can be acted upon.
#[derive(Clone, Debug)]
pub(crate) struct MatchRequest {
    pub(crate) history: History,
    pub(crate) log_from: Seq,
}

#[derive(Debug)]
enum Stage {
    /// The view is being stored; the histories are compared when it is durable.
    AwaitingView(MatchRequest),
    /// The log is being cut behind the common point.
    Cutting { ticket: Ticket, common: Position },
    /// Entries are taken.
    Matched,
    /// The logs do not meet: a copy is needed or under way.
    NeedsCopy,
    /// A copy was made, or a batch did not fit: the primary is to match again.
    Unmatched,
}

/// The follower's side of one replication connection.
#[derive(Debug)]
pub(crate) struct Following {
    seat: PrimarySeat,
    epoch: Epoch,
    link: LinkId,
    stage: Stage,
    /// Where the primary's log ended when it asked for the match.
    primary_end: Seq,
    /// `sent_at` of the newest message.
    answers: Monotonic,
    heard_at: Monotonic,
    /// What the primary says is committed, and assured; taken over as far as it is held here.
    commit_mark: Seq,
    assured_mark: Seq,
}

impl Following {
    pub(crate) fn new(
        now: Now,
        seat: PrimarySeat,
        link: LinkId,
        stamp: &PrimaryStamp,
        request: MatchRequest,
    ) -> Self {
        Self {
            seat,
            epoch: stamp.epoch,
            link,
            primary_end: request.history.last().seq,
            stage: Stage::AwaitingView(request),
            answers: stamp.sent_at,
            heard_at: now.monotonic,
            commit_mark: Seq::ZERO,
            assured_mark: Seq::ZERO,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn seat(&self) -> PrimarySeat {
        self.seat
    }

    pub(crate) fn link(&self) -> LinkId {
        self.link
    }

    /// Whether a message of this epoch, from this seat, on this connection belongs here.
    pub(crate) fn is_on(&self, link: LinkId, seat: PrimarySeat, epoch: Epoch) -> bool {
        (self.link, self.seat, self.epoch) == (link, seat, epoch)
    }

    pub(crate) fn heard_at(&self) -> Monotonic {
        self.heard_at
    }

    pub(crate) fn is_matched(&self) -> bool {
        matches!(self.stage, Stage::Matched)
    }

    /// Compares the histories, once the view is durable.
    pub(crate) fn view_is_durable(&mut self, now: Now, local: &mut Local) {
        let Stage::AwaitingView(request) = &self.stage else {
            return;
        };
        let request = request.clone();
        match common_point(local, &request) {
            None => self.need_copy(now, local),
            Some(common) if common.seq < local.log.appended() => {
                let ticket = local.cut_log(common.seq);
                self.stage = Stage::Cutting { ticket, common };
            }
            Some(common) => match local.log.open_cut() {
                Some(ticket) => self.stage = Stage::Cutting { ticket, common },
                None => self.matched(now, local, common),
            },
        }
    }

    pub(crate) fn log_cut(&mut self, now: Now, local: &mut Local, done: Ticket) {
        if let Stage::Cutting { ticket, common } = self.stage
            && ticket <= done
        {
            self.matched(now, local, common);
        }
    }

    fn matched(&mut self, now: Now, local: &mut Local, common: Position) {
        self.stage = Stage::Matched;
        self.review_tail(local);
        let message = FollowerToPrimary::Matched {
            epoch: self.epoch,
            answers: self.answers,
            common,
            held: local.log.held().min(common.seq),
        };
        self.answer(now, local, message);
        let name = local.name_of(self.seat.node);
        local.role_changed(format!(
            "following {name} in epoch {} from position {common} on",
            self.epoch
        ));
    }

    fn need_copy(&mut self, now: Now, local: &mut Local) {
        self.stage = Stage::NeedsCopy;
        let from = self.seat.node;
        let may_begin = now.monotonic >= local.copy_not_before;
        if may_begin && local.copying.is_none_or(|copying| copying.from != from) {
            local.copying = Some(Copying {
                from,
                epoch: self.epoch,
                progress: None,
            });
            let epoch = self.epoch;
            local.emit(Effect::StartCopy { from, epoch });
            let name = local.name_of(from);
            local.role_changed(format!("fetching a copy from {name} in epoch {epoch}"));
        }
        let message = FollowerToPrimary::NeedsCopy {
            epoch: self.epoch,
            answers: self.answers,
        };
        self.answer(now, local, message);
    }

    /// The copy is over, well or ill: the primary is to match again.
    pub(crate) fn copy_ended(&mut self) {
        if matches!(self.stage, Stage::NeedsCopy) {
            self.stage = Stage::Unmatched;
        }
    }

    pub(crate) fn append(
        &mut self,
        now: Now,
        local: &mut Local,
        stamp: &PrimaryStamp,
        batch: bytes::Bytes,
    ) {
        self.heard(now, stamp);
        if !self.is_matched() {
            return self.refuse(local, FollowerRefusal::NotMatched { epoch: self.epoch });
        }
        if let Err(why) = self.take_batch(local, batch) {
            self.stage = Stage::Unmatched;
            return self.refuse(local, why);
        }
        self.follow_marks(local, stamp);
        self.acknowledge_if_held(now, local);
    }

    fn take_batch(&self, local: &mut Local, bytes: bytes::Bytes) -> Result<(), FollowerRefusal> {
        let unreadable = |cause: kv_common::batch::BatchError| FollowerRefusal::BadBatch {
            cause: cause.to_string(),
        };
        let batch = Batch::parse(bytes).map_err(unreadable)?;
        let entries = batch.entries().map_err(unreadable)?;
        let first = Position {
            epoch: batch.epoch(),
            seq: batch.first(),
        };
        if !local.log.history().accepts(first) || first.epoch > self.epoch {
            return Err(FollowerRefusal::Gap {
                last: local.log.appended(),
                got: batch.first(),
            });
        }
        local.log.append(first, batch.last());
        entries.into_iter().for_each(|entry| local.tail.push(entry));
        local.emit(Effect::Append(batch));
        Ok(())
    }

    pub(crate) fn beat(&mut self, now: Now, local: &mut Local, stamp: &PrimaryStamp) {
        self.heard(now, stamp);
        match self.stage {
            Stage::Matched => {
                self.follow_marks(local, stamp);
                self.acknowledge(now, local);
            }
            Stage::NeedsCopy => self.need_copy(now, local),
            Stage::Unmatched => {
                self.refuse(local, FollowerRefusal::NotMatched { epoch: self.epoch });
            }
            // The answer to the match is on its way.
            Stage::AwaitingView(_) | Stage::Cutting { .. } => {}
        }
    }

    /// The disk has more: say so, and apply what is committed up to there.
    pub(crate) fn flushed(&mut self, now: Now, local: &mut Local) {
        if self.is_matched() {
            self.apply_marks(local);
            self.acknowledge(now, local);
        }
    }

    fn heard(&mut self, now: Now, stamp: &PrimaryStamp) {
        self.heard_at = now.monotonic;
        self.answers = self.answers.max(stamp.sent_at);
    }

    fn follow_marks(&mut self, local: &mut Local, stamp: &PrimaryStamp) {
        // What was appended was matched or came behind it, so the marks count up to there.
        let appended = local.log.appended();
        self.commit_mark = self.commit_mark.max(stamp.committed.min(appended));
        self.assured_mark = self.assured_mark.max(stamp.assured.min(appended));
        self.apply_marks(local);
    }

    fn apply_marks(&self, local: &mut Local) {
        local.log.commit(self.commit_mark);
        local.log.assure(self.assured_mark);
        local.apply_committed(|_| {});
    }

    fn acknowledge_if_held(&self, now: Now, local: &mut Local) {
        if local.log.held() == local.log.appended() {
            self.acknowledge(now, local);
        }
    }

    /// What members of this epoch's view or of an earlier one ever acknowledged together was in the
    /// primary's log at the match, and is held here from some point on; what comes later is not
    /// committed without this member. The commit mark would not do: a primary that takes over may have
    /// acknowledged entries behind it.
    fn review_tail(&self, local: &mut Local) {
        let member = local.view().is_some_and(|view| view.has_member(local.me()));
        if self.is_matched() && member && local.log.held() >= self.primary_end {
            local.tail_is_made_up_for();
        }
    }

    fn acknowledge(&self, now: Now, local: &mut Local) {
        self.review_tail(local);
        let message = FollowerToPrimary::Ack {
            epoch: self.epoch,
            answers: self.answers,
            held: local.log.held(),
        };
        self.answer(now, local, message);
    }

    fn answer(&self, now: Now, local: &mut Local, message: FollowerToPrimary) {
        local.answered_primary(now.monotonic, self.seat, self.epoch);
        let link = self.link;
        local.emit(Effect::SendPrimary { link, message });
    }

    fn refuse(&self, local: &mut Local, why: FollowerRefusal) {
        refuse(local, self.link, self.epoch, why);
    }
}

/// Tells a primary that nothing is taken from it. Not an answer: it promises nothing.
pub(crate) fn refuse(local: &mut Local, link: LinkId, epoch: Epoch, why: FollowerRefusal) {
    local.refused_messages.count(MessageRefusal::from(&why));
    let message = FollowerToPrimary::Refused { epoch, why };
    local.emit(Effect::SendPrimary { link, message });
}

/// The last common point of our log and the primary's, if we can go on from it: nothing of ours is
/// applied beyond it, and the primary's log still reaches back to it.
fn common_point(local: &Local, request: &MatchRequest) -> Option<Position> {
    if local.unfit.is_some() || local.copying.is_some() {
        return None;
    }
    let common = local.log.history().common_point(&request.history)?;
    let reachable = common.seq.next() >= request.log_from;
    (common.seq >= local.log.committed() && reachable).then_some(common)
}
