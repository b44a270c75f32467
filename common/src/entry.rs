//! The entries of the log, and their encoding byte by byte.
//!
//! ```text
//! entry   = length u32   bytes of the body
//!           body
//! body    = 0x01 request? count u32 change*       changes
//!         | 0x02                                  a session opens
//!         | 0x03 count u32 (epoch u64 seq u64)*   sessions end
//!         | 0x04                                  a mark
//! request = 0x00                                  none
//!         | 0x01 epoch u64 seq u64 number u64 floor u64 length u32 reply
//! change  = 0x01 key value                        put
//!         | 0x02 key value expires_at u64         put that expires
//!         | 0x03 key                              delete
//!         | 0x04 key expires_at u64               delete, because the time came
//!         | 0x05                                  clear
//! key, value = length u32, bytes
//! ```
//!
//! All numbers are little-endian. The position of an entry follows from its place in its batch.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::id::{Epoch, Position, RequestId, Seq, SessionId};
use crate::time::UnixMs;

/// What a command comes down to on one key: absolute, so that applying it twice is harmless and
/// replicas never execute a command again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value from now on.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// When the key is to go by itself, if ever.
        expires_at: Option<UnixMs>,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// The key is gone because its time came.
    Expire {
        /// The key.
        key: Bytes,
        /// The time that the primary found to be past.
        expires_at: UnixMs,
    },
    /// All keys are gone.
    Clear,
}

/// The client's request behind an entry, with the answer that a retry is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Session and number.
    pub id: RequestId,
    /// Up to where the client has its answers: records at or below it go.
    pub floor: u64,
    /// The reply, encoded; the log does not look into it.
    pub reply: Bytes,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryBody {
    /// Changes to the table, taken together or not at all.
    Changes {
        /// The request that asked for them; none for what the primary does by itself or for a
        /// client without a session.
        request: Option<RequestRecord>,
        /// In order.
        changes: Vec<Change>,
    },
    /// A session opens; its id is the position of this entry.
    OpenSession,
    /// Sessions end.
    EndSessions(Vec<SessionId>),
    /// Nothing changes: each copy notes its digest at this position.
    Mark,
}

/// One element of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What it does.
    pub body: EntryBody,
}

/// Bytes that are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The bytes end within an entry.
    #[error("an entry ends early")]
    Short,
    /// A tag that this version does not know.
    #[error("unknown tag {tag:#04x} in an entry")]
    UnknownTag {
        /// The tag.
        tag: u8,
    },
    /// Bytes are left over behind the last part of an entry.
    #[error("{left} bytes too many in an entry")]
    TooLong {
        /// How many.
        left: usize,
    },
}

const BODY_CHANGES: u8 = 1;
const BODY_OPEN_SESSION: u8 = 2;
const BODY_END_SESSIONS: u8 = 3;
const BODY_MARK: u8 = 4;

const CHANGE_PUT: u8 = 1;
const CHANGE_PUT_EXPIRING: u8 = 2;
const CHANGE_DELETE: u8 = 3;
const CHANGE_EXPIRE: u8 = 4;
const CHANGE_CLEAR: u8 = 5;

impl EntryBody {
    /// Appends the entry, with its length in front.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32_le(0);
        match self {
            Self::Changes { request, changes } => {
                out.put_u8(BODY_CHANGES);
                encode_request(request.as_ref(), out);
                out.put_u32_le(length(changes.len()));
                changes.iter().for_each(|change| change.encode(out));
            }
            Self::OpenSession => out.put_u8(BODY_OPEN_SESSION),
            Self::EndSessions(sessions) => {
                out.put_u8(BODY_END_SESSIONS);
                out.put_u32_le(length(sessions.len()));
                sessions.iter().for_each(|id| encode_session(*id, out));
            }
            Self::Mark => out.put_u8(BODY_MARK),
        }
        let body = length(out.len() - start - 4);
        out[start..start + 4].copy_from_slice(&body.to_le_bytes());
    }

    /// Takes the next entry off `input`. Keys and values are slices of it, not copies.
    ///
    /// # Errors
    /// When the bytes are not an entry; `input` is then of no further use.
    pub fn decode(input: &mut Bytes) -> Result<Self, EntryError> {
        let mut body = take_bytes(input)?;
        let entry = decode_body(&mut body)?;
        if body.has_remaining() {
            return Err(EntryError::TooLong {
                left: body.remaining(),
            });
        }
        Ok(entry)
    }
}

impl Change {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Put {
                key,
                value,
                expires_at,
            } => {
                let tag = match expires_at {
                    None => CHANGE_PUT,
                    Some(_) => CHANGE_PUT_EXPIRING,
                };
                out.put_u8(tag);
                put_bytes(key, out);
                put_bytes(value, out);
                if let Some(at) = expires_at {
                    out.put_u64_le(at.0);
                }
            }
            Self::Delete { key } => {
                out.put_u8(CHANGE_DELETE);
                put_bytes(key, out);
            }
            Self::Expire { key, expires_at } => {
                out.put_u8(CHANGE_EXPIRE);
                put_bytes(key, out);
                out.put_u64_le(expires_at.0);
            }
            Self::Clear => out.put_u8(CHANGE_CLEAR),
        }
    }

    fn decode(input: &mut Bytes) -> Result<Self, EntryError> {
        match take_u8(input)? {
            CHANGE_PUT => Ok(Self::Put {
                key: take_bytes(input)?,
                value: take_bytes(input)?,
                expires_at: None,
            }),
            CHANGE_PUT_EXPIRING => Ok(Self::Put {
                key: take_bytes(input)?,
                value: take_bytes(input)?,
                expires_at: Some(UnixMs(take_u64(input)?)),
            }),
            CHANGE_DELETE => Ok(Self::Delete {
                key: take_bytes(input)?,
            }),
            CHANGE_EXPIRE => Ok(Self::Expire {
                key: take_bytes(input)?,
                expires_at: UnixMs(take_u64(input)?),
            }),
            CHANGE_CLEAR => Ok(Self::Clear),
            tag => Err(EntryError::UnknownTag { tag }),
        }
    }
}

