//! Retry records: what makes a request take effect once, however often it is sent.
//!
//! A session is opened by a logged entry and known by that entry's position. Each logged request
//! leaves its number with the place of its entry and the reply. The client's floor, which comes
//! with each request, says up to where it has its answers; records up to there go.
//!
//! Sessions are part of the replicated state, and are stored one by one:
//!
//! ```text
//! session = version u8, 1
//!           floor   u64
//!           count   u32
//!           (number u64  seq u64  length u32  reply)*    numbers ascending, above the floor
//! ```
//!
//! All numbers are little-endian.

mod room;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kv_common::entry::{Entry, EntryBody, RequestRecord};
use kv_common::id::{RequestId, Seq, SessionId};
use kv_common::limits::SESSION_WINDOW;

const VERSION: u8 = 1;
const RECORD_HEAD_BYTES: usize = 20;
/// What a record takes of the memory beside its reply, about.
const RECORD_MEMORY_BYTES: u64 = 96;

/// All sessions of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    /// What the records of all sessions take of the memory.
    kept_bytes: u64,
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session {
    floor: u64,
    /// By number, ascending, all above the floor. A client numbers its requests upwards, so new
    /// ones go to the end, as a rule.
    records: VecDeque<AnsweredRequest>,
    /// What the records take of the memory.
    kept_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AnsweredRequest {
    number: u64,
    seq: Seq,
    reply: Bytes,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// There is no such session.
    Unknown,
    /// The client has said that it has the answer.
    BelowFloor {
        /// Up to where it has its answers.
        floor: u64,
    },
    /// The number is more than [`SESSION_WINDOW`] above the floor.
    BeyondWindow {
        /// Up to where the client has its answers.
        floor: u64,
    },
    /// The request took effect.
    Answered {
        /// The entry with its changes.
        seq: Seq,
        /// The reply, encoded.
        reply: Bytes,
    },
    /// The session is open and the request has left no record in it.
    New,
}

/// Bytes that are not a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionDecodeError {
    /// The bytes end within a session.
    #[error("a stored session ends early")]
    Short,
    /// Written by a version of the program that this one does not know.
    #[error("a stored session has format version {version}; this program knows version {VERSION}")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// A number that is not above the floor and the numbers before it.
    #[error("request {number} of a stored session is out of order")]
    OutOfOrder {
        /// The number.
        number: u64,
    },
    /// Bytes are left over behind the last record.
    #[error("{left} bytes too many in a stored session")]
    TooLong {
        /// How many.
        left: usize,
    },
}

impl Sessions {
    /// No sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The open sessions, in order.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.by_id.keys().copied()
    }

    /// Whether a session is open.
    #[must_use]
    pub fn contains(&self, id: SessionId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Takes in what a committed entry does to sessions. What names a session that is not open is
    /// passed over: the session has ended since.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.body {
            EntryBody::OpenSession => {
                let id = SessionId(entry.position);
                self.put(id, Session::default());
            }
            EntryBody::EndSessions(ids) => {
                for id in ids {
                    self.remove(id);
                }
            }
            EntryBody::Changes {
                request: Some(request),
                ..
            } => {
                if let Some(session) = self.by_id.get_mut(&request.id.session) {
                    self.kept_bytes -= session.kept_bytes;
                    session.record(entry.position.seq, request);
                    self.kept_bytes += session.kept_bytes;
                }
            }
            EntryBody::Changes { request: None, .. } | EntryBody::Mark => {}
        }
    }

    /// What is known of a request of a client that has its answers up to `client_floor`.
    #[must_use]
    pub fn look_up(&self, id: RequestId, client_floor: u64) -> LookUp {
        let Some(session) = self.by_id.get(&id.session) else {
            return LookUp::Unknown;
        };
        let floor = session.floor;
        if id.number <= floor {
            return LookUp::BelowFloor { floor };
        }
        match session.place_of(id.number) {
            Ok(index) => {
                let record = &session.records[index];
                LookUp::Answered {
                    seq: record.seq,
                    reply: record.reply.clone(),
                }
            }
            Err(_) => {
                // The client's own word counts too: it is recorded together with the request.
                let floor = floor.max(client_floor);
                if id.number.saturating_sub(floor) > SESSION_WINDOW {
                    LookUp::BeyondWindow { floor }
                } else {
                    LookUp::New
                }
            }
        }
    }

    /// A session as bytes, to be stored; none if it is not open.
    #[must_use]
    pub fn encode(&self, id: SessionId) -> Option<Bytes> {
        self.by_id.get(&id).map(Session::encode)
    }

    /// Takes in a stored session, in place of one with the same id.
    ///
    /// # Errors
    /// When the bytes are not a session. Nothing is changed then.
    pub fn load(&mut self, id: SessionId, encoded: &[u8]) -> Result<(), SessionDecodeError> {
        let session = Session::decode(encoded)?;
        self.put(id, session);
        Ok(())
    }

    fn put(&mut self, id: SessionId, session: Session) {
        self.remove(&id);
        self.kept_bytes += session.kept_bytes;
        self.by_id.insert(id, session);
    }

    fn remove(&mut self, id: &SessionId) {
        if let Some(session) = self.by_id.remove(id) {
            self.kept_bytes -= session.kept_bytes;
        }
    }
}

