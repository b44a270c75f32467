//! A gRPC connection to one member of an etcd cluster: `Put` and linearizable `Range` of its KV service.

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request, Version};
use kv_common::id::Address;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use crate::failure::Failure;
use crate::lane::Operation;

/// Field 1 of a message, as bytes. `key` of both requests.
const KEY_FIELD: u8 = 0x0a;
/// Field 2 of a message, as bytes. `value` of `PutRequest`.
const VALUE_FIELD: u8 = 0x12;
/// In front of a gRPC message: one byte that says whether it is compressed, four with its length.
const GRPC_HEAD_BYTES: usize = 5;

/// A connection to one member.
pub(crate) struct EtcdConnection {
    address: Address,
    requests: SendRequest<Bytes>,
    driver: AbortHandle,
}

impl Drop for EtcdConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl EtcdConnection {
    pub(crate) async fn open(address: &Address) -> Result<Self, Failure> {
        let socket = TcpStream::connect(&address.0).await?;
        socket.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(socket).await.map_err(broken)?;
        // Ends with the connection, or when this is dropped.
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            address: address.clone(),
            requests,
            driver: driver.abort_handle(),
        })
    }

    pub(crate) async fn group(&mut self, operations: &[Operation]) -> Result<(), Failure> {
        if let [operation] = operations {
            let answer = self.send(operation).await?;
            return receive(answer).await.map(drop);
        }
        let mut under_way = JoinSet::new();
        for operation in operations {
            under_way.spawn(receive(self.send(operation).await?));
        }
        let answers: Result<Vec<Bytes>, Failure> = under_way.join_all().await.into_iter().collect();
        answers.map(drop)
    }

    /// The value of a key; none if there is no such key.
    pub(crate) async fn get(&mut self, key: Bytes) -> Result<Option<Bytes>, Failure> {
        let answer = self.send(&Operation::Get { key }).await?;
        value_of_range(&receive(answer).await?)
    }

    async fn send(&mut self, operation: &Operation) -> Result<ResponseFuture, Failure> {
        let mut message = BytesMut::new();
        message.put_bytes(0, GRPC_HEAD_BYTES);
        let method = match operation {
            Operation::Get { key } => {
                put_field(&mut message, KEY_FIELD, key);
                "Range"
            }
            Operation::Set { key, value } => {
                put_field(&mut message, KEY_FIELD, key);
                put_field(&mut message, VALUE_FIELD, value);
                "Put"
            }
        };
        let length = u32::try_from(message.len() - GRPC_HEAD_BYTES).unwrap_or(u32::MAX);
        message[1..GRPC_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://{}/etcdserverpb.KV/{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| Failure::NotUnderstood(error.to_string()))?;
        let mut requests = self.requests.clone().ready().await.map_err(broken)?;
        let (answer, mut body) = requests.send_request(request, false).map_err(broken)?;
        body.send_data(message.freeze(), true).map_err(broken)?;
        Ok(answer)
    }
}

/// Waits for a whole answer and its status. Returns the message in it.
async fn receive(answer: ResponseFuture) -> Result<Bytes, Failure> {
    let (head, mut body) = answer.await.map_err(broken)?.into_parts();
    let mut message = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(broken)?;
        let released = body.flow_control().release_capacity(part.len());
        released.map_err(broken)?;
        message.extend_from_slice(&part);
    }
    let trailers = body.trailers().await.map_err(broken)?;
    // An error without a message has its status in the head.
    let headers = trailers.as_ref().unwrap_or(&head.headers);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(message.freeze()),
        status => Err(Failure::Refused(format!(
            "gRPC status {}: {}",
            status.unwrap_or("missing"),
            text("grpc-message").unwrap_or_default()
        ))),
    }
}

fn broken(error: h2::Error) -> Failure {
    Failure::Broken(std::io::Error::other(error))
}

fn put_field(message: &mut BytesMut, field: u8, bytes: &[u8]) {
    message.put_u8(field);
    let mut length = bytes.len();
    while length >= 0x80 {
        message.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.put_u8(length as u8);
    message.put_slice(bytes);
}

/// `RangeResponse.kvs[0].value`: field 5 of field 2.
fn value_of_range(message: &[u8]) -> Result<Option<Bytes>, Failure> {
    let content = message.get(GRPC_HEAD_BYTES..).unwrap_or_default();
    let Some(pair) = field(content, 2)? else {
        return Ok(None);
    };
    let value = field(pair, 5)?.unwrap_or_default();
    Ok(Some(Bytes::copy_from_slice(value)))
}

/// The content of the first field `wanted` of a message, where that is bytes.
fn field(mut message: &[u8], wanted: u64) -> Result<Option<&[u8]>, Failure> {
    while !message.is_empty() {
        let tag = take_number(&mut message)?;
        match tag & 7 {
            0 => drop(take_number(&mut message)?),
            2 => {
                let length = take_number(&mut message)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let (content, rest) = message.split_at_checked(length).ok_or_else(half)?;
                if tag >> 3 == wanted {
                    return Ok(Some(content));
                }
                message = rest;
            }
            other => return Err(Failure::NotUnderstood(format!("wire type {other}"))),
        }
    }
    Ok(None)
}

fn take_number(message: &mut &[u8]) -> Result<u64, Failure> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or_else(half)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(half())
}

fn half() -> Failure {
    Failure::NotUnderstood("half a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{KEY_FIELD, VALUE_FIELD, put_field, value_of_range};
    use bytes::{BufMut, Bytes, BytesMut};

    #[test]
    fn a_long_field_has_a_length_of_several_bytes() {
        let mut message = BytesMut::new();
        put_field(&mut message, KEY_FIELD, &[b'x'; 300]);
        assert_eq!(message[..3], [KEY_FIELD, 0xac, 0x02]);
        assert_eq!(message.len(), 303);
    }

    #[test]
    fn the_value_is_found_among_the_fields_of_an_answer() {
        let mut pair = BytesMut::new();
        put_field(&mut pair, KEY_FIELD, b"key");
        // create_revision, a number.
        pair.put_slice(&[0x10, 0x96, 0x01]);
        put_field(&mut pair, 0x2a, b"value");
        let mut message = BytesMut::new();
        message.put_bytes(0, 5);
        put_field(&mut message, KEY_FIELD, b"header");
        put_field(&mut message, VALUE_FIELD, &pair);
        let value = value_of_range(&message).expect("a sound answer");
        assert_eq!(value, Some(Bytes::from_static(b"value")));
        assert_eq!(
            value_of_range(&message[..5]).expect("an empty answer"),
            None
        );
        assert!(value_of_range(&message[..message.len() - 1]).is_err());
    }
}
