//! A connection of any protocol.

use crate::etcd::EtcdConnection;
use crate::failure::Failure;
use crate::lane::Operation;
use crate::native::NativeConnection;
use crate::redis::RedisConnection;

/// A connection of any protocol.
pub(crate) enum Connection {
    Redis(RedisConnection),
    Native(NativeConnection),
    Etcd(EtcdConnection),
}

impl Connection {
    /// Sends all operations at once and waits for all answers. Fails when any has none, or is not
    /// what a server that works gives.
    pub(crate) async fn group(&mut self, operations: &[Operation]) -> Result<(), Failure> {
        match self {
            Self::Redis(connection) => connection.group(operations).await,
            Self::Native(connection) => connection.group(operations).await,
            Self::Etcd(connection) => connection.group(operations).await,
        }
    }
}
