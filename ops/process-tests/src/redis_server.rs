//! A real Redis server beside a cluster.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::resp::RespConnection;
use crate::wait::{PATIENCE, wait_until};

/// A Redis server that is killed when the value goes.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    address: String,
}

impl RedisServer {
    /// Starts one with `more` options, once it listens; none: there is no Redis on this machine, which is
    /// said, for the test leaves something out then.
    ///
    /// # Panics
    /// When it does not listen in time.
    #[must_use]
    pub fn start(folder: &Path, more: &[&str]) -> Option<Self> {
        // A Redis takes port 0 for "none".
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = probe.local_addr().expect("an address");
        drop(probe);
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(address.port().to_string())
            .arg("--dir")
            .arg(folder)
            .args(more)
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("left out: redis-server is not installed");
            return None;
        };
        let server = Self {
            child,
            address: address.to_string(),
        };
        wait_until("Redis to listen", PATIENCE, || {
            TcpStream::connect(address).map_err(|error| error.to_string())
        });
        Some(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection to it.
    #[must_use]
    pub fn connect(&self) -> RespConnection {
        RespConnection::connect(&self.address)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
