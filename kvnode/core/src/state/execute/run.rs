//! One execution under way: what it sees, and what it writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::entry::Change;
use kv_common::id::Seq;
use kv_common::limits::COMMAND_MAX_BYTES;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;

use super::super::State;
use super::super::overlay::{Meeting, Overlay, PendingValue};
use super::super::record::Record;
use super::Execution;

/// What a change costs beside its key and value.
const CHANGE_OVERHEAD_BYTES: usize = 16;

/// What one command, or all of a transaction, may cost: bytes of values that are gone through, about a second.
/// A longer one would keep the node from its heartbeats.
const COST_MAX: u64 = 4 << 30;
/// What it costs to look at one key of a walk.
const WALKED_KEY_COST: u64 = 1000;

/// One execution under way.
pub(super) struct Run<'a> {
    pub(super) state: &'a State,
    pub(super) overlay: &'a Overlay,
    pub(super) clock: UnixMs,
    changes: Vec<Change>,
    changes_bytes: usize,
    cost: u64,
    parts: Vec<usize>,
    waits_for: Option<Seq>,
    /// What was written so far, if what follows is to see it.
    pub(super) written: Option<Written>,
}

/// What the earlier commands of a transaction wrote.
#[derive(Default)]
pub(super) struct Written {
    /// None: the key is absent.
    pub(super) keys: BTreeMap<Bytes, Option<PendingValue>>,
    /// All keys were removed; what stands in `keys` came after it.
    pub(super) cleared: bool,
}

/// A value that a command found.
#[derive(Clone)]
pub(super) enum Found<'a> {
    Written(PendingValue),
    Pending(&'a PendingValue),
    Applied(&'a Record),
}

impl<'a> Run<'a> {
    pub(super) fn new(state: &'a State, overlay: &'a Overlay, unix: UnixMs) -> Self {
        Self {
            state,
            overlay,
            clock: state.clock(unix),
            changes: Vec::new(),
            changes_bytes: 0,
            cost: 0,
            parts: Vec::new(),
            waits_for: None,
            written: None,
        }
    }

    pub(super) fn into_execution(self, reply: Reply) -> Execution {
        Execution {
            changes: self.changes,
            parts: self.parts,
            reply,
            waits_for: self.waits_for,
        }
    }

    /// Values of so many bytes are about to be gone through.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.cost = self.cost.saturating_add(bytes);
        if self.cost > COST_MAX {
            let why = "it would take too long in one go, with what the transaction did before";
            return Err(Refusal::NotAllowed {
                why: why.to_owned(),
            });
        }
        Ok(())
    }

    /// So many keys are about to be walked.
    pub(super) fn spend_on_keys(&mut self, keys: u64) -> Result<(), Refusal> {
        self.spend(keys.saturating_mul(WALKED_KEY_COST))
    }

    /// One command writes and answers no more than fits an entry and a frame.
    pub(super) fn check_size(&self, reply: &Reply) -> Result<(), Refusal> {
        self.check_bytes(reply.weight_bytes())
    }

    pub(super) fn check_bytes(&self, reply_bytes: usize) -> Result<(), Refusal> {
        let max = COMMAND_MAX_BYTES + CHANGE_OVERHEAD_BYTES;
        if self.changes_bytes > max || reply_bytes > max {
            let max = COMMAND_MAX_BYTES as u64;
            return Err(Refusal::TooLarge { max });
        }
        Ok(())
    }

    /// The newest state of a key. Notes what the reply must wait for, and the key's deletion if
    /// its time has come.
    pub(super) fn find(&mut self, key: &Bytes) -> Option<Found<'a>> {
        let found = self.look(key)?;
        match found.expires_at() {
            Some(at) if at <= self.clock => {
                let deletion = Change::Expire {
                    key: key.clone(),
                    expires_at: at,
                };
                // A command that looks twice logs it once.
                if self.changes.last() != Some(&deletion) {
                    self.write(deletion);
                }
                None
            }
            _ => Some(found),
        }
    }

    /// The newest state of a key, whether or not its time has come.
    pub(super) fn look(&mut self, key: &Bytes) -> Option<Found<'a>> {
        if let Some(written) = &self.written {
            match written.keys.get(key) {
                Some(value) => return value.clone().map(Found::Written),
                None if written.cleared => return None,
                None => {}
            }
        }
        match self.overlay.meet(key) {
            Meeting::Untouched => Some(Found::Applied(self.state.table.get(key)?)),
            Meeting::Value(seq, value) => {
                self.wait_for(seq);
                Some(Found::Pending(value))
            }
            Meeting::Absent(seq) => {
                self.wait_for(seq);
                None
            }
        }
    }

    pub(super) fn wait_for(&mut self, seq: Seq) {
        self.waits_for = self.waits_for.max(Some(seq));
    }

    pub(super) fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// A command of a transaction ends.
    pub(super) fn end_part(&mut self) {
        self.parts.push(self.changes.len());
    }

    pub(super) fn write(&mut self, change: Change) {
        self.changes_bytes += CHANGE_OVERHEAD_BYTES
            + match &change {
                Change::Put { key, value, .. } => key.len() + value.len(),
                Change::Delete { key } | Change::Expire { key, .. } => key.len(),
                Change::Clear => 0,
            };
        if let Some(written) = &mut self.written {
            written.note(&change);
        }
        self.changes.push(change);
    }

    /// Gives a key a value; an expiry that is already past deletes it.
    pub(super) fn write_value(&mut self, key: &Bytes, value: Bytes, expires_at: Option<UnixMs>) {
        let key = key.clone();
        if expires_at.is_some_and(|at| at <= self.clock) {
            self.write(Change::Delete { key });
        } else {
            self.write(Change::Put {
                key,
                value,
                expires_at,
            });
        }
    }
}

impl Written {
    fn note(&mut self, change: &Change) {
        match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => {
                let (value, expires_at) = (value.clone(), *expires_at);
                let value = PendingValue { value, expires_at };
                self.keys.insert(key.clone(), Some(value));
            }
            Change::Delete { key } | Change::Expire { key, .. } => {
                self.keys.insert(key.clone(), None);
            }
            Change::Clear => {
                self.keys.clear();
                self.cleared = true;
            }
        }
    }
}

impl Found<'_> {
    pub(super) fn expires_at(&self) -> Option<UnixMs> {
        match self {
            Self::Written(pending) => pending.expires_at,
            Self::Pending(pending) => pending.expires_at,
            Self::Applied(record) => record.expires_at(),
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        match self {
            Self::Written(pending) => &pending.value,
            Self::Pending(pending) => &pending.value,
            Self::Applied(record) => record.value(),
        }
    }

    pub(super) fn value_bytes(&self) -> Bytes {
        match self {
            Self::Written(pending) => pending.value.clone(),
            Self::Pending(pending) => pending.value.clone(),
            Self::Applied(record) => record.value_bytes(),
        }
    }
}
