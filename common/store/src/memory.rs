//! A store without a disk, for tests: it fails, stalls and forgets when it is told to.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::batch::WriteBatch;
use crate::error::StoreError;
use crate::map::{DurableMap, Record, ScanLimit};

/// What is to happen to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and the disk does not have it.
    LoseAndFail,
    /// It fails, and yet the disk has it.
    KeepAndFail,
    /// The disk is full: it fails, and the disk does not have it.
    Full,
}

/// What all handles of one [`MemoryStore`] share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Bytes, Bytes>,
    batches: u64,
    fault_after: Option<(u64, Fault)>,
    stalled: bool,
}

/// Records in memory, behind the same door as a store on disk. Its clones are handles of the same
/// records, as if the disk were looked at from outside; [`Self::reopened`] is what a program finds
/// that opens the store after a crash.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    failed: Option<String>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `batches` more writes succeed and the one after them fail.
    pub fn fail_after(&self, batches: u64, fault: Fault) {
        self.state().fault_after = Some((batches, fault));
    }

    /// Holds up every write until the returned guard is dropped.
    #[must_use]
    pub fn stall(&self) -> Stall {
        self.state().stalled = true;
        Stall {
            shared: Arc::clone(&self.shared),
        }
    }

    /// How many batches were kept.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.state().batches
    }

    /// The store as it is opened anew: with what was kept, and without the failure.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            failed: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds up writes for as long as it lives.
#[derive(Debug)]
pub struct Stall {
    shared: Arc<Shared>,
}

impl Drop for Stall {
    fn drop(&mut self) {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).stalled = false;
        self.shared.resumed.notify_all();
    }
}

impl State {
    fn keep(&mut self, batch: &WriteBatch) {
        for (key, value) in batch.iter() {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
        self.batches += 1;
    }

    /// The fault that meets this write, if it is due.
    fn take_fault(&mut self) -> Option<Fault> {
        let (left, fault) = self.fault_after?;
        if left == 0 {
            self.fault_after = None;
            return Some(fault);
        }
        self.fault_after = Some((left - 1, fault));
        None
    }
}

impl DurableMap for MemoryStore {
    fn apply(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        if let Some(cause) = &self.failed {
            return Err(StoreError::Failed {
                cause: cause.clone(),
            });
        }
        let state = self.state();
        let state = self.shared.resumed.wait_while(state, |state| state.stalled);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let fault = state.take_fault();
        if !matches!(fault, Some(Fault::LoseAndFail | Fault::Full)) {
            state.keep(&batch);
        }
        drop(state);
        let path = PathBuf::from("memory");
        let error = match fault {
            None => return Ok(()),
            Some(Fault::Full) => StoreError::DiskFull { path },
            Some(Fault::LoseAndFail | Fault::KeepAndFail) => StoreError::Io {
                path,
                cause: "a fault was asked for".to_owned(),
            },
        };
        self.failed = Some(error.to_string());
        Err(error)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.state().records.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Record>, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut page = Vec::new();
        let mut bytes = 0;
        for (key, value) in self
            .state()
            .records
            .range::<[u8], _>((from, Bound::Unbounded))
        {
            let full = !page.is_empty() && (page.len() >= limit.records || bytes >= limit.bytes);
            if full || !key.starts_with(prefix) {
                break;
            }
            bytes += key.len() + value.len();
            page.push((key.clone(), value.clone()));
        }
        Ok(page)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        let state = self.state();
        let bytes = state
            .records
            .iter()
            .map(|(key, value)| key.len() + value.len());
        Ok(bytes.sum::<usize>() as u64)
    }
}
