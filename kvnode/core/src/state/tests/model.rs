//! The store as one plain map that executes one command after the other.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_common::command::{Command, Expiry, KeyExpiry, PutCondition, Reply};
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;
use kv_common::value_digest::value_digest;

/// Keys, values and expiries, and the highest expiry that was found to be past.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) keys: BTreeMap<Bytes, (Bytes, Option<UnixMs>)>,
    pub(super) expiry_clock: UnixMs,
}

impl Model {
    pub(super) fn is_due(&self, key: &Bytes, clock: UnixMs) -> bool {
        let found = self.keys.get(key);
        found.is_some_and(|(_, at)| at.is_some_and(|at| at <= clock))
    }

    /// The value of a key, after removing it if its time has come.
    pub(super) fn find(&mut self, key: &Bytes, clock: UnixMs) -> Option<(Bytes, Option<UnixMs>)> {
        if self.is_due(key, clock) {
            let (_, at) = self.keys.remove(key)?;
            self.expiry_clock = self.expiry_clock.max(at?);
        }
        self.keys.get(key).cloned()
    }

    /// Whether the key is looked at is part of it: what is found past its time moves the clock.
    fn holds(&mut self, key: &Bytes, condition: &PutCondition, clock: UnixMs) -> bool {
        if *condition == PutCondition::Always {
            return true;
        }
        let value = self.find(key, clock).map(|(value, _)| value);
        match condition {
            PutCondition::Always => true,
            PutCondition::IfAbsent => value.is_none(),
            PutCondition::IfPresent => value.is_some(),
            PutCondition::IfEquals(old) => value.as_ref() == Some(old),
            PutCondition::IfDiffers(other) => value.as_ref() != Some(other),
            PutCondition::IfDigestEquals(digest) => {
                value.is_some_and(|value| value_digest(&value) == *digest)
            }
            PutCondition::IfDigestDiffers(digest) => {
                value.is_none_or(|value| value_digest(&value) != *digest)
            }
        }
    }

    /// Executes any command but a scan.
    pub(super) fn execute(&mut self, command: &Command, clock: UnixMs) -> Result<Reply, Refusal> {
        let at = |expiry: Expiry| match expiry {
            Expiry::At(at) => at,
            Expiry::AfterMs(after_ms) => UnixMs(clock.0 + after_ms),
        };
        Ok(match command {
            Command::Get { key } => Reply::Value(self.find(key, clock).map(|(value, _)| value)),
            Command::Put {
                key,
                value,
                expiry,
                condition,
            } => {
                let holds = self.holds(key, condition, clock);
                if !holds {
                    return Ok(Reply::ConditionFailed);
                }
                self.set(key, value.clone(), expiry.map(at), clock);
                Reply::Done
            }
            Command::Delete { keys } => {
                let mut count = 0;
                for key in keys {
                    count += u64::from(self.find(key, clock).is_some());
                    self.keys.remove(key);
                }
                Reply::Count(count)
            }
            Command::Exists { keys } => {
                let there = keys.iter().filter(|key| self.find(key, clock).is_some());
                Reply::Count(there.count() as u64)
            }
            Command::Incr { key, by } => self.incr(key, *by, clock)?,
            Command::Ttl { key } => Reply::Expiry(match self.find(key, clock) {
                None => KeyExpiry::NoKey,
                Some((_, None)) => KeyExpiry::Never,
                Some((_, Some(at))) => KeyExpiry::InMs(at.0 - clock.0),
            }),
            Command::Expire { key, expiry } => match self.find(key, clock) {
                None => Reply::Count(0),
                Some((value, _)) => {
                    self.set(key, value, Some(at(*expiry)), clock);
                    Reply::Count(1)
                }
            },
            Command::Persist { key } => match self.find(key, clock) {
                Some((value, Some(_))) => {
                    self.set(key, value, None, clock);
                    Reply::Count(1)
                }
                _ => Reply::Count(0),
            },
            Command::CountKeys => Reply::Count(self.keys.len() as u64),
            Command::Clear => {
                self.keys.clear();
                Reply::Done
            }
            other => self.execute_on_several(other, clock)?,
        })
    }

    fn execute_on_several(&mut self, command: &Command, clock: UnixMs) -> Result<Reply, Refusal> {
        Ok(match command {
            Command::GetMany { keys } => {
                let values = keys.iter().map(|key| self.find(key, clock));
                Reply::Values(values.map(|found| found.map(|(value, _)| value)).collect())
            }
            Command::PutMany { pairs, if_absent } => {
                if *if_absent && pairs.iter().any(|(key, _)| self.find(key, clock).is_some()) {
                    return Ok(Reply::ConditionFailed);
                }
                for (key, value) in pairs {
                    self.set(key, value.clone(), None, clock);
                }
                Reply::Done
            }
            Command::Copy {
                from,
                to,
                replaces,
                moves,
            } => self.copy(from, to, (*replaces, *moves), clock),
            Command::Transaction { commands, .. } => {
                let replies = commands.iter().map(|command| self.execute(command, clock));
                Reply::Many(replies.collect())
            }
            other => panic!("no command for the model: {other:?}"),
        })
    }

    fn copy(
        &mut self,
        from: &Bytes,
        to: &Bytes,
        (replaces, moves): (bool, bool),
        clock: UnixMs,
    ) -> Reply {
        let Some((value, expires_at)) = self.find(from, clock) else {
            return Reply::ConditionFailed;
        };
        if !replaces && self.find(to, clock).is_some() {
            return Reply::Count(0);
        }
        if moves {
            self.keys.remove(from);
        }
        self.keys.insert(to.clone(), (value, expires_at));
        Reply::Count(1)
    }

    fn set(&mut self, key: &Bytes, value: Bytes, expires_at: Option<UnixMs>, clock: UnixMs) {
        if expires_at.is_some_and(|at| at <= clock) {
            self.keys.remove(key);
        } else {
            self.keys.insert(key.clone(), (value, expires_at));
        }
    }

    fn incr(&mut self, key: &Bytes, by: i64, clock: UnixMs) -> Result<Reply, Refusal> {
        let (number, expires_at) = match self.find(key, clock) {
            None => (0, None),
            Some((value, expires_at)) => {
                let text = String::from_utf8_lossy(&value).into_owned();
                let number: i64 = text.parse().map_err(|_| Refusal::NotANumber)?;
                if number.to_string() != text {
                    return Err(Refusal::NotANumber);
                }
                (number, expires_at)
            }
        };
        let sum = number.checked_add(by).ok_or(Refusal::Overflow)?;
        let value = Bytes::from(sum.to_string());
        self.keys.insert(key.clone(), (value, expires_at));
        Ok(Reply::Integer(sum))
    }
}
