//! What the records of all sessions may take of the memory. Only the primary asks, before it logs a
//! request: what is logged is recorded at every copy alike, however much that is.

use kv_common::entry::RequestRecord;
use kv_common::limits::{SESSION_REPLIES_MAX_BYTES, SHARD_REPLIES_MAX_BYTES};
use kv_common::refusal::Refusal;

use super::{Sessions, kept_bytes};

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
struct Room {
    session_bytes: u64,
    shard_bytes: u64,
}

const ROOM: Room = Room {
    session_bytes: SESSION_REPLIES_MAX_BYTES,
    shard_bytes: SHARD_REPLIES_MAX_BYTES,
};

impl Sessions {
    /// Whether the record of a new request may be kept. What is logged and not applied yet is not
    /// counted, so that the bounds may be exceeded by as much as may wait.
    ///
    /// # Errors
    /// Which bound it would exceed. What it frees, because its floor passes other records, counts.
    pub fn check_room(&self, record: &RequestRecord) -> Result<(), Refusal> {
        self.check_room_within(ROOM, record)
    }

    fn check_room_within(&self, room: Room, record: &RequestRecord) -> Result<(), Refusal> {
        let Some(session) = self.by_id.get(&record.id.session) else {
            return Ok(());
        };
        let number = record.id.number;
        let floor = session.floor.max(record.floor);
        let added = kept_bytes(&record.reply);
        let passed = session
            .records
            .iter()
            .take_while(|kept| kept.number <= floor);
        let freed: u64 = passed.map(|kept| kept_bytes(&kept.reply)).sum();
        let left = session.kept_bytes - freed;
        // The floor cannot pass the lowest request that has no answer, so that one must not wait for
        // the floor; and one reply is always small enough.
        let may_wait = left > 0 && number > floor.saturating_add(1);
        if may_wait && left + added > room.session_bytes {
            // As far as the session can go for now.
            let window = number - floor - 1;
            return Err(Refusal::BeyondWindow {
                number,
                floor,
                window,
            });
        }
        if added > freed && self.kept_bytes - freed + added > room.shard_bytes {
            let waiting_bytes = self.kept_bytes;
            return Err(Refusal::Overloaded { waiting_bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
