//! What a client can ask of the key space, and what it gets back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{Position, SessionId};
use crate::limits::{KEY_MAX_BYTES, KEYS_PER_REQUEST_MAX, VALUE_MAX_BYTES};
use crate::refusal::Refusal;
use crate::time::UnixMs;

/// When a key is to go by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// So many milliseconds after the primary executes the command, by the primary's clock.
    AfterMs(u64),
    /// At a point in time.
    At(UnixMs),
}

/// What must hold for a put to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutCondition {
    /// Nothing.
    Always,
    /// The key is absent.
    IfAbsent,
    /// The key is there.
    IfPresent,
    /// The key is there with this value.
    IfEquals(Bytes),
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The value of a key → [`Reply::Value`].
    Get {
        /// The key.
        key: Bytes,
    },
    /// Sets a value → [`Reply::Done`], or [`Reply::ConditionFailed`].
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// When it goes by itself; none: never.
        expiry: Option<Expiry>,
        /// What must hold.
        condition: PutCondition,
    },
    /// Removes keys → [`Reply::Count`] of those that were there.
    Delete {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// → [`Reply::Count`] of the keys that are there; one named twice counts twice.
    Exists {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// Adds to a decimal number; an absent key is 0 → [`Reply::Integer`], the new value. Keeps
    /// the expiry.
    Incr {
        /// The key.
        key: Bytes,
        /// What to add.
        by: i64,
    },
    /// → [`Reply::Expiry`].
    Ttl {
        /// The key.
        key: Bytes,
    },
    /// Gives a key an expiry → [`Reply::Count`]: 1, or 0 if the key is absent.
    Expire {
        /// The key.
        key: Bytes,
        /// When it is to go.
        expiry: Expiry,
    },
    /// Takes the expiry off a key → [`Reply::Count`]: 1, or 0 if there was none.
    Persist {
        /// The key.
        key: Bytes,
    },
    /// A page of keys → [`Reply::Page`]. A key that is there for the whole of a walk is met.
    Scan {
        /// 0 to begin, then the cursor of the page before.
        cursor: u64,
        /// How many keys to look at, about.
        limit: u32,
        /// Only keys that match this glob (`*`, `?`, `[a-z]`, `[^a]`, `\` escapes).
        pattern: Option<Bytes>,
    },
    /// → [`Reply::Count`] of all keys.
    CountKeys,
    /// Removes all keys → [`Reply::Done`].
    Clear,
    /// Opens a session → [`Reply::SessionOpened`].
    OpenSession,
    /// Ends a session → [`Reply::Done`].
    EndSession {
        /// The session.
        session: SessionId,
    },
    /// Logs a mark at which every copy notes its digest → [`Reply::Marked`].
    Mark,
}

impl Command {
    /// Whether the command may change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Put { .. }
            | Self::Delete { .. }
            | Self::Incr { .. }
            | Self::Expire { .. }
            | Self::Persist { .. }
            | Self::Clear
            | Self::OpenSession
            | Self::EndSession { .. }
            | Self::Mark => true,
            Self::Get { .. }
            | Self::Exists { .. }
            | Self::Ttl { .. }
            | Self::Scan { .. }
            | Self::CountKeys => false,
        }
    }

    /// The command's name in lower case, for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::Exists { .. } => "exists",
            Self::Incr { .. } => "incr",
            Self::Ttl { .. } => "ttl",
            Self::Expire { .. } => "expire",
            Self::Persist { .. } => "persist",
            Self::Scan { .. } => "scan",
            Self::CountKeys => "count",
            Self::Clear => "clear",
            Self::OpenSession => "open-session",
            Self::EndSession { .. } => "end-session",
            Self::Mark => "mark",
        }
    }

    /// The keys that the command names.
    #[must_use]
    pub fn keys(&self) -> &[Bytes] {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Incr { key, .. }
            | Self::Ttl { key }
            | Self::Expire { key, .. }
            | Self::Persist { key } => std::slice::from_ref(key),
            Self::Delete { keys } | Self::Exists { keys } => keys,
            Self::Scan { .. }
            | Self::CountKeys
            | Self::Clear
            | Self::OpenSession
            | Self::EndSession { .. }
            | Self::Mark => &[],
        }
    }

    /// Checks the limits on keys and values.
    ///
    /// # Errors
    /// The refusal that names the limit.
    pub fn check_limits(&self) -> Result<(), Refusal> {
        let keys = self.keys();
        if keys.len() > KEYS_PER_REQUEST_MAX {
            return Err(Refusal::TooManyKeys {
                count: keys.len() as u64,
                max: KEYS_PER_REQUEST_MAX as u64,
            });
        }
        if let Some(key) = keys.iter().find(|key| key.len() > KEY_MAX_BYTES) {
            return Err(Refusal::KeyTooLong {
                bytes: key.len() as u64,
                max: KEY_MAX_BYTES as u64,
            });
        }
        match self {
            Self::Put { value, .. } if value.len() > VALUE_MAX_BYTES => {
                Err(Refusal::ValueTooLong {
                    bytes: value.len() as u64,
                    max: VALUE_MAX_BYTES as u64,
                })
            }
            _ => Ok(()),
        }
    }
}

/// When a key goes, as [`Command::Ttl`] answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyExpiry {
    /// There is no such key.
    NoKey,
    /// The key stays.
    Never,
    /// The key goes after so many milliseconds.
    InMs(u64),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// The condition of a put did not hold; nothing was changed.
    ConditionFailed,
    /// A value, or none: no such key.
    Value(Option<Bytes>),
    /// How many.
    Count(u64),
    /// A number.
    Integer(i64),
    /// When a key goes.
    Expiry(KeyExpiry),
    /// A page of keys.
    Page {
        /// What to ask for next; 0: the walk is over.
        cursor: u64,
        /// The keys of the page.
        keys: Vec<Bytes>,
    },
    /// The session is open.
    SessionOpened(SessionId),
    /// Every copy notes its digest at this position.
    Marked(Position),
}
