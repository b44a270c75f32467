//! What the core's answer becomes.

use std::borrow::Cow;

use bytes::Bytes;
use kv_common::command::{ExpiresAt, KeyExpiry, Reply};
use kv_common::edit::BitField;
use kv_common::refusal::Refusal;
use kv_common::value_digest::value_digest;
use kv_resp::{Value, integer};

use crate::action::Action;
use crate::bits::{BitRange, bit_count, bit_position, get_bit, read_field};
use crate::dump::packed;
use crate::fault::refused;
use crate::host::NodeFacts;
use crate::strings::{LcsOptions, longest_common_subsequence, sub_range};

/// The longest value that Redis keeps in one allocation with its key.
const EMBEDDED_MAX_BYTES: usize = 44;
/// What a key takes beside its name and its value.
const KEY_OVERHEAD_BYTES: usize = 40;

/// What the core's answer becomes.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Each kind of answer in the form that is nearest to it.
    Plain,
    /// 1 for done, 0 for a condition that failed.
    OneIfDone,
    /// What RENAME answers.
    Renamed,
    /// What RENAMENX answers.
    RenamedIfAbsent,
    /// What COPY answers.
    Copied,
    /// Like [`Self::Plain`], and nothing for a count of 0.
    NullIfZero,
    /// The length of a value.
    Length,
    /// A part of a value.
    Range {
        /// The first byte; negative: from the end.
        start: i64,
        /// The last one.
        end: i64,
    },
    /// One bit of a value.
    Bit {
        /// Which.
        offset: u64,
    },
    /// How many bits are set.
    BitCount(BitRange),
    /// Where the first such bit is.
    BitPosition {
        /// The bit.
        bit: bool,
        /// Where to look.
        range: BitRange,
    },
    /// Numbers within a value.
    BitFields(Vec<BitField>),
    /// What two values have in common.
    LongestCommon(LcsOptions),
    /// `string`, or `none`.
    Type,
    /// When it goes, in milliseconds from now.
    TtlMs,
    /// In seconds.
    TtlSeconds,
    /// As a point in time, in milliseconds.
    ExpiresAtMs,
    /// In seconds.
    ExpiresAtSeconds,
    /// A cursor and keys.
    Page,
    /// Keys alone.
    PageKeys,
    /// A cursor, and no keys, for there are none of the type that was asked for.
    EmptyPage,
    /// How Redis would keep the value.
    Encoding,
    /// About how much memory key and value take.
    Memory {
        /// The length of the key.
        key_bytes: usize,
    },
    /// The value in the form of DUMP.
    Dump,
    /// The digest of the value, in 16 hexadecimal digits.
    Digest,
    /// What RESTORE answers.
    Restored,
    /// How many copies hold all that was written, as [`copies`] says.
    Copies {
        /// Whether the disks are asked about, this node's among them.
        on_disk: bool,
    },
    /// This, if there is such a key.
    IfThere(Value),
    /// Fingerprints that guard these keys from now on.
    Watch(Vec<Bytes>),
    /// What becomes of each command of a transaction.
    Transaction(Vec<Piece>),
}

/// One command of a transaction.
#[derive(Clone, Debug)]
pub enum Piece {
    /// It needed no key.
    Answered(Value),
    /// It does something to the node, once the transaction is done.
    Act(Action),
    /// The core executed it.
    Asked {
        /// What its answer becomes.
        shape: Shape,
        /// Whether it may write.
        writes: bool,
    },
}

impl Piece {
    /// About how many bytes the answer takes, if it is there.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Answered(value) => value.weight_bytes(),
            Self::Act(_) | Self::Asked { .. } => 0,
        }
    }
}

/// What WAIT and WAITAOF answer once everything that was written before is committed: how many other
/// copies hold it.
#[must_use]
pub fn copies(facts: &NodeFacts, on_disk: bool) -> Value {
    let others = Value::count(facts.copies_in_step);
    match (on_disk, facts.flushes_always) {
        (false, _) => others,
        (true, true) => Value::Array(vec![Value::Integer(1), others]),
        (true, false) => Value::Array(vec![Value::Integer(0), Value::Integer(0)]),
    }
}

