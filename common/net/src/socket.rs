//! Sockets as every program wants them.

use std::io;
use std::time::Duration;

use kv_common::id::Address;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// A connection that nothing comes over is probed after this long.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A probe that nobody answers is repeated so often.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// A connection whose bytes, or probes, nobody acknowledges is given up after this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
// The system gives up with the first probe that is due behind that time. Probes get lost: one in a hundred on a bad
// network, and on a good one when thousands of connections are probed at once.
const _: () = assert!(UNACKNOWLEDGED.as_secs() >= KEEPALIVE.as_secs() + 4 * PROBE_EVERY.as_secs());

/// Connections that wait to be taken. Whoever comes when there are more tries again a second later, so that a crowd
/// of clients that come back after a failover would take minutes. The system has a bound of its own, 4096 as a rule.
const BACKLOG: i32 = 4096;

/// Why a program cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("cannot listen on {address}: another program listens there; choose another port")]
    Taken {
        /// The address.
        address: Address,
    },
    /// The address is none of this machine's, or no address at all.
    #[error("cannot listen on {address}: {cause}")]
    Unusable {
        /// The address.
        address: Address,
        /// What the system said.
        cause: io::Error,
    },
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// When the port is taken or the address is not one of this machine's.
pub async fn listen(address: &Address) -> Result<TcpListener, ListenError> {
    let listener = TcpListener::bind(&address.0).await;
    let listener = listener.and_then(|listener| {
        // Said once more, as it is 128 by then.
        SockRef::from(&listener).listen(BACKLOG)?;
        Ok(listener)
    });
    listener.map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken {
            address: address.clone(),
        },
        _ => ListenError::Unusable {
            address: address.clone(),
            cause,
        },
    })
}

/// Prepares the socket of a connection: small messages go at once, and a dead other side is noticed.
///
/// # Errors
/// When the socket is closed already.
pub fn prepare_socket(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(PROBE_EVERY),
    )?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

#[cfg(test)]
mod tests {
    use super::listen;
    use kv_common::id::Address;
    use std::time::Duration;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_crowd_may_come_before_the_first_is_taken() {
        let address = Address("127.0.0.1:0".to_owned());
        let listener = listen(&address).await.expect("listens");
        let address = listener.local_addr().expect("has an address");
        let mut crowd = Vec::new();
        for _ in 0..400 {
            let come = timeout(DEADLINE, TcpStream::connect(address)).await;
            crowd.push(come.expect("there is room").expect("connects"));
        }
    }
}
