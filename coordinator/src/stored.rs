//! What the coordinator remembers, on the disk: one record for the state, one for each event.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use coordinator_core::cluster_state::ClusterState;
use kv_common::message::registry::Event;
use kv_store::{DurableMap, Store, StoreError, StoreOptions, WriteBatch, scan_all};

const STATE: &[u8] = b"state";
/// Before the number of an event, the most significant byte first.
const EVENT: u8 = b'e';
/// The newest events that are kept.
pub(crate) const EVENTS_KEPT: u64 = 10_000;
/// The state is small.
const CACHE_BYTES: u64 = 8 << 20;

/// Why what is remembered cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that makes no sense.
    #[error(
        "{}: the record of {what} cannot be read: {cause}; restore the data directory from a backup",
        path.display()
    )]
    Unreadable {
        /// The store.
        path: PathBuf,
        /// Which record.
        what: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// A value that no record can hold.
    #[error("a record cannot be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

/// What was remembered.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// None at the first start.
    pub(crate) state: Option<ClusterState>,
    /// The newest, oldest first.
    pub(crate) events: VecDeque<Event>,
}

/// Opens the store in `path` and reads what it holds.
pub(crate) fn open(path: &Path) -> Result<(Store, Remembered), StoredError> {
    let options = StoreOptions {
        cache_bytes: CACHE_BYTES,
    };
    let store = Store::open(path, options)?;
    let remembered = read(&store, path)?;
    Ok((store, remembered))
}

fn read(store: &dyn DurableMap, path: &Path) -> Result<Remembered, StoredError> {
    let unreadable = |what| {
        move |cause: rmp_serde::decode::Error| StoredError::Unreadable {
            path: path.to_owned(),
            what,
            cause: cause.to_string(),
        }
    };
    let state = store.get(STATE)?;
    let state = state
        .map(|record| rmp_serde::from_slice(&record))
        .transpose()
        .map_err(unreadable("the cluster"))?;
    let mut events = VecDeque::new();
    scan_all(store, &[EVENT], |(_, record)| {
        let event = rmp_serde::from_slice(&record).map_err(unreadable("an event"))?;
        events.push_back(event);
        Ok::<(), StoredError>(())
    })?;
    Ok(Remembered { state, events })
}

/// Writes the state and new events in one step, and removes events that are too old.
pub(crate) fn write(
    store: &mut dyn DurableMap,
    state: &ClusterState,
    events: &[Event],
) -> Result<(), StoredError> {
    let mut batch = WriteBatch::new();
    batch.put(STATE, rmp_serde::to_vec_named(state)?);
    for event in events {
        batch.put(event_key(event.number), rmp_serde::to_vec_named(event)?);
        if let Some(old) = event.number.checked_sub(EVENTS_KEPT) {
            batch.delete(event_key(old));
        }
    }
    Ok(store.apply(batch)?)
}

fn event_key(number: u64) -> Vec<u8> {
    let mut key = vec![EVENT];
    key.extend(number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::{EVENTS_KEPT, read, write};
    use coordinator_core::cluster_state::{ClusterState, Command};
    use kv_common::id::{ClusterId, Epoch};
    use kv_common::message::registry::Event;
    use kv_common::time::UnixMs;
    use kv_store::MemoryStore;
    use std::path::Path;

    fn event(number: u64) -> Event {
        Event {
            number,
            at: UnixMs(1),
            epoch: Epoch(3),
            rule: "failover".to_owned(),
            what: format!("decision {number}"),
        }
    }

    #[test]
    fn what_was_written_is_remembered_and_the_oldest_events_go() {
        let mut store = MemoryStore::new();
        let empty = read(&store, Path::new("here")).expect("reads");
        assert!(empty.state.is_none() && empty.events.is_empty());

        let mut state = ClusterState::new(ClusterId(7));
        let events: Vec<Event> = (1..=EVENTS_KEPT).map(event).collect();
        write(&mut store, &state, &events).expect("writes");
        state.apply(Command::Start);
        let more = [event(EVENTS_KEPT + 1), event(EVENTS_KEPT + 2)];
        write(&mut store, &state, &more).expect("writes");

        let remembered = read(&store, Path::new("here")).expect("reads");
        assert_eq!(remembered.state, Some(state));
        assert_eq!(remembered.events.front(), Some(&event(3)));
        assert_eq!(remembered.events.back(), Some(&event(EVENTS_KEPT + 2)));
        assert_eq!(remembered.events.len() as u64, EVENTS_KEPT);
    }
}
