//! The handle that callers hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_common::command::{Command, Expiry, KeyExpiry, Reply};
use kv_common::id::{Address, Position};
use kv_common::message::hello::Hello;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::driver::{Driver, DriverOptions, Execute, ToDriver};
use crate::error::ClientError;
use crate::exchange;
use crate::options::{ClientOptions, PutOptions};
use crate::scan::Scan;
use crate::watch::{Watch, Watched};

/// A client of one cluster. A cheap handle: clones share one connection and one session, and any
/// number of operations may be under way at once.
#[derive(Clone, Debug)]
pub struct Client {
    driver: mpsc::Sender<ToDriver>,
    pub(crate) shared: Arc<Shared>,
}

/// What the handles of a client, and its siblings, share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: ClientOptions,
    pub(crate) hello: Hello,
    watch: Watch,
}

impl Client {
    /// A client that begins to look for the primary. Must be called within a tokio runtime with
    /// I/O and time. Reaches out in the background; the first operation waits for that.
    ///
    /// # Errors
    /// When neither a coordinator nor a node is named.
    pub fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        if options.coordinators.is_empty() && options.nodes.is_empty() {
            return Err(ClientError::NobodyToAsk {
                why: "neither a coordinator nor a node is named".to_owned(),
            });
        }
        let hello = exchange::hello(&options.name);
        let watch = Watch::start(options.coordinators.clone(), hello.clone());
        let shared = Arc::new(Shared {
            options,
            hello,
            watch,
        });
        Ok(Self::of(shared))
    }

    /// A client of the same cluster with a connection and a session of its own. It shares what
    /// watches the coordinator.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }

    fn of(shared: Arc<Shared>) -> Self {
        let options = DriverOptions {
            nodes: shared.options.nodes.clone(),
            with_session: shared.options.with_session,
            hello: shared.hello.clone(),
        };
        let driver = Driver::start(options, shared.watch.seen.clone());
        Self { driver, shared }
    }

    /// How long an operation may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.shared.options.timeout
    }

    /// Waits for what is under way and ends the session, as far as that goes within half a second.
    /// The next write through another handle would open a new one.
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.driver.send(ToDriver::Retire(done)).await.is_ok() {
            // No answer means that the task is gone, and the session with it in an hour.
            let _ = ended.await;
        }
    }

    /// The value of a key; none if there is no such key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, ClientError> {
        let key = key.into();
        match self.execute(Command::Get { key }).await? {
            Reply::Value(value) => Ok(value),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<(), ClientError> {
        let done = self.put_with(key, value, PutOptions::default()).await?;
        debug_assert!(done, "a put without a condition is done");
        Ok(())
    }

    /// Sets the value of a key, if a condition holds. Returns whether it held.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_with(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<bool, ClientError> {
        let command = Command::Put {
            key: key.into(),
            value: value.into(),
            expiry: options.expiry,
            condition: options.condition,
        };
        match self.execute(command).await? {
            Reply::Done => Ok(true),
            Reply::ConditionFailed => Ok(false),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Removes keys. Returns how many were there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, keys: Vec<Bytes>) -> Result<u64, ClientError> {
        self.count_of(Command::Delete { keys }).await
    }

    /// How many of the keys are there; one named twice counts twice.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exists(&self, keys: Vec<Bytes>) -> Result<u64, ClientError> {
        self.count_of(Command::Exists { keys }).await
    }

    /// Adds to a decimal number; an absent key is 0. Returns the new value.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn incr(&self, key: impl Into<Bytes>, by: i64) -> Result<i64, ClientError> {
        let key = key.into();
        match self.execute(Command::Incr { key, by }).await? {
            Reply::Integer(value) => Ok(value),
            other => Err(self.unexpected(&other)),
        }
    }

    /// When a key goes by itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ttl(&self, key: impl Into<Bytes>) -> Result<KeyExpiry, ClientError> {
        let key = key.into();
        match self.execute(Command::Ttl { key }).await? {
            Reply::Expiry(expiry) => Ok(expiry),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Gives a key an expiry. Returns whether the key is there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn expire(&self, key: impl Into<Bytes>, expiry: Expiry) -> Result<bool, ClientError> {
        let key = key.into();
        let count = self.count_of(Command::Expire { key, expiry }).await?;
        Ok(count > 0)
    }

    /// Takes the expiry off a key. Returns whether it had one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn persist(&self, key: impl Into<Bytes>) -> Result<bool, ClientError> {
        let key = key.into();
        let count = self.count_of(Command::Persist { key }).await?;
        Ok(count > 0)
    }

    /// Walks all keys, or those that match a glob (`*`, `?`, `[a-z]`, `[^a]`, `\` escapes). A key
    /// that is there for the whole of the walk is met.
    #[must_use]
    pub fn scan(&self, pattern: Option<Bytes>) -> Scan {
        Scan::new(self.clone(), pattern)
    }

    /// How many keys there are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn count(&self) -> Result<u64, ClientError> {
        self.count_of(Command::CountKeys).await
    }

    /// Has every copy note its digest at one position, and returns that.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn mark(&self) -> Result<Position, ClientError> {
        match self.execute(Command::Mark).await? {
            Reply::Marked(at) => Ok(at),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Executes any command, within the client's timeout.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn execute(&self, command: Command) -> Result<Reply, ClientError> {
        let deadline = self.deadline();
        let (end, result) = oneshot::channel();
        let execute = Execute {
            command,
            deadline,
            end,
        };
        let sent = self.driver.send(ToDriver::Execute(execute)).await;
        sent.map_err(|_| ClientError::Closed)?;
        match result.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(failure)) => {
                let trouble = self.seen().borrow().trouble.clone();
                Err(ClientError::of_failure(failure, trouble.as_deref()))
            }
            Err(_) => Err(ClientError::Closed),
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout()
    }

    pub(crate) fn seen(&self) -> watch::Receiver<Watched> {
        self.shared.watch.seen.clone()
    }

    pub(crate) fn unexpected(&self, reply: &Reply) -> ClientError {
        let address = self.known_primary();
        ClientError::Unexpected {
            address: address.unwrap_or_else(|| Address("the primary".to_owned())),
            what: format!("{reply:?}"),
        }
    }

    fn known_primary(&self) -> Option<Address> {
        let seen = self.shared.watch.seen.borrow();
        seen.map.as_ref()?.primary_address().cloned()
    }

    async fn count_of(&self, command: Command) -> Result<u64, ClientError> {
        match self.execute(command).await? {
            Reply::Count(count) => Ok(count),
            other => Err(self.unexpected(&other)),
        }
    }
}