/// What a client is told.
pub(crate) fn shaped(shape: &Shape, result: Result<Reply, Refusal>, writes: bool) -> Value {
    match result {
        Ok(reply) => shape.value(reply),
        Err(refusal) => match shape {
            Shape::Transaction(_) => {
                let error = refused(&refusal, writes);
                match (refusal, error) {
                    (Refusal::OutcomeUnknown, error) => error,
                    (_, Value::Error(text)) => Value::error(format!(
                        "EXECABORT Transaction discarded because of: {text}"
                    )),
                    (_, other) => other,
                }
            }
            _ => refused(&refusal, writes),
        },
    }
}

impl Shape {
    /// Whether the answer is made anew from values of any length, and shares no memory with them.
    #[must_use]
    pub fn makes_bytes(&self) -> bool {
        match self {
            Self::Dump | Self::LongestCommon(_) => true,
            Self::Transaction(pieces) => pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Asked { shape, .. } if shape.makes_bytes())),
            _ => false,
        }
    }

    /// Whether a value of any length is gone through for the answer, which takes its time.
    #[must_use]
    pub fn goes_through_values(&self) -> bool {
        matches!(
            self,
            Self::BitCount(_) | Self::BitPosition { .. } | Self::Digest
        )
    }

    fn value(&self, reply: Reply) -> Value {
        match (self, reply) {
            (Self::OneIfDone, reply) => Value::Integer((reply == Reply::Done).into()),
            (Self::Renamed | Self::RenamedIfAbsent, Reply::ConditionFailed) => {
                Value::error("ERR no such key")
            }
            (Self::Renamed, _) => Value::OK,
            (Self::Restored, Reply::ConditionFailed) => {
                Value::error("BUSYKEY Target key name already exists.")
            }
            (Self::Copied, Reply::ConditionFailed) => Value::Integer(0),
            (Self::NullIfZero | Self::IfThere(_), Reply::Count(0)) => Value::Null,
            (Self::IfThere(value), Reply::Count(_)) => value.clone(),
            (Self::Type, Reply::Count(count)) => {
                Value::Status(Cow::Borrowed(if count > 0 { "string" } else { "none" }))
            }
            (Self::TtlMs, Reply::Expiry(expiry)) => Value::Integer(ttl_ms(expiry)),
            (Self::TtlSeconds, Reply::Expiry(expiry)) => Value::Integer(match ttl_ms(expiry) {
                ms @ ..0 => ms,
                ms => ms.saturating_add(500) / 1000,
            }),
            (Self::ExpiresAtMs, Reply::ExpiresAt(at)) => Value::Integer(expires_at_ms(at)),
            (Self::ExpiresAtSeconds, Reply::ExpiresAt(at)) => {
                Value::Integer(match expires_at_ms(at) {
                    ms @ ..0 => ms,
                    ms => ms.saturating_add(500) / 1000,
                })
            }
            (Self::Page, Reply::Page { cursor, keys }) => page(cursor, keys),
            (Self::EmptyPage, Reply::Page { cursor, .. }) => page(cursor, Vec::new()),
            (Self::PageKeys, Reply::Page { keys, .. }) => {
                Value::Array(keys.into_iter().map(Value::Bulk).collect())
            }
            (Self::Transaction(pieces), Reply::Many(replies)) => transaction(pieces, replies),
            (Self::Transaction(_), _) => Value::NullArray,
            (Self::Watch(_), _) => Value::OK,
            (Self::LongestCommon(options), Reply::Values(values)) => {
                longest_common_subsequence(options, &values)
            }
            (shape, Reply::Value(value)) => shape.of_value(value),
            (_, reply) => plain(reply),
        }
    }

    /// What becomes of one key's value.
    fn of_value(&self, value: Option<Bytes>) -> Value {
        let bytes = value.as_ref().map_or(&[][..], |value| &value[..]);
        match self {
            Self::Length => Value::count(bytes.len() as u64),
            Self::Range { start, end } => {
                let range = sub_range(bytes.len(), *start, *end);
                Value::Bulk(value.map_or_else(Bytes::new, |value| value.slice(range)))
            }
            Self::Bit { offset } => Value::Integer(get_bit(bytes, *offset).into()),
            Self::BitCount(range) => Value::count(bit_count(bytes, range)),
            Self::BitPosition { bit, range } => {
                Value::Integer(bit_position(value.as_deref(), *bit, range))
            }
            Self::BitFields(fields) => {
                let number = |field: &BitField| Value::Integer(read_field(bytes, field));
                Value::Array(fields.iter().map(number).collect())
            }
            Self::Dump => Value::bulk_or_null(value.map(|value| packed(&value))),
            Self::Digest if value.is_some() => Value::bulk(format!("{:016x}", value_digest(bytes))),
            Self::Encoding if value.is_some() => Value::bulk(encoding(bytes)),
            Self::Memory { key_bytes } if value.is_some() => {
                Value::count((key_bytes + bytes.len() + KEY_OVERHEAD_BYTES) as u64)
            }
            _ => Value::bulk_or_null(value),
        }
    }
}

