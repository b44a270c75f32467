//! A connection to a Redis that is read from: requests out, pieces of replies in.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use kv_common::id::Address;
use kv_common::limits::VALUE_MAX_BYTES;
use kv_resp::{Piece, ReplyReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::cli::failure::Failure;

/// Room that is made before each reading.
const READ_BYTES: usize = 64 << 10;

/// Requests that are sent together.
#[derive(Debug, Default)]
pub(super) struct Requests(BytesMut);

impl Requests {
    pub(super) fn push(&mut self, words: &[&[u8]]) {
        self.0.put_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.0.put_slice(format!("${}\r\n", word.len()).as_bytes());
            self.0.put_slice(word);
            self.0.put_slice(b"\r\n");
        }
    }
}

/// The half that asks.
pub(super) struct Asking {
    socket: OwnedWriteHalf,
    link: Link,
}

/// The half that is answered.
pub(super) struct Answers {
    socket: OwnedReadHalf,
    reader: ReplyReader,
    input: BytesMut,
    link: Link,
}

/// Who is at the other end, and how long each step may take.
#[derive(Clone)]
struct Link {
    address: Address,
    patience: Duration,
}

/// Connects.
pub(super) async fn connect(
    address: &Address,
    patience: Duration,
) -> Result<(Asking, Answers), Failure> {
    let link = Link {
        address: address.clone(),
        patience,
    };
    let socket = link.waited(TcpStream::connect(&address.0)).await?;
    socket
        .set_nodelay(true)
        .map_err(|error| link.away(error.to_string()))?;
    let (read, write) = socket.into_split();
    let asking = Asking {
        socket: write,
        link: link.clone(),
    };
    let answers = Answers {
        socket: read,
        reader: ReplyReader::new(VALUE_MAX_BYTES),
        input: BytesMut::new(),
        link,
    };
    Ok((asking, answers))
}

impl Asking {
    /// Sends all of the requests. Their answers have to be taken meanwhile: who does not read may not
    /// be read from either.
    pub(super) async fn send(&mut self, mut requests: Requests) -> Result<(), Failure> {
        while !requests.0.is_empty() {
            let writing = self.socket.write_buf(&mut requests.0);
            self.link.waited(writing).await?;
        }
        Ok(())
    }
}

impl Answers {
    /// The next piece of a reply.
    pub(super) async fn next(&mut self) -> Result<Piece, Failure> {
        loop {
            let taken = self.reader.take(&mut self.input);
            match taken.map_err(|error| self.unfit(format!("is none: {error}")))? {
                Some(piece) => return Ok(piece),
                None => {
                    self.input.reserve(READ_BYTES);
                    let reading = self.socket.read_buf(&mut self.input);
                    if self.link.waited(reading).await? == 0 {
                        return Err(self.link.away("it closed the connection".to_owned()));
                    }
                }
            }
        }
    }

    /// What came is not what was asked for.
    pub(super) fn unexpected(&self, asked: &str, piece: &Piece) -> Failure {
        let said = match piece {
            Piece::Error(text) => text.clone(),
            other => format!("{other:?}").chars().take(100).collect(),
        };
        self.unfit(format!("answers {asked} with '{said}'"))
    }

    pub(super) fn unfit(&self, what: String) -> Failure {
        Failure::RedisUnfit {
            address: self.link.address.clone(),
            what,
        }
    }
}

impl Link {
    fn away(&self, cause: String) -> Failure {
        Failure::RedisAway {
            address: self.address.clone(),
            cause,
        }
    }

    async fn waited<T>(
        &self,
        step: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout(self.patience, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.away(error.to_string())),
            Err(_) => Err(self.away(format!("nothing moves for {:?}", self.patience))),
        }
    }
}
