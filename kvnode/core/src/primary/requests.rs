//! What clients ask: executed, or refused with the reason.

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::entry::{Change, EntryBody, RequestRecord};
use kv_common::id::{Position, Seq, SessionId};
use kv_common::limits::{SESSION_WINDOW, SESSIONS_MAX};
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now};

use super::waiting::reply;
use super::{Phase, Primary};
use crate::effect::Effect;
use crate::input::ClientToken;
use crate::local::Local;
use crate::state::{Execution, LookUp, execute, key_events};

/// Writes that may wait for their commit, in bytes; a further one is refused.
const WAITING_MAX_BYTES: u64 = 256 << 20;
/// Requests that may wait for the end of a handover; a further one is refused.
const PARKED_MAX: usize = 65_536;

/// What a client asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) stamp: Option<SessionStamp>,
    pub(crate) command: Command,
}

/// What is left to do for a request after it was looked at.
enum Outcome {
    /// Answered, or waiting for an entry.
    Done,
    /// It must wait for the end of the handover.
    Park,
}

impl Primary {
    pub(crate) fn request(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        request: Request,
    ) {
        match self.try_request(now, local, client, &request) {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Park) => self.park(local, client, request),
            Err(refusal) => reply(local, client, Err(refusal)),
        }
    }

    fn try_request(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        request: &Request,
    ) -> Result<Outcome, Refusal> {
        if !self.is_serving() {
            let epoch = self.view.epoch;
            return Err(Refusal::TakingOver { epoch });
        }
        request.command.check_limits()?;
        if request.command.is_write() {
            self.write(now, local, client, request)
        } else {
            self.read(now, local, client, &request.command)
        }
    }

    fn read(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        command: &Command,
    ) -> Result<Outcome, Refusal> {
        // A read behind a write of the same client that waits for the end of a handover must not see
        // the state before it.
        if !matches!(self.phase, Phase::Serving) {
            return Ok(Outcome::Park);
        }
        let execution = execute(&local.state, &self.overlay, command, now.unix)?;
        if execution.changes.is_empty() {
            self.answer_unchanged(now, local, client, execution)?;
            return Ok(Outcome::Done);
        }
        // A key's time has come: absence is answered when its deletion is committed.
        self.note_events(local, command, &execution);
        let seq = self.append_changes(local, None, execution.changes).seq;
        self.waiting.add_read(seq, client, execution.reply);
        Ok(Outcome::Done)
    }

    fn write(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        request: &Request,
    ) -> Result<Outcome, Refusal> {
        if let Some(stamp) = &request.stamp
            && self.answer_from_record(now, local, client, stamp)?
        {
            return Ok(Outcome::Done);
        }
        if !matches!(self.phase, Phase::Serving) {
            return Ok(Outcome::Park);
        }
        self.check_room_for_writes(local)?;
        match &request.command {
            Command::OpenSession => self.open_session(now, local, client),
            Command::EndSession { session } => self.end_session(local, client, *session),
            Command::Mark => {
                let at = self.append(local, EntryBody::Mark);
                self.waiting.add_write(at.seq, client, Reply::Marked(at));
            }
            command => {
                let execution = execute(&local.state, &self.overlay, command, now.unix)?;
                self.write_changes(now, local, client, request, execution)?;
            }
        }
        Ok(Outcome::Done)
    }

    fn write_changes(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        request: &Request,
        execution: Execution,
    ) -> Result<(), Refusal> {
        let stamp = request.stamp.as_ref();
        // A request with a number is logged even if it changes nothing: another copy of it that comes
        // late, when a condition that failed would hold, finds the answer and is not executed.
        if execution.changes.is_empty() && stamp.is_none() {
            return self.answer_unchanged(now, local, client, execution);
        }
        let record = stamp.map(|stamp| RequestRecord {
            id: stamp.id,
            floor: stamp.floor,
            reply: encode_reply(&execution.reply),
        });
        if let Some(record) = &record {
            local.state.sessions().check_room(record)?;
        }
        self.note_events(local, &request.command, &execution);
        let seq = self.append_changes(local, record, execution.changes).seq;
        if let Some(stamp) = stamp {
            self.waiting.add_pending(stamp.id, seq);
        }
        self.waiting.add_write(seq, client, execution.reply);
        Ok(())
    }

    /// Looks a stamped request up, first among the entries that are not applied yet, then among
    /// the records. Returns whether it is answered or waits.
    fn answer_from_record(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        stamp: &SessionStamp,
    ) -> Result<bool, Refusal> {
        let number = stamp.id.number;
        if self.waiting.join(stamp.id, client) {
            return Ok(true);
        }
        let session = stamp.id.session;
        match local.state.sessions().look_up(stamp.id, stamp.floor) {
            LookUp::Unknown => return Err(Refusal::UnknownSession { session }),
            LookUp::BelowFloor { floor } => return Err(Refusal::BelowFloor { number, floor }),
            LookUp::BeyondWindow { floor } => {
                return Err(Refusal::BeyondWindow {
                    number,
                    floor,
                    window: SESSION_WINDOW,
                });
            }
            LookUp::Answered { seq, reply } => {
                let recorded = decode_reply(&reply)?;
                self.waiting.add_write(seq, client, recorded);
                let lease_until = self.lease_until();
                self.waiting.release(local, lease_until);
                return Ok(true);
            }
            LookUp::New => {}
        }
        if stamp.floor >= number {
            let floor = stamp.floor;
            return Err(Refusal::BelowFloor { number, floor });
        }
        self.sessions_used.insert(session, now.monotonic);
        Ok(false)
    }

    fn check_room_for_writes(&self, local: &Local) -> Result<(), Refusal> {
        let have = u8::try_from(self.view.member_count()).unwrap_or(u8::MAX);
        let need = self.view.settings.min_in_sync;
        if have < need {
            return Err(Refusal::TooFewInSync { have, need });
        }
        let waiting_bytes = local.tail_bytes() + self.writer.open_bytes() as u64;
        if waiting_bytes > WAITING_MAX_BYTES {
            return Err(Refusal::Overloaded { waiting_bytes });
        }
        Ok(())
    }

    fn open_session(&mut self, now: Now, local: &mut Local, client: ClientToken) {
        if self.opening_sessions + local.state.sessions().len() >= SESSIONS_MAX {
            let max = SESSIONS_MAX as u64;
            return reply(local, client, Err(Refusal::TooManySessions { max }));
        }
        self.opening_sessions += 1;
        let at = self.append(local, EntryBody::OpenSession);
        let session = SessionId(at);
        self.sessions_used.insert(session, now.monotonic);
        self.waiting
            .add_write(at.seq, client, Reply::SessionOpened(session));
    }

    fn end_session(&mut self, local: &mut Local, client: ClientToken, session: SessionId) {
        self.sessions_used.remove(&session);
        let at = self.append(local, EntryBody::EndSessions(vec![session]));
        self.waiting.add_write(at.seq, client, Reply::Done);
    }

    /// Answers what changed nothing: at once under the lease, or when what it shows is committed.
    fn answer_unchanged(
        &mut self,
        now: Now,
        local: &mut Local,
        client: ClientToken,
        execution: Execution,
    ) -> Result<(), Refusal> {
        if let Some(seq) = execution.waits_for {
            self.waiting.add_read(seq, client, execution.reply);
            return Ok(());
        }
        let lease_until = self.lease_until();
        if lease_until.is_some_and(|until| until <= now.monotonic) {
            return Err(Refusal::LeaseLost);
        }
        local.emit(Effect::Reply {
            client,
            result: Ok(execution.reply),
            lease_until,
        });
        Ok(())
    }

    /// What the next entry, which is about to be appended, is to be told of when it is applied.
    fn note_events(&mut self, local: &Local, command: &Command, execution: &Execution) {
        if local.tells_key_events {
            let events = key_events(command, execution);
            self.waiting.add_events(self.next_seq(local), events);
        }
    }

    pub(super) fn append_changes(
        &mut self,
        local: &mut Local,
        request: Option<RequestRecord>,
        changes: Vec<Change>,
    ) -> Position {
        let seq = self.next_seq(local);
        self.overlay.note(seq, &changes);
        let at = self.append(local, EntryBody::Changes { request, changes });
        assert_eq!(at.seq, seq, "an entry stands where the overlay says");
        at
    }

    pub(super) fn append(&mut self, local: &mut Local, body: EntryBody) -> Position {
        self.writer.push(local, body)
    }

    fn next_seq(&self, local: &Local) -> Seq {
        self.writer.next_seq(local)
    }

    fn park(&mut self, local: &mut Local, client: ClientToken, request: Request) {
        if self.parked.len() < PARKED_MAX {
            self.parked.push_back((client, request));
        } else {
            let waiting_bytes = local.tail_bytes();
            reply(local, client, Err(Refusal::Overloaded { waiting_bytes }));
        }
    }

    /// The end of the lease: the earliest promise of all counted members. None: there is nobody
    /// else who could be made primary, so none is needed.
    pub(super) fn lease_until(&self) -> Option<Monotonic> {
        self.counted()
            .map(|node| {
                let follower = self.followers.get(&node);
                follower.map_or(Monotonic::ZERO, |follower| follower.lease_until())
            })
            .min()
    }
}

#[allow(
    clippy::expect_used,
    reason = "a reply is a plain value of our own, and encoding into memory does not fail"
)]
fn encode_reply(reply: &Reply) -> Bytes {
    Bytes::from(rmp_serde::to_vec(reply).expect("a reply can be encoded"))
}

/// The reply that a record holds. One that cannot be read was written by a newer version; the
/// write did take effect, so the outcome must not read as a refusal.
fn decode_reply(encoded: &[u8]) -> Result<Reply, Refusal> {
    rmp_serde::from_slice(encoded).map_err(|_| Refusal::OutcomeUnknown)
}
