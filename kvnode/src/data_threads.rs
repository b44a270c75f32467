//! The threads on the current generation of the data.

use std::io;
use std::path::PathBuf;

use kv_common::message::client::DumpSummary;
use kvnode_storage::{
    Checkpoint, CheckpointHandle, CheckpointThread, DumpError, Log, LogHandle, LogThread,
    StorageOptions, ThreadPanicked,
};

use crate::events::{Event, Mailbox};

/// The log thread and the checkpoint thread. They come and go together.
#[derive(Debug)]
pub(crate) struct DataThreads {
    log: LogThread,
    checkpoint: CheckpointThread,
}

impl DataThreads {
    /// Starts both.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn spawn(
        log: Log,
        checkpoint: Checkpoint,
        options: &StorageOptions,
        mailbox: &Mailbox,
    ) -> io::Result<Self> {
        let events = mailbox.clone();
        let log = LogThread::spawn(log, options, move |event| events.post(Event::Log(event)))?;
        let events = mailbox.clone();
        let on_event = move |event| events.post(Event::Checkpoint(event));
        let checkpoint = CheckpointThread::spawn(checkpoint, log.handle(), options, on_event)?;
        Ok(Self { log, checkpoint })
    }

    pub(crate) fn log(&self) -> LogHandle {
        self.log.handle()
    }

    pub(crate) fn checkpoint(&self) -> CheckpointHandle {
        self.checkpoint.handle()
    }

    /// Makes everything durable, writes `dump_to` if it is given, and ends both.
    ///
    /// # Errors
    /// When one of them panicked. Inside: when the dump came to nothing.
    pub(crate) fn stop(
        self,
        dump_to: Option<PathBuf>,
    ) -> Result<Option<Result<DumpSummary, DumpError>>, ThreadPanicked> {
        self.log.stop()?;
        self.checkpoint.stop(dump_to)
    }
}
