//! The hello on both sides.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use kv_common::id::{Address, ClusterId, Incarnation, NodeId};
use kv_common::limits::{
    CLIENT_FRAME_MAX_BYTES, CONTROL_FRAME_MAX_BYTES, HELLO_FRAME_MAX_BYTES, PEER_FRAME_MAX_BYTES,
};
use kv_common::message::hello::{Hello, HelloRefusal, PROTOCOL_VERSION, Welcome};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connection::{Connection, LinkError};
use crate::socket;

/// How long a hello may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a connection is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long dialling and the hello may take together.
    pub handshake_timeout: Duration,
    /// The largest frame after the hello, in each direction.
    pub frame_max_bytes: usize,
}

impl Limits {
    /// Between a client and a node.
    #[must_use]
    pub const fn client() -> Self {
        Self::with_frames_of(CLIENT_FRAME_MAX_BYTES)
    }

    /// Between nodes.
    #[must_use]
    pub const fn peer() -> Self {
        Self::with_frames_of(PEER_FRAME_MAX_BYTES)
    }

    /// With the coordinator.
    #[must_use]
    pub const fn control() -> Self {
        Self::with_frames_of(CONTROL_FRAME_MAX_BYTES)
    }

    const fn with_frames_of(frame_max_bytes: usize) -> Self {
        Self {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            frame_max_bytes,
        }
    }
}

/// What the side that was called says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The cluster that it belongs to.
    pub cluster: Option<ClusterId>,
    /// The node; none at a coordinator.
    pub node: Option<NodeId>,
    /// The run of that node.
    pub incarnation: Option<Incarnation>,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody was reached.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// Who was called.
        address: Address,
        /// What the system said.
        cause: io::Error,
    },
    /// No connection in time.
    #[error("{address} did not answer within {waited_ms} ms")]
    Timeout {
        /// Who was called.
        address: Address,
        /// How long was waited.
        waited_ms: u64,
    },
    /// A connection, and no answer in time.
    #[error(
        "{address} took the connection and said nothing for {waited_ms} ms: it stands still, or another program, such \
         as a Redis, listens there"
    )]
    Silent {
        /// Who was called.
        address: Address,
        /// How long was waited.
        waited_ms: u64,
    },
    /// What answered speaks in text.
    #[error(
        "{address} answers with '{said}…': another program, such as a web server or a Redis, listens there"
    )]
    Text {
        /// Who was called.
        address: Address,
        /// How its answer begins.
        said: String,
    },
    /// The other side does not take this caller.
    #[error("{address} refused: {why}")]
    Refused {
        /// Who was called.
        address: Address,
        /// Why.
        why: HelloRefusal,
    },
    /// What answered speaks something else.
    #[error("{address} does not speak this protocol: {cause}")]
    NotThisProtocol {
        /// Who was called.
        address: Address,
        /// What went wrong.
        cause: LinkError,
    },
}

/// Why a caller was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// No whole hello in time.
    #[error("no hello within {waited_ms} ms")]
    Timeout {
        /// How long was waited.
        waited_ms: u64,
    },
    /// The caller closed, or what came is no hello.
    #[error("no hello: {0}")]
    NoHello(#[from] LinkError),
    /// The caller was told why.
    #[error("refused: {0}")]
    Refused(#[from] HelloRefusal),
}

/// Connects to `address` and says hello.
///
/// # Errors
/// When nobody is reached, nobody answers in time, or the other side refuses.
pub async fn dial(
    address: &Address,
    hello: &Hello,
    limits: Limits,
) -> Result<(Connection, Accepted), DialError> {
    let patience = limits.handshake_timeout;
    let (address, waited_ms) = (address.clone(), millis(patience));
    let deadline = Instant::now() + patience;
    match timeout_at(deadline, connect(&address)).await {
        Err(_) => Err(DialError::Timeout { address, waited_ms }),
        Ok(Err(cause)) => Err(DialError::Unreachable { address, cause }),
        Ok(Ok((stream, peer))) => {
            let welcomed = timeout_at(deadline, open(&address, stream, peer, hello, limits)).await;
            welcomed.unwrap_or(Err(DialError::Silent { address, waited_ms }))
        }
    }
}

/// Reads the hello of a caller and answers it. `decide` says whether the caller is welcome, what to
/// say of ourselves, and what the connection is held to; the protocol's version was checked before.
///
/// # Errors
/// When no hello comes in time or `decide` refuses; the caller was then told why.
pub async fn accept(
    stream: TcpStream,
    decide: impl FnOnce(&Hello) -> Result<(Accepted, Limits), HelloRefusal>,
    handshake_timeout: Duration,
) -> Result<(Connection, Hello), AcceptError> {
    let taken = timeout(handshake_timeout, take(stream, decide)).await;
    taken.unwrap_or_else(|_| {
        Err(AcceptError::Timeout {
            waited_ms: millis(handshake_timeout),
        })
    })
}

async fn connect(address: &Address) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(&address.0).await?;
    socket::prepare_socket(&stream)?;
    let peer = stream.peer_addr()?;
    Ok((stream, peer))
}

