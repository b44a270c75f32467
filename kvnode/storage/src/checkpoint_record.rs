//! The records of a checkpoint.
//!
//! ```text
//! 'c'                        → highest expiry decided in the log, u64
//! 'd' key                    → 0x00 value, or 0x01 expires_at u64 value
//! 'm'                        → the mark, MessagePack
//! 's' epoch u64, seq u64     → a session, as kvnode_core::state encodes it
//! ```
//!
//! Numbers in keys are big-endian, in values little-endian. A copy carries all but the mark.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kv_common::history::History;
use kv_common::id::{Epoch, Position, Seq, SessionId};
use kv_common::message::control::DataSummary;
use kv_common::time::UnixMs;
use serde::{Deserialize, Serialize};

/// Where the expiry clock is.
pub(crate) const CLOCK_KEY: &[u8] = b"c";
/// Where keys and values are.
pub(crate) const DATA_PREFIX: &[u8] = b"d";
/// Where the mark is.
pub(crate) const MARK_KEY: &[u8] = b"m";
/// Where sessions are.
pub(crate) const SESSION_PREFIX: &[u8] = b"s";

/// What the other records stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointMark {
    /// The history up to the last entry that is in the records as a whole.
    pub(crate) history: History,
    /// Some keys may have values of entries up to here: a round of writes was under way.
    pub(crate) ahead: Option<Seq>,
    /// Why the records must not be taken for the node's data.
    pub(crate) unfit: Option<String>,
    /// What was imported as the base, and whether its file was renamed.
    pub(crate) import: Option<ImportMark>,
}

/// An import that made the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportMark {
    /// What was imported.
    pub(crate) summary: DataSummary,
    /// Whether the file was renamed.
    pub(crate) renamed: bool,
}

impl CheckpointMark {
    pub(crate) fn new(history: History) -> Self {
        Self {
            history,
            ahead: None,
            unfit: None,
            import: None,
        }
    }
}

/// A value with its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredValue {
    pub(crate) value: Bytes,
    pub(crate) expires_at: Option<UnixMs>,
}

/// The record key of a key.
pub(crate) fn data_key(key: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + key.len());
    put_data_key(&mut out, key);
    out.freeze()
}

/// Appends the record key of a key.
pub(crate) fn put_data_key(out: &mut impl BufMut, key: &[u8]) {
    out.put_slice(DATA_PREFIX);
    out.put_slice(key);
}

/// The record key of a session.
pub(crate) fn session_key(id: SessionId) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    out.put_slice(SESSION_PREFIX);
    out.put_u64(id.0.epoch.0);
    out.put_u64(id.0.seq.0);
    out.freeze()
}

/// The session that a record key names.
pub(crate) fn decode_session_key(key: &[u8]) -> Option<SessionId> {
    let mut rest = key.strip_prefix(SESSION_PREFIX)?;
    let id = SessionId(Position {
        epoch: Epoch(rest.try_get_u64().ok()?),
        seq: Seq(rest.try_get_u64().ok()?),
    });
    rest.is_empty().then_some(id)
}

pub(crate) fn encode_value(value: &[u8], expires_at: Option<UnixMs>) -> Bytes {
    let mut out = Vec::new();
    encode_value_into(&mut out, value, expires_at);
    out.into()
}

/// Makes `out` the record of a value.
pub(crate) fn encode_value_into(out: &mut Vec<u8>, value: &[u8], expires_at: Option<UnixMs>) {
    out.clear();
    out.reserve_exact(value.len() + expires_at.map_or(1, |_| 9));
    match expires_at {
        None => out.put_u8(0),
        Some(at) => {
            out.put_u8(1);
            out.put_u64_le(at.0);
        }
    }
    out.put_slice(value);
}

pub(crate) fn decode_value(mut record: Bytes) -> Option<StoredValue> {
    let expires_at = match record.try_get_u8().ok()? {
        0 => None,
        1 => Some(UnixMs(record.try_get_u64_le().ok()?)),
        _ => return None,
    };
    Some(StoredValue {
        value: record,
        expires_at,
    })
}

pub(crate) fn encode_clock(clock: UnixMs) -> Bytes {
    Bytes::copy_from_slice(&clock.0.to_le_bytes())
}

pub(crate) fn decode_clock(record: &[u8]) -> Option<UnixMs> {
    Some(UnixMs(u64::from_le_bytes(record.try_into().ok()?)))
}
