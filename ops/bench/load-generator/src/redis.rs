//! A connection to a Redis server, or to this store's Redis door.

use std::io;

use bytes::{BufMut, BytesMut};
use kv_common::id::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::lane::Operation;
use crate::reply::{self, Reply};

/// A connection that speaks RESP2.
pub(crate) struct RedisConnection {
    socket: TcpStream,
    output: BytesMut,
    input: BytesMut,
    /// Replicas that a group with writes waits for, by one WAIT behind it; 0: no WAIT.
    wait: u32,
}

impl RedisConnection {
    pub(crate) async fn open(address: &Address, wait: u32) -> Result<Self, Failure> {
        let socket = TcpStream::connect(&address.0).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            output: BytesMut::new(),
            input: BytesMut::new(),
            wait,
        })
    }

    pub(crate) async fn group(&mut self, operations: &[Operation]) -> Result<(), Failure> {
        let mut writes = false;
        for operation in operations {
            match operation {
                Operation::Get { key } => self.push(&[b"GET", key]),
                Operation::Set { key, value } => {
                    writes = true;
                    self.push(&[b"SET", key, value]);
                }
            }
        }
        let waits = writes && self.wait > 0;
        if waits {
            let wait = self.wait.to_string();
            self.push(&[b"WAIT", wait.as_bytes(), b"0"]);
        }
        self.flush().await?;
        let mut result = Ok(());
        for operation in operations {
            let reply = self.receive().await?;
            result = result.and(judge(operation, reply));
        }
        if waits {
            result = result.and(enough(self.receive().await?, self.wait));
        }
        result
    }

    /// Sends one request and receives its reply.
    pub(crate) async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, Failure> {
        self.push(words);
        self.flush().await?;
        self.receive().await
    }

    fn push(&mut self, words: &[&[u8]]) {
        self.head(b'*', words.len());
        for word in words {
            self.head(b'$', word.len());
            self.output.put_slice(word);
            self.output.put_slice(b"\r\n");
        }
    }

    fn head(&mut self, kind: u8, number: usize) {
        self.output.put_u8(kind);
        self.output.put_slice(number.to_string().as_bytes());
        self.output.put_slice(b"\r\n");
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let sent = self.socket.write_all(&self.output).await;
        self.output.clear();
        Ok(sent?)
    }

    async fn receive(&mut self) -> Result<Reply, Failure> {
        loop {
            if let Some(reply) = reply::take(&mut self.input)? {
                return Ok(reply);
            }
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn judge(operation: &Operation, reply: Reply) -> Result<(), Failure> {
    match (operation, reply) {
        (Operation::Set { .. }, Reply::Status(_)) | (Operation::Get { .. }, Reply::Bulk(_)) => {
            Ok(())
        }
        (_, Reply::Error(error)) => Err(Failure::Refused(error)),
        (_, other) => Err(Failure::NotUnderstood(format!("{other:?}"))),
    }
}

/// What WAIT answered.
pub(crate) fn enough(reply: Reply, asked: u32) -> Result<(), Failure> {
    match reply {
        Reply::Integer(held) if held >= i64::from(asked) => Ok(()),
        Reply::Integer(held) => Err(Failure::TooFewReplicas { held, asked }),
        Reply::Error(error) => Err(Failure::Refused(error)),
        other => Err(Failure::NotUnderstood(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::RedisConnection;
    use crate::lane::Operation;
    use bytes::Bytes;
    use kv_common::id::Address;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What a group of a SET and a GET says, and what comes of `answer`.
    async fn group_against(answer: &'static [u8]) -> (Vec<u8>, Result<(), String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address(listener.local_addr().expect("an address").to_string());
        let server = async {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut asked = vec![0; 4096];
            let length = socket.read(&mut asked).await.expect("a request");
            socket.write_all(answer).await.expect("an answer");
            asked.truncate(length);
            asked
        };
        let client = async {
            let mut connection = RedisConnection::open(&address, 2).await.expect("connects");
            let key = Bytes::from_static(b"k");
            let value = Bytes::from_static(b"v");
            let set = Operation::Set {
                key: key.clone(),
                value,
            };
            let result = connection.group(&[set, Operation::Get { key }]).await;
            result.map_err(|failure| failure.to_string())
        };
        tokio::join!(server, client)
    }

    #[tokio::test]
    async fn a_group_with_a_write_ends_with_one_wait() {
        let (asked, result) = group_against(b"+OK\r\n$1\r\nv\r\n:2\r\n").await;
        assert_eq!(
            asked,
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$1\r\n0\r\n"
        );
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_success_fails_the_group() {
        for (answer, expected) in [
            (&b"+OK\r\n$1\r\nv\r\n:1\r\n"[..], "held by 1 replicas"),
            (b"-READONLY no\r\n$1\r\nv\r\n:2\r\n", "refused: READONLY no"),
            (b"+OK\r\n:7\r\n:2\r\n", "not understood: Integer(7)"),
            (b"+OK\r\n", "the connection broke"),
        ] {
            let (_, result) = group_against(answer).await;
            let error = result.expect_err("a failure");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
