//! The client library, whose retries count once.

use bytes::Bytes;
use kv_common::command::{Expiry, PutCondition};
use kvclient::{Client, ClientError, ClientOptions, PutOptions};
use simulator::history::Operation;

use super::way::{Failure, TIMEOUT};
use super::{LIVES, nanoseconds};

/// A client of the library.
pub(super) struct NativeSession {
    client: Client,
}

impl NativeSession {
    pub(super) fn new(coordinator: &str) -> Self {
        let options = ClientOptions {
            coordinators: vec![coordinator.parse().expect("an address of our own")],
            timeout: TIMEOUT,
            name: "recorder".to_owned(),
            ..ClientOptions::default()
        };
        Self {
            client: Client::connect(options).expect("a coordinator is named"),
        }
    }

    pub(super) async fn ask(&self, key: &str, operation: &Operation) -> Result<Operation, Failure> {
        self.answer(key, operation)
            .await
            .map_err(|error| match error {
                ClientError::OutcomeUnknown => Failure::Unknown,
                other => Failure::NotDone(other.to_string()),
            })
    }

    async fn answer(&self, key: &str, operation: &Operation) -> Result<Operation, ClientError> {
        let client = &self.client;
        let key = Bytes::copy_from_slice(key.as_bytes());
        Ok(match *operation {
            Operation::Put { value } => {
                client.put(key, text(value)).await?;
                Operation::Put { value }
            }
            Operation::PutThatGoes { value, .. } => {
                let options = PutOptions {
                    expiry: Some(Expiry::AfterMs(nanoseconds(LIVES) / 1_000_000)),
                    ..PutOptions::default()
                };
                client.put_with(key, text(value), options).await?;
                operation.clone()
            }
            Operation::PutIfEquals {
                expected, value, ..
            } => {
                let options = PutOptions {
                    condition: PutCondition::IfEquals(text(expected)),
                    ..PutOptions::default()
                };
                let done = client.put_with(key, text(value), options).await?;
                Operation::PutIfEquals {
                    expected,
                    value,
                    done: Some(done),
                }
            }
            Operation::Incr { by, .. } => {
                let sum = client.incr(key, i64::try_from(by).unwrap_or(1)).await?;
                Operation::Incr {
                    by,
                    sum: Some(u64::try_from(sum).expect("it only grows")),
                }
            }
            Operation::Delete { .. } => {
                let removed = client.delete(vec![key]).await?;
                Operation::Delete {
                    removed: Some(removed == 1),
                }
            }
            Operation::Get { .. } => {
                let value = client.get(key).await?;
                let seen = value.is_some().then(|| number(&value));
                Operation::Get { seen: Some(seen) }
            }
        })
    }
}

fn text(value: u64) -> Bytes {
    Bytes::from(value.to_string())
}

/// The number that a value stands for; 0 for none.
fn number(value: &Option<Bytes>) -> u64 {
    value.as_ref().map_or(0, |value| {
        let text = std::str::from_utf8(value).expect("a number was written");
        text.parse().expect("a number was written")
    })
}
