//! A service manager as daemons know it: it hears what they say of themselves, and holds their sockets.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::daemon::Daemon;
use crate::programs::Program;
use crate::wait::{PATIENCE, wait_until};

const MESSAGE_BYTES: usize = 4 << 10;

/// What systemd does for a program with one socket, in a shell: the number of the process that listens is not
/// known before there is one.
const PASS_STANDARD_INPUT: &str =
    r#"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$0 exec "$@" 3<&0 </dev/null"#;

/// A stand-in for systemd.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    held: BTreeMap<String, OwnedFd>,
}

impl Manager {
    /// Listens in `folder`.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn listen(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket of our own");
        socket.set_nonblocking(true).expect("a socket of our own");
        Self {
            socket,
            path,
            held: BTreeMap::new(),
        }
    }

    /// Starts `program` as a service.
    #[must_use]
    pub fn start(&self, program: Program, arguments: &[&str], log: &Path) -> Daemon {
        let mut command = Command::new(program.path());
        command.args(arguments).stdin(Stdio::null());
        self.run(&program.to_string(), command, log)
    }

    /// Starts `program` as a service, with the socket that is held under `name`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start_with(
        &self,
        name: &str,
        program: Program,
        arguments: &[&str],
        log: &Path,
    ) -> Daemon {
        let held = self.held.get(name);
        let socket = held.unwrap_or_else(|| panic!("there is no '{name}': {:?}", self.held));
        let mut command = Command::new("sh");
        command.args(["-c", PASS_STANDARD_INPUT, name]);
        command.arg(program.path()).args(arguments);
        command.stdin(socket.try_clone().expect("a socket is cloned"));
        self.run(&program.to_string(), command, log)
    }

    fn run(&self, name: &str, mut command: Command, log: &Path) -> Daemon {
        command.env("NOTIFY_SOCKET", &self.path);
        Daemon::spawn_command(name, command, log)
    }

    /// Waits until `wanted` was said; gives what was said up to then, and holds what came with it.
    ///
    /// # Panics
    /// When it is not said.
    pub fn wait_for(&mut self, wanted: &str) -> Vec<String> {
        let mut heard = Vec::new();
        wait_until(&format!("a service to say {wanted}"), PATIENCE, || {
            while let Some(message) = self.hear() {
                let is_wanted = message.contains(wanted);
                heard.push(message);
                if is_wanted {
                    return Ok(());
                }
            }
            Err(heard.join(", "))
        });
        heard
    }

    /// What was said and not heard yet, if anything was.
    pub fn hear(&mut self) -> Option<String> {
        let mut bytes = vec![0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.socket, &mut buffers, &mut ancillary, flags).ok()?;
        let descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        bytes.truncate(received.bytes);
        let message = String::from_utf8(bytes).expect("a message is text");
        let name = message
            .lines()
            .find_map(|line| line.strip_prefix("FDNAME="));
        if let Some(name) = name {
            self.held
                .extend(descriptors.into_iter().map(|held| (name.to_owned(), held)));
        }
        Some(message)
    }

    /// What is held, by name.
    #[must_use]
    pub fn held(&self) -> Vec<&str> {
        self.held.keys().map(String::as_str).collect()
    }
}
