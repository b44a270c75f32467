//! What a client can ask of the key space, and what it gets back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::edit::{BitOperator, Edit, Fingerprint, Guard};
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
    /// The key is absent, or there with another value.
    IfDiffers(Bytes),
    /// The key is there with a value of this digest ([`value_digest`]).
    ///
    /// [`value_digest`]: crate::value_digest::value_digest
    IfDigestEquals(u64),
    /// The key is absent, or there with a value of another digest.
    IfDigestDiffers(u64),
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
    /// The values of keys → [`Reply::Values`], in their order.
    GetMany {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// Sets values and drops expiries, all or none → [`Reply::Done`] or [`Reply::ConditionFailed`].
    PutMany {
        /// Keys and values; of a key that is named twice, the last counts.
        pairs: Vec<(Bytes, Bytes)>,
        /// Only if none of the keys is there.
        if_absent: bool,
    },
    /// Reads and writes one value in one step.
    Edit {
        /// The key.
        key: Bytes,
        /// What is done, and what is answered.
        edit: Edit,
    },
    /// Gives the value of one key and its expiry to another → [`Reply::Count`]: 1, or 0 if the other
    /// is there and must not be; [`Reply::ConditionFailed`] if the first is absent.
    Copy {
        /// The key.
        from: Bytes,
        /// The other.
        to: Bytes,
        /// Whether the other may be there.
        replaces: bool,
        /// Whether the first goes.
        moves: bool,
    },
    /// Combines the bits of values; an absent key is empty, an empty result removes the target →
    /// [`Reply::Count`], its length.
    CombineBits {
        /// How.
        operator: BitOperator,
        /// The target.
        to: Bytes,
        /// The keys.
        from: Vec<Bytes>,
    },
    /// When a key goes, as a point in time → [`Reply::ExpiresAt`].
    ExpiresAt {
        /// The key.
        key: Bytes,
    },
    /// All keys that match a glob → [`Reply::Page`] with cursor 0. Refused when there are too many to
    /// look at in one go.
    Keys {
        /// The glob.
        pattern: Bytes,
    },
    /// Any key from a place in the order of a walk on → [`Reply::Value`], the key.
    AnyKey {
        /// The place.
        cursor: u64,
    },
    /// Fingerprints of keys, for guards → [`Reply::Fingerprints`].
    Fingerprints {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// Several commands as one: nobody sees a state between them, and they are logged in one entry →
    /// [`Reply::Many`], or [`Reply::ConditionFailed`] if a guard does not hold any more. A command
    /// that is refused does not hold up the others.
    Transaction {
        /// What must hold.
        guards: Vec<Guard>,
        /// The commands; none of them a transaction, on sessions, or a mark.
        commands: Vec<Command>,
    },
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
            | Self::Mark
            | Self::PutMany { .. }
            | Self::Edit { .. }
            | Self::Copy { .. }
            | Self::CombineBits { .. } => true,
            Self::Transaction { commands, .. } => commands.iter().any(Self::is_write),
            Self::Get { .. }
            | Self::Exists { .. }
            | Self::Ttl { .. }
            | Self::Scan { .. }
            | Self::CountKeys
            | Self::GetMany { .. }
            | Self::ExpiresAt { .. }
            | Self::Keys { .. }
            | Self::AnyKey { .. }
            | Self::Fingerprints { .. } => false,
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
            Self::GetMany { .. } => "get-many",
            Self::PutMany { .. } => "put-many",
            Self::Edit { .. } => "edit",
            Self::Copy { .. } => "copy",
            Self::CombineBits { .. } => "combine-bits",
            Self::ExpiresAt { .. } => "expires-at",
            Self::Keys { .. } => "keys",
            Self::AnyKey { .. } => "any-key",
            Self::Fingerprints { .. } => "fingerprints",
            Self::Transaction { .. } => "transaction",
        }
    }

    /// The keys that the command names; of a transaction, those of its commands.
    pub fn keys(&self) -> Box<dyn Iterator<Item = &Bytes> + '_> {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Incr { key, .. }
            | Self::Ttl { key }
            | Self::Expire { key, .. }
            | Self::Persist { key }
            | Self::Edit { key, .. }
            | Self::ExpiresAt { key } => Box::new(std::iter::once(key)),
            Self::Delete { keys }
            | Self::Exists { keys }
            | Self::GetMany { keys }
            | Self::Fingerprints { keys } => Box::new(keys.iter()),
            Self::PutMany { pairs, .. } => Box::new(pairs.iter().map(|(key, _)| key)),
            Self::Copy { from, to, .. } => Box::new([from, to].into_iter()),
            Self::CombineBits { to, from, .. } => Box::new(std::iter::once(to).chain(from)),
            Self::Transaction { commands, .. } => Box::new(commands.iter().flat_map(Self::keys)),
            Self::Scan { .. }
            | Self::CountKeys
            | Self::Clear
            | Self::OpenSession
            | Self::EndSession { .. }
            | Self::Mark
            | Self::Keys { .. }
            | Self::AnyKey { .. } => Box::new(std::iter::empty()),
        }
    }

    /// Checks the limits on keys and values.
    ///
    /// # Errors
    /// The refusal that names the limit.
    pub fn check_limits(&self) -> Result<(), Refusal> {
        match self {
            // By far the most frequent: one key, perhaps a value.
            Self::Get { key } => check_key(key),
            Self::Put { key, value, .. } => check_key(key).and_then(|()| check_value(value)),
            Self::Edit { key, edit } => check_key(key).and_then(|()| check_edit(edit)),
            Self::PutMany { pairs, .. } => {
                check_count(pairs.len())?;
                pairs.iter().try_for_each(|(key, value)| {
                    check_key(key)?;
                    check_value(value)
                })
            }
            Self::Transaction { guards, commands } => check_transaction(guards, commands),
            command => {
                let mut count = 0;
                for key in command.keys() {
                    check_key(key)?;
                    count += 1;
                }
                check_count(count)
            }
        }
    }
}

