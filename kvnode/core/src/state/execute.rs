//! What commands come down to: changes for the log, and a reply.
//!
//! A command sees the overlay, and behind it the table. A reply that rests on something in the
//! overlay is good only once that is committed; [`Execution::waits_for`] says up to where.
//!
//! A key whose time has come is taken for absent. That is good only once its deletion is
//! committed, because the next primary's clock may be behind; so the deletion is among the
//! changes, even those of a command that only reads. The caller logs them and answers when they
//! are committed.

mod keyspace;
mod numbers;
mod times;
mod values;

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::entry::Change;
use kv_common::id::Seq;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;

use super::State;
use super::overlay::{Meeting, Overlay, PendingValue};
use super::record::Record;

/// What executing a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// What is to be logged, in one entry. Empty: nothing.
    pub changes: Vec<Change>,
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
    let reply = match command {
        Command::Get { key } => run.get(key),
        Command::Put {
            key,
            value,
            expiry,
            condition,
        } => run.put(key, value, *expiry, condition),
        Command::Delete { keys } => run.delete(keys),
        Command::Exists { keys } => run.exists(keys),
        Command::Incr { key, by } => run.incr(key, *by)?,
        Command::Ttl { key } => run.ttl(key),
        Command::Expire { key, expiry } => run.expire(key, *expiry),
        Command::Persist { key } => run.persist(key),
        Command::Scan {
            cursor,
            limit,
            pattern,
        } => run.scan(*cursor, *limit, pattern.as_deref())?,
        Command::CountKeys => run.count_keys(),
        Command::Clear => run.clear(),
        Command::OpenSession | Command::EndSession { .. } | Command::Mark => {
            let why = format!("'{}' changes no keys", command.name());
            return Err(Refusal::NotAllowed { why });
        }
    };
    Ok(Execution {
        changes: run.changes,
        reply,
        waits_for: run.waits_for,
    })
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

/// One execution under way.
struct Run<'a> {
    state: &'a State,
    overlay: &'a Overlay,
    clock: UnixMs,
    changes: Vec<Change>,
    waits_for: Option<Seq>,
}

/// A value that a command found.
#[derive(Clone, Copy)]
enum Found<'a> {
    Pending(&'a PendingValue),
    Applied(&'a Record),
}

impl<'a> Run<'a> {
    fn new(state: &'a State, overlay: &'a Overlay, unix: UnixMs) -> Self {
        Self {
            state,
            overlay,
            clock: state.clock(unix),
            changes: Vec::new(),
            waits_for: None,
        }
    }

    /// The newest state of a key. Notes what the reply must wait for, and the key's deletion if
    /// its time has come.
    fn find(&mut self, key: &Bytes) -> Option<Found<'a>> {
        let found = match self.overlay.meet(key) {
            Meeting::Untouched => Found::Applied(self.state.table.get(key)?),
            Meeting::Value(seq, value) => {
                self.wait_for(seq);
                Found::Pending(value)
            }
            Meeting::Absent(seq) => {
                self.wait_for(seq);
                return None;
            }
        };
        match found.expires_at() {
            Some(at) if at <= self.clock => {
                self.changes.push(Change::Expire {
                    key: key.clone(),
                    expires_at: at,
                });
                None
            }
            _ => Some(found),
        }
    }

    fn wait_for(&mut self, seq: Seq) {
        self.waits_for = self.waits_for.max(Some(seq));
    }
}

impl Found<'_> {
    fn expires_at(&self) -> Option<UnixMs> {
        match self {
            Self::Pending(pending) => pending.expires_at,
            Self::Applied(record) => record.expires_at(),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Pending(pending) => &pending.value,
            Self::Applied(record) => record.value(),
        }
    }

    fn value_bytes(&self) -> Bytes {
        match self {
            Self::Pending(pending) => pending.value.clone(),
            Self::Applied(record) => record.value_bytes(),
        }
    }
}