impl Session {
    fn record(&mut self, seq: Seq, request: &RequestRecord) {
        self.floor = self.floor.max(request.floor);
        while let Some(first) = self.records.front()
            && first.number <= self.floor
        {
            self.kept_bytes -= kept_bytes(&first.reply);
            self.records.pop_front();
        }
        let number = request.id.number;
        if number <= self.floor {
            return;
        }
        // The reply is a slice of the batch it came in, and must not keep all of that in memory.
        let reply = Bytes::copy_from_slice(&request.reply);
        let record = AnsweredRequest { number, seq, reply };
        self.kept_bytes += kept_bytes(&record.reply);
        match self.place_of(number) {
            Ok(index) => {
                self.kept_bytes -= kept_bytes(&self.records[index].reply);
                self.records[index] = record;
            }
            Err(index) => self.records.insert(index, record),
        }
    }

    fn place_of(&self, number: u64) -> Result<usize, usize> {
        if self.records.back().is_none_or(|last| last.number < number) {
            return Err(self.records.len());
        }
        self.records
            .binary_search_by_key(&number, |record| record.number)
    }

    fn encode(&self) -> Bytes {
        let replies: usize = self.records.iter().map(|record| record.reply.len()).sum();
        let records = self.records.len() * RECORD_HEAD_BYTES;
        let mut out = BytesMut::with_capacity(13 + records + replies);
        out.put_u8(VERSION);
        out.put_u64_le(self.floor);
        out.put_u32_le(self.records.len() as u32);
        for record in &self.records {
            out.put_u64_le(record.number);
            out.put_u64_le(record.seq.0);
            out.put_u32_le(record.reply.len() as u32);
            out.put_slice(&record.reply);
        }
        out.freeze()
    }

    fn decode(mut input: &[u8]) -> Result<Self, SessionDecodeError> {
        let short = |_| SessionDecodeError::Short;
        let version = input.try_get_u8().map_err(short)?;
        if version != VERSION {
            return Err(SessionDecodeError::UnknownVersion { version });
        }
        let floor = input.try_get_u64_le().map_err(short)?;
        let count = input.try_get_u32_le().map_err(short)? as usize;
        // Reserves nothing for a count that the bytes cannot hold.
        if input.remaining() / RECORD_HEAD_BYTES < count {
            return Err(SessionDecodeError::Short);
        }
        let mut records = VecDeque::with_capacity(count);
        let mut kept = 0;
        let mut last_number = floor;
        for _ in 0..count {
            let number = input.try_get_u64_le().map_err(short)?;
            let seq = Seq(input.try_get_u64_le().map_err(short)?);
            let length = input.try_get_u32_le().map_err(short)? as usize;
            let Some((reply, rest)) = input.split_at_checked(length) else {
                return Err(SessionDecodeError::Short);
            };
            if number <= last_number {
                return Err(SessionDecodeError::OutOfOrder { number });
            }
            last_number = number;
            input = rest;
            let reply = Bytes::copy_from_slice(reply);
            kept += kept_bytes(&reply);
            records.push_back(AnsweredRequest { number, seq, reply });
        }
        if input.has_remaining() {
            let left = input.remaining();
            return Err(SessionDecodeError::TooLong { left });
        }
        Ok(Self {
            floor,
            records,
            kept_bytes: kept,
        })
    }
}

/// What a record with this reply takes of the memory.
fn kept_bytes(reply: &Bytes) -> u64 {
    RECORD_MEMORY_BYTES + reply.len() as u64
}

#[cfg(test)]
mod tests;