fn decode_body(input: &mut Bytes) -> Result<EntryBody, EntryError> {
    match take_u8(input)? {
        BODY_CHANGES => {
            let request = decode_request(input)?;
            let count = take_u32(input)?;
            let changes = take_many(input, count, Change::decode)?;
            Ok(EntryBody::Changes { request, changes })
        }
        BODY_OPEN_SESSION => Ok(EntryBody::OpenSession),
        BODY_END_SESSIONS => {
            let count = take_u32(input)?;
            Ok(EntryBody::EndSessions(take_many(
                input,
                count,
                decode_session,
            )?))
        }
        BODY_MARK => Ok(EntryBody::Mark),
        tag => Err(EntryError::UnknownTag { tag }),
    }
}

fn encode_request(request: Option<&RequestRecord>, out: &mut BytesMut) {
    let Some(request) = request else {
        out.put_u8(0);
        return;
    };
    out.put_u8(1);
    encode_session(request.id.session, out);
    out.put_u64_le(request.id.number);
    out.put_u64_le(request.floor);
    put_bytes(&request.reply, out);
}

fn decode_request(input: &mut Bytes) -> Result<Option<RequestRecord>, EntryError> {
    match take_u8(input)? {
        0 => Ok(None),
        1 => Ok(Some(RequestRecord {
            id: RequestId {
                session: decode_session(input)?,
                number: take_u64(input)?,
            },
            floor: take_u64(input)?,
            reply: take_bytes(input)?,
        })),
        tag => Err(EntryError::UnknownTag { tag }),
    }
}

fn encode_session(session: SessionId, out: &mut BytesMut) {
    out.put_u64_le(session.0.epoch.0);
    out.put_u64_le(session.0.seq.0);
}

fn decode_session(input: &mut Bytes) -> Result<SessionId, EntryError> {
    Ok(SessionId(Position {
        epoch: Epoch(take_u64(input)?),
        seq: Seq(take_u64(input)?),
    }))
}

/// Takes `count` items. Reserves nothing for a count that the bytes cannot hold.
fn take_many<T>(
    input: &mut Bytes,
    count: u32,
    mut take: impl FnMut(&mut Bytes) -> Result<T, EntryError>,
) -> Result<Vec<T>, EntryError> {
    let count = count as usize;
    if count > input.remaining() {
        return Err(EntryError::Short);
    }
    let mut items = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        items.push(take(input)?);
    }
    Ok(items)
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32_le(length(bytes.len()));
    out.put_slice(bytes);
}

fn take_bytes(input: &mut Bytes) -> Result<Bytes, EntryError> {
    let length = take_u32(input)? as usize;
    if input.remaining() < length {
        return Err(EntryError::Short);
    }
    Ok(input.split_to(length))
}

fn take_u8(input: &mut Bytes) -> Result<u8, EntryError> {
    input.try_get_u8().map_err(|_| EntryError::Short)
}

fn take_u32(input: &mut Bytes) -> Result<u32, EntryError> {
    input.try_get_u32_le().map_err(|_| EntryError::Short)
}

fn take_u64(input: &mut Bytes) -> Result<u64, EntryError> {
    input.try_get_u64_le().map_err(|_| EntryError::Short)
}

/// A length that the limits keep far below 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Change, EntryBody, EntryError, RequestRecord};
    use crate::id::{Epoch, Position, RequestId, Seq, SessionId};
    use crate::time::UnixMs;
    use bytes::{Bytes, BytesMut};

    fn samples() -> Vec<EntryBody> {
        let session = SessionId(Position {
            epoch: Epoch(3),
            seq: Seq(17),
        });
        vec![
            EntryBody::Changes {
                request: Some(RequestRecord {
                    id: RequestId { session, number: 4 },
                    floor: 2,
                    reply: Bytes::from_static(b"ok"),
                }),
                changes: vec![
                    Change::Put {
                        key: Bytes::from_static(b"k"),
                        value: Bytes::from_static(b""),
                        expires_at: None,
                    },
                    Change::Put {
                        key: Bytes::new(),
                        value: Bytes::from_static(b"\xff\x00"),
                        expires_at: Some(UnixMs(9)),
                    },
                    Change::Delete {
                        key: Bytes::from_static(b"gone"),
                    },
                    Change::Expire {
                        key: Bytes::from_static(b"late"),
                        expires_at: UnixMs(7),
                    },
                    Change::Clear,
                ],
            },
            EntryBody::OpenSession,
            EntryBody::EndSessions(vec![session]),
            EntryBody::Mark,
        ]
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let mut out = BytesMut::new();
        for body in samples() {
            body.encode(&mut out);
        }
        let mut input = out.freeze();
        for body in samples() {
            assert_eq!(EntryBody::decode(&mut input), Ok(body));
        }
        assert!(input.is_empty());
    }

    #[test]
    fn every_cut_is_an_error() {
        for body in samples() {
            let mut out = BytesMut::new();
            body.encode(&mut out);
            let whole = out.freeze();
            for end in 0..whole.len() {
                let mut cut = whole.slice(..end);
                assert_eq!(EntryBody::decode(&mut cut), Err(EntryError::Short));
            }
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_reserves_nothing() {
        let mut bytes = Bytes::from_static(b"\x06\0\0\0\x01\0\xff\xff\xff\xff");
        assert_eq!(EntryBody::decode(&mut bytes), Err(EntryError::Short));
    }
}
