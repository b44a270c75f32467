//! A Redis client that follows its Sentinel. Nothing tells the node that a request is a repeated one, so what
//! was sent and not answered has an unknown outcome.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use simulator::history::Operation;

use super::way::{Failure, TIMEOUT};
use super::{LIVES, nanoseconds};

/// So long a client waits for an answer, or for a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// First words of errors that say that nothing was done, beside those that the library has names for.
const NOTHING_DONE: [&str; 3] = ["NOREPLICAS", "MISCONF", "BUSY"];

/// A client with Sentinel support.
pub(super) struct RedisSession {
    client: SentinelClient,
    connection: Option<MultiplexedConnection>,
}

impl RedisSession {
    pub(super) fn new(sentinel: &str) -> Self {
        let client = SentinelClient::build(
            vec![format!("redis://{sentinel}")],
            "mymaster".to_owned(),
            None,
            SentinelServerType::Master,
        );
        Self {
            client: client.expect("a Sentinel is named"),
            connection: None,
        }
    }

    pub(super) async fn ask(
        &mut self,
        key: &str,
        operation: &Operation,
    ) -> Result<Operation, Failure> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(mut connection) = self.connection().await {
                match answer(&mut connection, key, operation).await {
                    Ok(done) => return Ok(done),
                    Err(error) => self.connection_failed(&error, operation)?,
                }
            }
            if Instant::now() >= deadline {
                return Err(Failure::NotDone("no primary took it".to_owned()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The connection to whom the Sentinel names, if that can be had.
    async fn connection(&mut self) -> Option<MultiplexedConnection> {
        if self.connection.is_none() {
            let options = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            let connecting = self.client.get_async_connection_with_config(&options);
            let connected = tokio::time::timeout(PATIENCE, connecting).await;
            self.connection = connected.ok().and_then(Result::ok);
        }
        self.connection.clone()
    }

    /// Goes on with another connection when the operation may be tried again.
    fn connection_failed(
        &mut self,
        error: &RedisError,
        operation: &Operation,
    ) -> Result<(), Failure> {
        self.connection = None;
        let nothing_done = match error.kind() {
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading,
            ) => true,
            _ => error
                .code()
                .is_some_and(|code| NOTHING_DONE.contains(&code)),
        };
        assert!(
            nothing_done || error.code() != Some("ERR") || error.to_string().contains("unknown"),
            "{operation:?} was answered with: {error}"
        );
        if nothing_done || operation.is_read() {
            return Ok(());
        }
        Err(Failure::Unknown)
    }
}

async fn answer(
    connection: &mut MultiplexedConnection,
    key: &str,
    operation: &Operation,
) -> Result<Operation, RedisError> {
    let mut command = Cmd::new();
    Ok(match *operation {
        Operation::Put { value } => {
            command.arg("SET").arg(key).arg(value);
            let _ok: () = sent(connection, &command).await?;
            operation.clone()
        }
        Operation::PutThatGoes { value, .. } => {
            let lives_ms = nanoseconds(LIVES) / 1_000_000;
            command
                .arg("SET")
                .arg(key)
                .arg(value)
                .arg("PX")
                .arg(lives_ms);
            let _ok: () = sent(connection, &command).await?;
            operation.clone()
        }
        Operation::PutIfEquals {
            expected, value, ..
        } => {
            command.arg("SET").arg(key).arg(value);
            command.arg("IFEQ").arg(expected);
            let ok: Option<String> = sent(connection, &command).await?;
            Operation::PutIfEquals {
                expected,
                value,
                done: Some(ok.is_some()),
            }
        }
        Operation::Incr { by, .. } => {
            command.arg("INCRBY").arg(key).arg(by);
            Operation::Incr {
                by,
                sum: Some(sent(connection, &command).await?),
            }
        }
        Operation::Delete { .. } => {
            command.arg("DEL").arg(key);
            let removed: u64 = sent(connection, &command).await?;
            Operation::Delete {
                removed: Some(removed == 1),
            }
        }
        Operation::Get { .. } => {
            command.arg("GET").arg(key);
            Operation::Get {
                seen: Some(sent(connection, &command).await?),
            }
        }
    })
}

async fn sent<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<T, RedisError> {
    command.query_async(connection).await
}
