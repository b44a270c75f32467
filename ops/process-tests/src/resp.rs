//! A connection to a Redis door, byte by byte: what was answered is compared as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::wait::PATIENCE;

/// A connection that speaks RESP.
#[derive(Debug)]
pub struct RespConnection {
    socket: BufReader<TcpStream>,
}

impl RespConnection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("somebody listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout is set");
        socket.set_nodelay(true).expect("an option is set");
        Self {
            socket: BufReader::new(socket),
        }
    }

    /// Sends bytes as they are. Says whether the other side took them.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.socket.get_mut().write_all(bytes).is_ok()
    }

    /// The same connection, to be written to while this value is read from.
    ///
    /// # Panics
    /// When the system has no room for it.
    #[must_use]
    pub fn writer(&self) -> Self {
        let socket = self.socket.get_ref().try_clone().expect("a second handle");
        Self {
            socket: BufReader::new(socket),
        }
    }

    /// Sends nothing more; what comes is still received.
    ///
    /// # Panics
    /// When the connection is broken.
    pub fn end_sending(&self) {
        let ended = self.socket.get_ref().shutdown(Shutdown::Write);
        ended.expect("the connection is open");
    }

    /// Closes the connection, with whatever waits in it.
    pub fn shut_down(&self) {
        // Fails only when the other side has closed it already.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When the connection is broken.
    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            let argument = argument.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        assert!(self.send_bytes(&bytes), "the connection is open");
    }

    /// The next reply, as it came, in readable form; none: the connection was closed.
    ///
    /// # Panics
    /// When what comes is no reply, or nothing comes for too long.
    pub fn receive(&mut self) -> Option<String> {
        let line = self.line()?;
        let (kind, text) = line.split_at(1);
        let length = || text.parse::<i64>().expect("a length");
        let nested = match kind {
            "$" | "=" if length() >= 0 => {
                let mut bytes = vec![0; usize::try_from(length()).expect("a length") + 2];
                self.socket.read_exact(&mut bytes).expect("a whole reply");
                bytes.truncate(bytes.len() - 2);
                return Some(format!("{kind}{:?}", bytes.escape_ascii().to_string()));
            }
            "*" | "~" | ">" if length() >= 0 => length(),
            "%" => 2 * length(),
            _ => return Some(line),
        };
        let parts: Vec<String> = (0..nested)
            .map(|_| self.receive().expect("a whole reply"))
            .collect();
        Some(format!("{kind}[{}]", parts.join(", ")))
    }

    /// Sends a request and receives its reply.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> String {
        self.send(arguments);
        self.receive().expect("a reply")
    }

    /// Sends a request and receives the bytes that it is answered with.
    ///
    /// # Panics
    /// When it is answered with anything else.
    pub fn ask_bytes<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Vec<u8> {
        self.send(arguments);
        let line = self.line().expect("a reply");
        let length = line.strip_prefix('$').and_then(|text| text.parse().ok());
        let length: usize = length.unwrap_or_else(|| panic!("no bytes: {line}"));
        let mut bytes = vec![0; length + 2];
        self.socket.read_exact(&mut bytes).expect("a whole reply");
        bytes.truncate(length);
        bytes
    }

    /// The next line without its end; none: the connection was closed.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.socket.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                let text = String::from_utf8(line).expect("a line of text");
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no reply: {error}"),
        }
    }
}