fn check_transaction(guards: &[Guard], commands: &[Command]) -> Result<(), Refusal> {
    check_count(guards.len())?;
    check_count(commands.len())?;
    guards.iter().try_for_each(|guard| check_key(&guard.key))?;
    commands.iter().try_for_each(|command| match command {
        Command::Transaction { .. }
        | Command::OpenSession
        | Command::EndSession { .. }
        | Command::Mark => {
            let why = format!("'{}' cannot be part of a transaction", command.name());
            Err(Refusal::NotAllowed { why })
        }
        command => command.check_limits(),
    })
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count > KEYS_PER_REQUEST_MAX {
        return Err(Refusal::TooManyKeys {
            count: count as u64,
            max: KEYS_PER_REQUEST_MAX as u64,
        });
    }
    Ok(())
}

fn check_key(key: &Bytes) -> Result<(), Refusal> {
    if key.len() > KEY_MAX_BYTES {
        return Err(Refusal::KeyTooLong {
            bytes: key.len() as u64,
            max: KEY_MAX_BYTES as u64,
        });
    }
    Ok(())
}

fn check_value(value: &Bytes) -> Result<(), Refusal> {
    if value.len() > VALUE_MAX_BYTES {
        return Err(Refusal::ValueTooLong {
            bytes: value.len() as u64,
            max: VALUE_MAX_BYTES as u64,
        });
    }
    Ok(())
}

fn check_edit(edit: &Edit) -> Result<(), Refusal> {
    match edit {
        Edit::Set { value, .. } | Edit::Append(value) | Edit::Overwrite { part: value, .. } => {
            check_value(value)
        }
        Edit::BitFields(steps) => check_count(steps.len()),
        _ => Ok(()),
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

/// When a key goes, as [`Command::ExpiresAt`] answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpiresAt {
    /// There is no such key.
    NoKey,
    /// The key stays.
    Never,
    /// The key goes at this time.
    At(UnixMs),
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
    /// Values; none: no such key.
    Values(Vec<Option<Bytes>>),
    /// Numbers; none: it did not fit and was not changed.
    Numbers(Vec<Option<i64>>),
    /// When a key goes.
    ExpiresAt(ExpiresAt),
    /// Fingerprints.
    Fingerprints(Vec<Fingerprint>),
    /// The answer to each command of a transaction.
    Many(Vec<Result<Reply, Refusal>>),
}

impl Reply {
    /// About how many bytes the reply has when it is sent.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        const PART_BYTES: usize = 16;
        PART_BYTES
            + match self {
                Self::Value(value) => value.as_ref().map_or(0, Bytes::len),
                Self::Page { keys, .. } => keys.iter().map(|key| PART_BYTES + key.len()).sum(),
                Self::Values(values) => values
                    .iter()
                    .map(|value| PART_BYTES + value.as_ref().map_or(0, Bytes::len))
                    .sum(),
                Self::Numbers(numbers) => PART_BYTES * numbers.len(),
                Self::Fingerprints(prints) => PART_BYTES * prints.len(),
                Self::Many(replies) => replies
                    .iter()
                    .map(|reply| reply.as_ref().map_or(PART_BYTES, Self::weight_bytes))
                    .sum(),
                _ => 0,
            }
    }
}
