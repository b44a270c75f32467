//! Fetching a full copy from the primary, on a thread of its own that does both the network and the
//! disk: while it writes a part, no further one is read.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kv_common::id::{Address, Epoch, NodeId, ShardId};
use kv_common::limits::{BATCH_MAX_BYTES, PEER_FRAME_MAX_BYTES};
use kv_common::message::control::CopyProgress;
use kv_common::message::copy::{JoinerToPrimary, PrimaryToJoiner};
use kv_common::message::hello::Hello;
use kv_net::{Connection, DialError, Limits, LinkError, dial};
use kvnode_core::input::Recovered;
use kvnode_storage::{
    CopyError, CopyProgressed, CopyTarget, DataDir, DataSet, StorageOptions, ThreadPanicked,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::data_threads::DataThreads;
use crate::events::{Event, Mailbox};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// A source that sends nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What a copy connection is held to. It carries whole records and whole batches, and nothing waits
/// behind them but the copy itself.
pub(crate) const fn limits() -> Limits {
    Limits {
        frame_max_bytes: BATCH_MAX_BYTES + PEER_FRAME_MAX_BYTES,
        ..Limits::peer()
    }
}

/// What happens to a copy that is fetched.
#[derive(Debug)]
pub(crate) enum CopyEvent {
    /// It goes on.
    Progressed {
        /// The fetch.
        fetch: u64,
        /// How far it is.
        progress: CopyProgress,
    },
    /// It is whole. The threads on the former data are to be handed over, to be ended.
    Whole {
        /// The fetch.
        fetch: u64,
        /// Where to.
        hand_over: SyncSender<DataThreads>,
    },
    /// It is the node's data now.
    Done {
        /// The threads on the new data.
        threads: DataThreads,
        /// What the core goes on with.
        recovered: Box<Recovered>,
    },
    /// It came to nothing; the former data stands, and so do its threads.
    Failed {
        /// The fetch.
        fetch: u64,
        /// Why.
        why: String,
    },
    /// The switch to it failed. No data is open any more.
    SwitchFailed {
        /// Why.
        why: String,
    },
}

/// What a fetch needs.
#[derive(Clone, Debug)]
pub(crate) struct FetchOrder {
    /// Its number, not used before.
    pub(crate) fetch: u64,
    /// The primary.
    pub(crate) from: NodeId,
    /// Where the primary is.
    pub(crate) address: Address,
    /// The epoch in which the copy was found to be needed.
    pub(crate) epoch: Epoch,
    /// The shard.
    pub(crate) shard: ShardId,
    /// How to introduce ourselves.
    pub(crate) hello: Hello,
    /// Where the copy goes.
    pub(crate) dir: Arc<DataDir>,
    /// How it is kept.
    pub(crate) options: StorageOptions,
    /// Who wants to know.
    pub(crate) mailbox: Mailbox,
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct CopyFetch {
    number: u64,
    cancel: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

impl CopyFetch {
    /// Starts a fetch. It begins when `before` has ended, which is cancelled.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn spawn(order: FetchOrder, before: Option<Self>) -> io::Result<Self> {
        let number = order.fetch;
        let (cancel, cancelled) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("copy".to_owned())
            .spawn(move || {
                if let Some(before) = before {
                    before.stop();
                }
                run(order, cancelled);
            })?;
        Ok(Self {
            number,
            cancel: Some(cancel),
            thread,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Gives the fetch up. A copy that is whole is not stopped any more.
    pub(crate) fn cancel(&mut self) {
        // Dropping the sender is the signal.
        self.cancel = None;
    }

    /// Gives the fetch up and waits until its thread has ended.
    pub(crate) fn stop(mut self) {
        self.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the thread that fetched a copy ended by a panic");
        }
    }
}

/// Why a copy came to nothing.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("another node answers at {address}")]
    WrongNode { address: Address },
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the primary closed the connection before the end")]
    Closed,
    #[error("nothing came for {waited_ms} ms")]
    Silent { waited_ms: u128 },
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("no runtime: {0}")]
    Runtime(#[from] io::Error),
}

/// Why a whole copy could not be made the node's data.
#[derive(Debug, thiserror::Error)]
enum SwitchError {
    #[error(transparent)]
    Threads(#[from] ThreadPanicked),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("no thread: {0}")]
    Spawn(#[from] io::Error),
}

fn run(order: FetchOrder, cancelled: oneshot::Receiver<()>) {
    let FetchOrder { fetch, .. } = order;
    let mailbox = order.mailbox.clone();
    let fetched = fetch_all(&order, cancelled);
    match fetched {
        Ok(Some(target)) => switch(&order, target),
        // Cancelled: nobody wants to know.
        Ok(None) => {}
        Err(error) => {
            let why = error.to_string();
            mailbox.post(Event::Copy(CopyEvent::Failed { fetch, why }));
        }
    }
}

/// Fetches everything; nothing when it was cancelled.
fn fetch_all(
    order: &FetchOrder,
    cancelled: oneshot::Receiver<()>,
) -> Result<Option<CopyTarget>, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            _ = cancelled => Ok(None),
            target = receive_all(order) => target.map(Some),
        }
    })
}

async fn receive_all(order: &FetchOrder) -> Result<CopyTarget, FetchError> {
    let (mut connection, accepted) = dial(&order.address, &order.hello, limits()).await?;
    if accepted.node != Some(order.from) {
        let address = order.address.clone();
        return Err(FetchError::WrongNode { address });
    }
    let begin = JoinerToPrimary::Begin {
        shard: order.shard,
        epoch: order.epoch,
    };
    connection.send(&begin).await?;
    let mut target = CopyTarget::begin(&order.dir, &order.options)?;
    tracing::debug!("a copy is coming in");
    let started = Instant::now();
    let mut told = started;
    loop {
        let message = next(&mut connection).await?;
        match target.take(message)? {
            CopyProgressed::Begun => {}
            CopyProgressed::Taken { parts } => {
                connection.send(&JoinerToPrimary::Taken { parts }).await?;
            }
            CopyProgressed::Whole => return Ok(target),
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tell_progress(order, &target, started.elapsed()).await;
        }
    }
}

async fn next(connection: &mut Connection) -> Result<PrimaryToJoiner, FetchError> {
    let received = timeout(SILENCE_MAX, connection.receive()).await;
    let message = received.map_err(|_| FetchError::Silent {
        waited_ms: SILENCE_MAX.as_millis(),
    })??;
    message.ok_or(FetchError::Closed)
}

async fn tell_progress(order: &FetchOrder, target: &CopyTarget, elapsed: Duration) {
    let (bytes_done, bytes_total) = target.progress();
    let progress = CopyProgress {
        bytes_done,
        bytes_total,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    let fetch = order.fetch;
    // Nobody listens any more: the node stops, and this is cancelled.
    order
        .mailbox
        .send(Event::Copy(CopyEvent::Progressed { fetch, progress }))
        .await;
}

/// Asks for the threads on the former data, ends them, and starts new ones on the copy.
fn switch(order: &FetchOrder, target: CopyTarget) {
    let fetch = order.fetch;
    let (hand_over, handed_over) = sync_channel(1);
    order
        .mailbox
        .post(Event::Copy(CopyEvent::Whole { fetch, hand_over }));
    let Ok(former) = handed_over.recv() else {
        // The node stops, or wants another copy.
        return;
    };
    let event = match open(order, target, former) {
        Ok((threads, recovered)) => CopyEvent::Done {
            threads,
            recovered: Box::new(recovered),
        },
        Err(error) => CopyEvent::SwitchFailed {
            why: error.to_string(),
        },
    };
    order.mailbox.post(Event::Copy(event));
}

fn open(
    order: &FetchOrder,
    target: CopyTarget,
    former: DataThreads,
) -> Result<(DataThreads, Recovered), SwitchError> {
    former.stop(None)?;
    let DataSet {
        recovered,
        log,
        checkpoint,
        ..
    } = target.finish()?;
    let threads = DataThreads::spawn(log, checkpoint, &order.options, &order.mailbox)?;
    Ok((threads, recovered))
}
