//! Loading a checkpoint into the table: one thread reads records, another puts them in, for each
//! takes about as long as the other, and a node that starts has nothing else to do.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use kv_store::{DurableMap, Record, ScanLimit};
use kvnode_core::state::State;

use crate::checkpoint::{CheckpointError, unreadable};
use crate::checkpoint_record::{DATA_PREFIX, decode_value};
use crate::progress::ProgressBeat;

/// What is handed from one thread to the other at once.
const PART: ScanLimit = ScanLimit {
    records: 4096,
    bytes: 1 << 20,
};
/// Parts that wait to be put in.
const PARTS_WAITING: usize = 4;

/// Puts all keys and values of the checkpoint in `map` into an empty state. Says how many bytes they
/// come to.
pub(crate) fn load_records(
    map: &dyn DurableMap,
    state: &mut State,
) -> Result<u64, CheckpointError> {
    let (sender, parts) = sync_channel(PARTS_WAITING);
    thread::scope(|scope| {
        let loading = scope.spawn(|| put_all(parts, state));
        let mut read = Ok(());
        let mut after = None;
        loop {
            let records = match map.scan(DATA_PREFIX, after.as_deref(), PART) {
                Ok(records) => records,
                Err(error) => {
                    read = Err(error);
                    break;
                }
            };
            let Some((last, _)) = records.last() else {
                break;
            };
            after = Some(last.clone());
            if sender.send(records).is_err() {
                // A record could not be put in; which one, the other thread says.
                break;
            }
        }
        drop(sender);
        let loaded = loading.join().unwrap_or_else(|panic| resume_unwind(panic));
        read?;
        loaded
    })
}

fn put_all(parts: Receiver<Vec<Record>>, state: &mut State) -> Result<u64, CheckpointError> {
    let mut data_bytes = 0;
    let mut beat = ProgressBeat::new();
    for (key, record) in parts.into_iter().flatten() {
        data_bytes += (key.len() + record.len()) as u64;
        let stored = decode_value(record).ok_or_else(|| unreadable(&key))?;
        state.load_value(&key[DATA_PREFIX.len()..], &stored.value, stored.expires_at);
        if beat.step() {
            tracing::info!(keys = state.keys(), data_bytes, "loading the checkpoint");
        }
    }
    Ok(data_bytes)
}
