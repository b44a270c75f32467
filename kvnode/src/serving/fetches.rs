//! The copy that this node fetches, seen from the serving thread.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use kv_common::id::{Epoch, NodeId};
use kv_common::message::control::{DiskFailure, DiskTrouble};
use kv_common::message::hello::Caller;
use kv_common::time::Now;
use kvnode_core::input::Input;
use kvnode_storage::{DataDir, StorageOptions};

use crate::copy_fetch::{CopyEvent, CopyFetch, FetchOrder};
use crate::data_threads::DataThreads;
use crate::events::Mailbox;

use super::shard::Shard;

/// The copy that this node fetches, if it does.
#[derive(Debug)]
pub(super) struct Fetches {
    dir: Arc<DataDir>,
    options: StorageOptions,
    mailbox: Mailbox,
    last_fetch: u64,
    current: Option<CopyFetch>,
    /// The former data's threads are handed over: this copy can no longer be given up.
    switching: bool,
}

impl Fetches {
    pub(super) fn new(dir: Arc<DataDir>, options: StorageOptions, mailbox: Mailbox) -> Self {
        Self {
            dir,
            options,
            mailbox,
            last_fetch: 0,
            current: None,
            switching: false,
        }
    }

    pub(super) fn into_current(self) -> Option<CopyFetch> {
        self.current
    }

    fn is_current(&self, fetch: u64) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.number() == fetch)
    }
}

impl Shard {
    pub(super) fn start_copy(&mut self, now: Now, from: NodeId, epoch: Epoch) {
        if self.fetches.switching {
            // The copy that is about to become current answers this one too: if it does not do,
            // the next match says so.
            return;
        }
        if let Err(why) = self.try_start_copy(from, epoch) {
            self.copy_failed(now, why);
        }
    }

    fn try_start_copy(&mut self, from: NodeId, epoch: Epoch) -> Result<(), String> {
        let before = self.fetches.current.take().map(|mut before| {
            before.cancel();
            before
        });
        let address = self
            .replica
            .map()
            .and_then(|map| map.nodes.get(&from))
            .map(|info| info.address.clone())
            .ok_or_else(|| format!("no address of node {from} is known"))?;
        let serving = self.serving.upgrade().ok_or("the node stops")?;
        self.fetches.last_fetch += 1;
        let seat = self.identity.seat;
        let order = FetchOrder {
            fetch: self.fetches.last_fetch,
            from,
            address,
            epoch,
            shard: self.identity.shard,
            hello: serving.hello(Caller::Joiner {
                node: seat.node,
                incarnation: seat.incarnation,
            }),
            dir: Arc::clone(&self.fetches.dir),
            options: self.fetches.options.clone(),
            mailbox: self.fetches.mailbox.clone(),
        };
        let fetch = CopyFetch::spawn(order, before).map_err(|error| error.to_string())?;
        self.fetches.current = Some(fetch);
        Ok(())
    }

    pub(super) fn take_copy_event(&mut self, now: Now, event: CopyEvent) {
        match event {
            CopyEvent::Progressed { fetch, progress } => {
                if self.fetches.is_current(fetch) {
                    self.replica.handle(now, Input::CopyProgressed(progress));
                }
            }
            CopyEvent::Whole { fetch, hand_over } => {
                if self.fetches.is_current(fetch) {
                    self.hand_data_over(&hand_over);
                }
            }
            CopyEvent::Done { threads, recovered } => {
                self.fetches.switching = false;
                self.fetches.current = None;
                self.storage
                    .replace_data(threads, recovered.unfit.is_some());
                tracing::info!(
                    keys = recovered.state.keys(),
                    position = %recovered.history.last(),
                    "the copy is this node's data now"
                );
                self.replica.handle(now, Input::CopyDone(recovered));
            }
            CopyEvent::Failed { fetch, why } => {
                if self.fetches.is_current(fetch) {
                    self.fetches.current = None;
                    self.copy_failed(now, why);
                }
            }
            CopyEvent::SwitchFailed { why } => {
                self.fetches.switching = false;
                self.fetches.current = None;
                let failure = DiskFailure {
                    trouble: DiskTrouble::Failing,
                    cause: format!("a copy cannot be made current: {why}"),
                };
                self.disk_failed(now, failure);
            }
        }
    }

    fn hand_data_over(&mut self, hand_over: &SyncSender<DataThreads>) {
        if let Some(data) = self.storage.data.take() {
            self.fetches.switching = true;
            if let Err(error) = hand_over.try_send(data) {
                // The thread waits for exactly this, so it can only have ended by a panic.
                tracing::error!(%error, "the thread that fetched a copy has ended");
            }
        }
    }

    fn copy_failed(&mut self, now: Now, why: String) {
        tracing::warn!("the copy came to nothing: {why}");
        self.replica.handle(now, Input::CopyFailed { why });
    }
}
