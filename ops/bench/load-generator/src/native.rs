//! This store's own protocol, by the client library as users have it.

use kv_common::id::Address;
use kvclient::{Client, ClientError, ClientOptions};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::lane::Operation;

/// One client with a connection and a session of its own.
pub(crate) struct NativeConnection {
    client: Client,
}

impl NativeConnection {
    /// A client that others are made like.
    pub(crate) fn first(coordinators: Vec<Address>) -> Result<Self, Failure> {
        let options = ClientOptions {
            coordinators,
            name: "load-generator".to_owned(),
            ..ClientOptions::default()
        };
        let client = Client::connect(options).map_err(|error| failure(&error))?;
        Ok(Self { client })
    }

    pub(crate) fn another(&self) -> Self {
        let client = self.client.sibling();
        Self { client }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn group(&mut self, operations: &[Operation]) -> Result<(), Failure> {
        if let [operation] = operations {
            return one(&self.client, operation.clone()).await;
        }
        let mut under_way = JoinSet::new();
        for operation in operations {
            let (client, operation) = (self.client.clone(), operation.clone());
            under_way.spawn(async move { one(&client, operation).await });
        }
        under_way.join_all().await.into_iter().collect()
    }
}

async fn one(client: &Client, operation: Operation) -> Result<(), Failure> {
    let result = match operation {
        Operation::Get { key } => client.get(key).await.map(drop),
        Operation::Set { key, value } => client.put(key, value).await,
    };
    result.map_err(|error| failure(&error))
}

/// The library has tried again by itself, so what it says is final.
pub(crate) fn failure(error: &ClientError) -> Failure {
    Failure::Refused(error.to_string())
}
