//! What the service manager is told (systemd's `sd_notify`): readiness, a line of status, and signs of life
//! from the loop that serves. Nothing happens where there is no service manager.

use std::env;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use kv_common::time::Monotonic;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::time::{ClockId, clock_gettime};

/// A status line that changes all the time is told no more often.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The service manager, as far as it listens.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    fed_at: Option<Monotonic>,
    status: String,
    status_at: Option<Monotonic>,
}

impl ServiceManager {
    /// The one that started this program, if any. What it cannot be told is logged, not an error: the
    /// service itself works without.
    #[must_use]
    pub fn of_environment() -> Self {
        let address = env::var("NOTIFY_SOCKET").ok();
        let socket = address.and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, address, "the service manager cannot be told anything");
                None
            }
        });
        let for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
        let microseconds = env::var("WATCHDOG_USEC").ok().filter(|_| for_us);
        let microseconds = microseconds.and_then(|text| text.parse().ok());
        Self::new(socket, microseconds.map(Duration::from_micros))
    }

    /// None, whatever the environment says.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        Self::new(None, None)
    }

    fn new(socket: Option<UnixDatagram>, watchdog: Option<Duration>) -> Self {
        Self {
            socket,
            watchdog,
            fed_at: None,
            status: String::new(),
            status_at: None,
        }
    }

    /// The start is over: it serves.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// It reads its configuration again; [`Self::ready`] says when it has.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// Has a copy of `socket` held for the next run, under `name`, until the service is stopped for good.
    pub fn hold(&self, name: &str, socket: impl AsFd) {
        let Some(manager) = &self.socket else {
            return;
        };
        let message = format!("FDSTORE=1\nFDNAME={name}");
        if let Err(error) = send_with(manager, message.as_bytes(), socket.as_fd()) {
            tracing::debug!(%error, name, "the service manager was not given a socket to hold");
        }
    }

    /// Has what is held under `name` closed.
    pub fn let_go(&self, name: &str) {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }

    /// It stops. No further sign of life comes: how long a stop may take is bounded by other means.
    pub fn stopping(&mut self) {
        self.watchdog = None;
        self.tell("STOPPING=1\nWATCHDOG_USEC=0");
    }

    /// A turn of the loop that serves: a sign of life and what `status` gives, each when it is due.
    pub fn turn(&mut self, now: Monotonic, status: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        // Twice as often as is asked for.
        let feed_due = self
            .watchdog
            .is_some_and(|every| is_due(now, self.fed_at, every / 2));
        if feed_due {
            self.fed_at = Some(now);
            self.tell("WATCHDOG=1");
        }
        if is_due(now, self.status_at, STATUS_INTERVAL) {
            self.status_at = Some(now);
            self.status(status());
        }
    }

    /// The line that an operator reads, at once.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            // A line break would end the value.
            self.tell(&format!("STATUS={}", status.replace('\n', " ")));
            self.status = status;
        }
    }

    /// When [`Self::turn`] has something to do, if anything happens at all.
    #[must_use]
    pub fn next_due(&self) -> Monotonic {
        if self.socket.is_none() {
            return Monotonic(u64::MAX);
        }
        let due =
            |last: Option<Monotonic>, every| last.map_or(Monotonic::ZERO, |last| last.after(every));
        let status = due(self.status_at, STATUS_INTERVAL);
        let feed = self.watchdog.map(|every| due(self.fed_at, every / 2));
        feed.map_or(status, |feed| feed.min(status))
    }

    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(what.as_bytes())
        {
            // It never waits: one that takes nothing must not hold the service up.
            tracing::debug!(%error, "the service manager was not told {what}");
        }
    }
}

/// Sends `message`, and a copy of `descriptor` with it.
fn send_with(to: &UnixDatagram, message: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let text = [IoSlice::new(message)];
    sendmsg(to, &text, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn is_due(now: Monotonic, last: Option<Monotonic>, every: Duration) -> bool {
    last.is_none_or(|last| now.since(last) >= every)
}

fn connect(address: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::{ServiceManager, connect};
    use kv_common::time::Monotonic;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).expect("a socket of our own");
        let mut buffer = [0; 512];
        std::iter::from_fn(|| {
            socket
                .recv(&mut buffer)
                .ok()
                .map(|length| buffer[..length].to_vec())
        })
        .map(|bytes| String::from_utf8(bytes).expect("text"))
        .collect()
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn signs_of_life_come_twice_as_often_as_asked_and_the_status_when_it_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let socket = connect(path.to_str().expect("text")).expect("connects");
        let mut service = ServiceManager::new(Some(socket), Some(Duration::from_secs(10)));
        assert_eq!(service.next_due(), Monotonic::ZERO);
        service.ready();
        service.turn(at(100), || "backup".to_owned());
        service.turn(at(100), || "backup".to_owned());
        assert_eq!(heard(&manager), ["READY=1", "WATCHDOG=1", "STATUS=backup"]);
        assert_eq!(service.next_due(), at(101));
        service.turn(at(101), || "backup".to_owned());
        assert!(heard(&manager).is_empty());
        service.turn(at(102), || "primary\nof all".to_owned());
        assert_eq!(heard(&manager), ["STATUS=primary of all"]);
        service.turn(at(105), || "primary".to_owned());
        assert_eq!(heard(&manager), ["WATCHDOG=1", "STATUS=primary"]);
        service.stopping();
        service.turn(at(200), || "primary".to_owned());
        assert_eq!(heard(&manager), ["STOPPING=1\nWATCHDOG_USEC=0"]);
    }

    #[test]
    fn without_a_service_manager_nothing_is_due() {
        let mut service = ServiceManager::new(None, None);
        service.ready();
        service.turn(at(1), || unreachable!("nobody asks"));
        assert_eq!(service.next_due(), Monotonic(u64::MAX));
    }
}
