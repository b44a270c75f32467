//! Listening sockets that the service manager passes to a start (systemd's `LISTEN_FDS`): those that an earlier
//! run gave it to hold (`ServiceManager::hold`), or those of a socket unit. Who calls while no process serves
//! waits in the queue of such a socket instead of being refused.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::process;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{Shutdown, shutdown};

use crate::service_manager::ServiceManager;

/// No program here listens at more places than this.
const SOCKETS_MAX: usize = 16;

/// The listening sockets of this start.
#[derive(Debug, Default)]
pub struct PassedSockets(Vec<Passed>);

#[derive(Debug)]
struct Passed {
    /// What the service manager calls it.
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

impl PassedSockets {
    /// Those that are passed to this process. To be called before there is a second thread, for the variables
    /// that tell of them are taken out of the environment.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name| env::var(name).ok();
        let names = promised(
            process::id(),
            variable("LISTEN_PID").as_deref(),
            variable("LISTEN_FDS").as_deref(),
            variable("LISTEN_FDNAMES").as_deref(),
        );
        if names.is_empty() {
            return Self::default();
        }
        let mut descriptors = ListenFd::from_env();
        let passed = names.into_iter().enumerate().filter_map(|(index, name)| {
            let listener = match descriptors.take_tcp_listener(index) {
                Ok(listener) => listener?,
                Err(error) => {
                    tracing::warn!(%error, name, "the service manager passes what is no TCP socket");
                    return None;
                }
            };
            match address_of(&listener) {
                Some(address) => Some(Passed {
                    name,
                    address,
                    listener,
                }),
                None => {
                    tracing::warn!(name, "the service manager passes a socket that does not listen");
                    None
                }
            }
        });
        Self(passed.collect())
    }

    /// The one that listens at one of `addresses`.
    pub fn take(&mut self, addresses: &[SocketAddr]) -> Option<TcpListener> {
        let wanted = |passed: &Passed| addresses.contains(&passed.address);
        let index = self.0.iter().position(wanted)?;
        Some(self.0.swap_remove(index).listener)
    }

    /// Ends what is left, for nobody would ever answer there. Those that `manager` holds under one of `names` stop
    /// listening wherever they are open, so that another socket can have their port at once.
    pub fn give_up(self, names: &[&str], manager: &ServiceManager) {
        for Passed {
            name,
            address,
            listener,
        } in self.0
        {
            if !names.contains(&name.as_str()) {
                tracing::warn!(
                    %address,
                    "the service manager listens where no setting says so; callers there are not answered"
                );
                continue;
            }
            manager.let_go(&name);
            if let Err(error) = shutdown(&listener, Shutdown::Both) {
                tracing::warn!(%error, %address, "a socket of an earlier run cannot be closed");
            }
        }
    }
}

fn address_of(listener: &TcpListener) -> Option<SocketAddr> {
    socket_acceptconn(listener)
        .ok()
        .filter(|listens| *listens)?;
    listener.local_addr().ok()
}

/// The names of the sockets that are passed to the process `own`, given what the environment says.
fn promised(own: u32, pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> Vec<String> {
    let for_us = pid.and_then(|pid| pid.parse().ok()) == Some(own);
    let count = count.and_then(|count| count.parse().ok());
    let Some(count) = count.filter(|count| for_us && *count <= SOCKETS_MAX) else {
        return Vec::new();
    };
    let names = names.unwrap_or_default().split(':').map(str::to_owned);
    names
        .chain(std::iter::repeat_with(String::new))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Passed, PassedSockets, SOCKETS_MAX, promised};
    use crate::service_manager::ServiceManager;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn sockets_are_taken_only_when_they_are_meant_for_this_process() {
        let own = 42;
        let read = |pid, count, names| promised(own, pid, count, names);
        assert_eq!(read(Some("42"), Some("2"), Some("a:b")), ["a", "b"]);
        assert_eq!(read(Some("42"), Some("2"), Some("a")), ["a", ""]);
        assert_eq!(read(Some("42"), Some("1"), Some("a:b")), ["a"]);
        assert_eq!(read(Some("42"), Some("1"), None), [""]);
        let too_many = (SOCKETS_MAX + 1).to_string();
        for (pid, count) in [
            (Some("43"), Some("1")),
            (None, Some("1")),
            (Some("42"), None),
            (Some("42"), Some("-1")),
            (Some("42"), Some("18446744073709551615")),
            (Some("42"), Some(too_many.as_str())),
            (Some("x"), Some("x")),
        ] {
            assert!(read(pid, count, None).is_empty(), "{pid:?} {count:?}");
        }
    }

    #[test]
    fn each_is_found_by_its_address_and_what_is_left_stops_listening() {
        let listener = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (wanted, former) = (listener(), listener());
        let held = former.try_clone().expect("a copy, as the manager has one");
        let address = |listener: &TcpListener| listener.local_addr().expect("bound");
        let (here, there) = (address(&wanted), address(&former));
        let passed = |name: &str, listener| Passed {
            name: name.to_owned(),
            address: address(&listener),
            listener,
        };
        let mut sockets = PassedSockets(vec![passed("listen", former), passed("", wanted)]);
        let found = sockets.take(&[here]).expect("it is passed");
        assert_eq!(address(&found), here);
        assert!(sockets.take(&[here]).is_none());
        sockets.give_up(&["listen"], &ServiceManager::of_nobody());
        assert!(TcpStream::connect(there).is_err());
        assert!(TcpListener::bind(there).is_ok(), "the port is free");
        drop(held);
    }
}
