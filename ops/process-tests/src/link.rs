//! A bare connection, for what no program of ours would send.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use bytes::BytesMut;
use kv_common::message::hello::{Caller, Hello, PROTOCOL_VERSION, Welcome};
use kv_net::{encode_frame, take_frame};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wait::PATIENCE;

const FRAME_MAX_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 16 << 10;

/// The hello of a well-behaved client.
#[must_use]
pub fn client_hello() -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster: None,
        caller: Caller::Client {
            name: "process-tests".to_owned(),
        },
        credentials: None,
    }
}

/// A connection to a port of a program under test.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    input: BytesMut,
}

impl Link {
    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody is there.
    ///
    /// # Panics
    /// When the socket does not work.
    pub fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address)
            .map_err(|cause| format!("{address} is not reached: {cause}"))?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .expect("a socket takes timeouts");
        Ok(Self {
            stream,
            input: BytesMut::new(),
        })
    }

    /// Connects to `address` as a client does, hello included.
    ///
    /// # Errors
    /// When nobody is there, or the caller is not welcome.
    pub fn as_client(address: &str) -> Result<Self, String> {
        let mut link = Self::open(address)?;
        link.send(&client_hello());
        match link.receive() {
            Some(Welcome::Accepted { .. }) => Ok(link),
            other => Err(format!(
                "{address} answered a client's hello with {other:?}"
            )),
        }
    }

    /// Sends bytes as they are. Says whether the other side still took them.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a message in a frame. Says whether the other side still took it.
    ///
    /// # Panics
    /// When the message does not fit in a frame.
    pub fn send<M: Serialize>(&mut self, message: &M) -> bool {
        let mut frame = BytesMut::new();
        encode_frame(message, FRAME_MAX_BYTES, &mut frame).expect("a message is encoded");
        self.send_bytes(&frame)
    }

    /// The next message; none when the other side has closed.
    ///
    /// # Panics
    /// When nothing comes, or something that is no `M`.
    pub fn receive<M: DeserializeOwned>(&mut self) -> Option<M> {
        loop {
            let taken = take_frame(&mut self.input, FRAME_MAX_BYTES);
            if let Some(message) = taken.expect("the other side speaks the protocol") {
                return Some(message);
            }
            let bytes = self.read()?;
            self.input.extend_from_slice(&bytes);
        }
    }

    /// Waits until the other side closes; what came before is dropped.
    ///
    /// # Panics
    /// When it does not close.
    pub fn wait_for_close(&mut self) {
        while self.read().is_some() {}
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; READ_BYTES];
        match self.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(count) => {
                bytes.truncate(count);
                Some(bytes)
            }
            // A close with bytes of ours unread comes as a reset.
            Err(cause) if cause.kind() == ErrorKind::ConnectionReset => None,
            Err(cause) => panic!("the other side neither answers nor closes: {cause}"),
        }
    }
}