async fn open(
    address: &Address,
    stream: TcpStream,
    peer: SocketAddr,
    hello: &Hello,
    limits: Limits,
) -> Result<(Connection, Accepted), DialError> {
    let foreign = |cause| not_this_protocol(address.clone(), cause);
    let mut connection = Connection::new(stream, peer, BytesMut::new(), HELLO_FRAME_MAX_BYTES);
    connection.send(hello).await.map_err(foreign)?;
    let welcome = connection.receive::<Welcome>().await.map_err(foreign)?;
    match welcome {
        Some(Welcome::Accepted {
            cluster,
            node,
            incarnation,
        }) => {
            let (stream, input, _) = connection.into_parts();
            let connection = Connection::new(stream, peer, input, limits.frame_max_bytes);
            let accepted = Accepted {
                cluster,
                node,
                incarnation,
            };
            Ok((connection, accepted))
        }
        Some(Welcome::Refused(why)) => Err(DialError::Refused {
            address: address.clone(),
            why,
        }),
        None => Err(foreign(LinkError::CutFrame)),
    }
}

fn not_this_protocol(address: Address, cause: LinkError) -> DialError {
    // Where a length is expected, other protocols have their first four letters.
    let said = match &cause {
        LinkError::FrameTooLarge { bytes, .. } => u32::try_from(*bytes).ok(),
        _ => None,
    };
    let said = said.map(|length| String::from_utf8_lossy(&length.to_be_bytes()).into_owned());
    match said.filter(|said| said.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(said) => DialError::Text { address, said },
        None => DialError::NotThisProtocol { address, cause },
    }
}

async fn take(
    stream: TcpStream,
    decide: impl FnOnce(&Hello) -> Result<(Accepted, Limits), HelloRefusal>,
) -> Result<(Connection, Hello), AcceptError> {
    let prepared = socket::prepare_socket(&stream).and_then(|()| stream.peer_addr());
    let peer = prepared.map_err(LinkError::Io)?;
    let mut connection = Connection::new(stream, peer, BytesMut::new(), HELLO_FRAME_MAX_BYTES);
    let hello = match connection.receive::<Hello>().await {
        Ok(Some(hello)) => hello,
        Ok(None) => return Err(LinkError::CutFrame.into()),
        Err(cause) => {
            let refusal = Welcome::Refused(HelloRefusal::NotAHello);
            connection.send(&refusal).await?;
            return Err(cause.into());
        }
    };
    let decision = check_protocol(&hello).and_then(|()| decide(&hello));
    match decision {
        Ok((accepted, limits)) => {
            let welcome = Welcome::Accepted {
                cluster: accepted.cluster,
                node: accepted.node,
                incarnation: accepted.incarnation,
            };
            connection.send(&welcome).await?;
            let (stream, input, _) = connection.into_parts();
            let connection = Connection::new(stream, peer, input, limits.frame_max_bytes);
            Ok((connection, hello))
        }
        Err(why) => {
            connection.send(&Welcome::Refused(why.clone())).await?;
            Err(why.into())
        }
    }
}

fn check_protocol(hello: &Hello) -> Result<(), HelloRefusal> {
    if hello.protocol == PROTOCOL_VERSION {
        Ok(())
    } else {
        Err(HelloRefusal::Protocol {
            ours: PROTOCOL_VERSION,
            theirs: hello.protocol,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
