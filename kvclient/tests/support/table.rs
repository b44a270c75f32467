//! Keys, values and retry records, as the primary keeps them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_common::command::{Command, KeyExpiry, PutCondition, Reply};
use kv_common::id::{Epoch, Position, RequestId, Seq, SessionId};
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kv_common::value_digest::value_digest;

/// Keys, values and retry records.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) pairs: BTreeMap<Bytes, Bytes>,
    pub(crate) sessions: BTreeSet<SessionId>,
    records: BTreeMap<RequestId, Reply>,
    last: u64,
}

impl Table {
    /// Executes a command, or answers from the record.
    pub(crate) fn execute(
        &mut self,
        stamp: Option<SessionStamp>,
        command: &Command,
    ) -> Result<Reply, Refusal> {
        command.check_limits()?;
        let Some(stamp) = stamp else {
            return self.apply(command);
        };
        let session = stamp.id.session;
        if !self.sessions.contains(&session) {
            return Err(Refusal::UnknownSession { session });
        }
        if let Some(reply) = self.records.get(&stamp.id) {
            return Ok(reply.clone());
        }
        let reply = self.apply(command)?;
        self.records.insert(stamp.id, reply.clone());
        Ok(reply)
    }

    fn apply(&mut self, command: &Command) -> Result<Reply, Refusal> {
        Ok(match command {
            Command::Get { key } => Reply::Value(self.pairs.get(key).cloned()),
            Command::Put {
                key,
                value,
                condition,
                ..
            } => {
                if !self.holds(key, condition) {
                    return Ok(Reply::ConditionFailed);
                }
                self.pairs.insert(key.clone(), value.clone());
                Reply::Done
            }
            Command::Delete { keys } => {
                let removed = keys.iter().filter_map(|key| self.pairs.remove(key));
                Reply::Count(removed.count() as u64)
            }
            Command::Exists { keys } => {
                let there = keys.iter().filter(|key| self.pairs.contains_key(*key));
                Reply::Count(there.count() as u64)
            }
            Command::Incr { key, by } => Reply::Integer(self.incr(key, *by)?),
            Command::Ttl { key } => Reply::Expiry(match self.pairs.get(key) {
                Some(_) => KeyExpiry::Never,
                None => KeyExpiry::NoKey,
            }),
            Command::Expire { key, .. } => Reply::Count(self.pairs.contains_key(key).into()),
            Command::Persist { .. } => Reply::Count(0),
            Command::Scan { cursor, .. } => self.page(*cursor),
            Command::CountKeys => Reply::Count(self.pairs.len() as u64),
            Command::Clear => {
                self.pairs.clear();
                Reply::Done
            }
            Command::OpenSession => {
                let session = SessionId(self.next_position());
                self.sessions.insert(session);
                Reply::SessionOpened(session)
            }
            Command::EndSession { session } => {
                self.sessions.remove(session);
                Reply::Done
            }
            Command::Mark => Reply::Marked(self.next_position()),
            command => {
                let why = format!("this table does not know '{}'", command.name());
                return Err(Refusal::NotAllowed { why });
            }
        })
    }

    /// Two keys a page.
    fn page(&self, cursor: u64) -> Reply {
        let from = usize::try_from(cursor).expect("our own cursor");
        let keys: Vec<_> = self.pairs.keys().skip(from).take(2).cloned().collect();
        let more = from + keys.len() < self.pairs.len();
        let cursor = if more { cursor + 2 } else { 0 };
        Reply::Page { cursor, keys }
    }

    fn holds(&self, key: &Bytes, condition: &PutCondition) -> bool {
        let value = self.pairs.get(key);
        match condition {
            PutCondition::Always => true,
            PutCondition::IfAbsent => value.is_none(),
            PutCondition::IfPresent => value.is_some(),
            PutCondition::IfEquals(expected) => value == Some(expected),
            PutCondition::IfDiffers(other) => value != Some(other),
            PutCondition::IfDigestEquals(digest) => {
                value.is_some_and(|value| value_digest(value) == *digest)
            }
            PutCondition::IfDigestDiffers(digest) => {
                value.is_none_or(|value| value_digest(value) != *digest)
            }
        }
    }

    fn incr(&mut self, key: &Bytes, by: i64) -> Result<i64, Refusal> {
        let number = match self.pairs.get(key) {
            None => 0,
            Some(value) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or(Refusal::NotANumber)?,
        };
        let sum = number.checked_add(by).ok_or(Refusal::Overflow)?;
        self.pairs.insert(key.clone(), Bytes::from(sum.to_string()));
        Ok(sum)
    }

    fn next_position(&mut self) -> Position {
        self.last += 1;
        Position {
            epoch: Epoch(1),
            seq: Seq(self.last),
        }
    }
}
