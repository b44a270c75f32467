//! Which protocol the clients speak that write down what they see.

use std::time::Duration;

use simulator::history::Operation;

use super::native::NativeSession;
use super::redis_client::RedisSession;

/// An operation may take so long: through every pause, and a failover behind it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// How clients reach a cluster.
#[derive(Clone, Debug)]
pub enum Way {
    /// Through the client library.
    Native {
        /// The coordinator's address.
        coordinator: String,
    },
    /// With a Redis client.
    Redis {
        /// Where the coordinator answers as a Sentinel.
        sentinel: String,
    },
}

impl Way {
    /// One client.
    pub(super) fn session(&self) -> Session {
        match self {
            Self::Native { coordinator } => Session::Native(NativeSession::new(coordinator)),
            Self::Redis { sentinel } => Session::Redis(Box::new(RedisSession::new(sentinel))),
        }
    }
}

/// One client on either way.
pub(super) enum Session {
    Native(NativeSession),
    Redis(Box<RedisSession>),
}

/// Why an operation has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may have taken effect, and may still do so.
    Unknown,
    /// It never takes effect, for this reason.
    NotDone(String),
}

impl Session {
    /// Does `operation` at `key`, and gives it back with what was answered.
    pub(super) async fn ask(
        &mut self,
        key: &str,
        operation: &Operation,
    ) -> Result<Operation, Failure> {
        match self {
            Self::Native(session) => session.ask(key, operation).await,
            Self::Redis(session) => session.ask(key, operation).await,
        }
    }
}