fn plain(reply: Reply) -> Value {
    match reply {
        Reply::Done => Value::OK,
        Reply::ConditionFailed => Value::Null,
        Reply::Value(value) => Value::bulk_or_null(value),
        Reply::Count(count) => Value::count(count),
        Reply::Integer(number) => Value::Integer(number),
        Reply::Values(values) => {
            Value::Array(values.into_iter().map(Value::bulk_or_null).collect())
        }
        Reply::Numbers(numbers) => Value::Array(
            numbers
                .into_iter()
                .map(|number| number.map_or(Value::Null, Value::Integer))
                .collect(),
        ),
        Reply::Expiry(expiry) => Value::Integer(ttl_ms(expiry)),
        Reply::ExpiresAt(at) => Value::Integer(expires_at_ms(at)),
        Reply::Page { cursor, keys } => page(cursor, keys),
        // No command of the table asks for these.
        Reply::SessionOpened(_) | Reply::Marked(_) | Reply::Fingerprints(_) | Reply::Many(_) => {
            Value::error("ERR the answer has no form in this protocol")
        }
    }
}

fn page(cursor: u64, keys: Vec<Bytes>) -> Value {
    Value::Array(vec![
        Value::bulk(cursor.to_string()),
        Value::Array(keys.into_iter().map(Value::Bulk).collect()),
    ])
}

fn transaction(pieces: &[Piece], replies: Vec<Result<Reply, Refusal>>) -> Value {
    let mut replies = replies.into_iter();
    let values = pieces.iter().map(|piece| match piece {
        Piece::Answered(value) => value.clone(),
        Piece::Act(_) => Value::error("ERR the node did not do what the command asks for"),
        Piece::Asked { shape, writes } => match replies.next() {
            Some(result) => shaped(shape, result, *writes),
            None => Value::error("ERR the transaction has fewer answers than commands"),
        },
    });
    Value::Array(values.collect())
}

fn ttl_ms(expiry: KeyExpiry) -> i64 {
    match expiry {
        KeyExpiry::NoKey => -2,
        KeyExpiry::Never => -1,
        KeyExpiry::InMs(ms) => i64::try_from(ms).unwrap_or(i64::MAX),
    }
}

fn expires_at_ms(at: ExpiresAt) -> i64 {
    match at {
        ExpiresAt::NoKey => -2,
        ExpiresAt::Never => -1,
        ExpiresAt::At(at) => i64::try_from(at.0).unwrap_or(i64::MAX),
    }
}

/// How Redis keeps such a value.
fn encoding(value: &[u8]) -> &'static str {
    if integer(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_MAX_BYTES {
        "embstr"
    } else {
        "raw"
    }
}
