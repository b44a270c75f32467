//! What commands come down to: changes for the log, and a reply.
//!
//! A command sees the overlay, and behind it the table. A reply that rests on something in the
//! overlay is good only once that is committed; [`Execution::waits_for`] says up to where.
//!
//! A key whose time has come is taken for absent. That is good only once its deletion is
//! committed, because the next primary's clock may be behind; so the deletion is among the
//! changes, even those of a command that only reads. The caller logs them and answers when they
//! are committed.

mod bits;
mod decimal;
mod edits;
mod keyspace;
mod numbers;
mod run;
mod times;
mod transaction;
mod values;

use kv_common::command::{Command, Reply};
use kv_common::edit::ExpiryCondition;
use kv_common::entry::Change;
use kv_common::id::Seq;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;

use super::State;
use super::overlay::{Meeting, Overlay};

use self::run::Run;

/// What executing a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// What is to be logged, in one entry. Empty: nothing.
    pub changes: Vec<Change>,
    /// Of a transaction: where the changes of each command end.
    pub parts: Vec<usize>,
    /// The answer, good once `changes` and everything up to `waits_for` are committed.
    pub reply: Reply,
    /// The newest pending entry that the reply rests on.
    pub waits_for: Option<Seq>,
}

/// Executes any command but those that open or end sessions or log a mark: these change nothing
/// in the table, and their replies follow from where their entries stand.
///
/// `unix` is the primary's clock. It decides about expiry, unless the log has seen a later time.
///
/// # Errors
/// When a limit is exceeded, a value is no number, a sum does not fit, or the command is not one
/// that is executed. Nothing is to be logged then.
pub fn execute(
    state: &State,
    overlay: &Overlay,
    command: &Command,
    unix: UnixMs,
) -> Result<Execution, Refusal> {
    command.check_limits()?;
    let mut run = Run::new(state, overlay, unix);
    let reply = run.execute(command)?;
    run.check_size(&reply)?;
    Ok(run.into_execution(reply))
}

impl Run<'_> {
    fn execute(&mut self, command: &Command) -> Result<Reply, Refusal> {
        Ok(match command {
            Command::Get { key } => self.get(key),
            Command::GetMany { keys } => self.get_many(keys)?,
            Command::Put {
                key,
                value,
                expiry,
                condition,
            } => self.put(key, value, *expiry, condition),
            Command::PutMany { pairs, if_absent } => self.put_many(pairs, *if_absent),
            Command::Delete { keys } => self.delete(keys),
            Command::Exists { keys } => self.exists(keys),
            Command::Incr { key, by } => self.incr(key, *by)?,
            Command::Edit { key, edit } => self.edit(key, edit)?,
            Command::Copy {
                from,
                to,
                replaces,
                moves,
            } => self.copy(from, to, *replaces, *moves),
            Command::CombineBits { operator, to, from } => {
                self.combine_bits(*operator, to, from)?
            }
            Command::Ttl { key } => self.ttl(key),
            Command::ExpiresAt { key } => self.expires_at(key),
            Command::Expire { key, expiry } => self.expire(key, *expiry, ExpiryCondition::Always),
            Command::Persist { key } => self.persist(key),
            Command::Scan {
                cursor,
                limit,
                pattern,
            } => self.scan(*cursor, *limit, pattern.as_deref())?,
            Command::Keys { pattern } => self.keys(pattern)?,
            Command::AnyKey { cursor } => self.any_key(*cursor),
            Command::CountKeys => self.count_keys(),
            Command::Clear => self.clear(),
            Command::Fingerprints { keys } => self.fingerprints(keys),
            Command::Transaction { guards, commands } => self.transaction(guards, commands)?,
            Command::OpenSession | Command::EndSession { .. } | Command::Mark => {
                let why = format!("'{}' changes no keys", command.name());
                return Err(Refusal::NotAllowed { why });
            }
        })
    }
}

/// The deletions of up to `limit` keys whose time has come. Keys with pending changes are left
/// out: they are looked at again when these are applied.
#[must_use]
pub fn expire_due(state: &State, overlay: &Overlay, unix: UnixMs, limit: usize) -> Vec<Change> {
    state
        .table
        .expiry()
        .due(state.clock(unix))
        .take(limit)
        .filter(|(key, _)| overlay.meet(key) == Meeting::Untouched)
        .map(|(key, expires_at)| Change::Expire {
            key: key.clone(),
            expires_at,
        })
        .collect()
}
