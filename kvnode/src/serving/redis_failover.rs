//! FAILOVER: the coordinator is asked for a switchover, as an operator would ask it.

use std::rc::Rc;
use std::time::Duration;

use kv_common::id::Address;
use kv_common::message::hello::{Caller, Hello, PROTOCOL_VERSION};
use kv_common::message::registry::{ClientToCoordinator, CoordinatorToClient, Order};
use kv_net::{Connection, Limits, dial};
use kv_resp::Value;
use tokio::time::timeout;

use super::redis_client::RedisClient;
use super::shard::Shard;

/// How long a switchover may take when the client does not say it. The coordinator gives one up sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why nobody was asked, or nothing was done.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error("no coordinator was reached: {why}")]
    NobodyToAsk { why: String },
    #[error("the coordinator went away; ask for ROLE")]
    Broke,
    #[error("the coordinator did not answer in time; the failover may still come")]
    Late,
    #[error("{0}")]
    Refused(String),
}

impl Shard {
    /// The primary role is to go to the node that Redis clients reach at an address, or to any. The
    /// client is answered when it has gone there.
    pub(super) fn fail_over(
        &mut self,
        client: &Rc<RedisClient>,
        slot: u64,
        to: Option<&Address>,
        patience: Option<Duration>,
    ) {
        let Some(serving) = self.serving.upgrade() else {
            return;
        };
        client.hold_until(slot);
        self.redis.fails_over = true;
        let order = Order::Switchover {
            to: to.and_then(|address| self.node_at(address)),
        };
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            cluster: self.pulse.cluster(),
            caller: Caller::Client {
                name: "redis-failover".to_owned(),
            },
            credentials: None,
        };
        let (client, coordinators) = (Rc::clone(client), self.coordinators.clone());
        let patience = patience.map_or(PATIENCE, |patience| patience.min(PATIENCE));
        tokio::task::spawn_local(async move {
            let done = timeout(patience, ask(&coordinators, &hello, order)).await;
            let value = match done.unwrap_or(Err(NotDone::Late)) {
                Ok(()) => Value::OK,
                Err(why) => Value::error(format!("ERR {why}")),
            };
            serving.turn(|shard, _| {
                shard.redis.fails_over = false;
                shard.put_redis(&client, slot, value);
            });
        });
    }

    /// The id of the node with that Redis door, as an order names it.
    fn node_at(&self, address: &Address) -> Option<String> {
        let nodes = &self.replica.map()?.nodes;
        let found = nodes
            .iter()
            .find(|(_, info)| info.redis_address.as_ref() == Some(address));
        found.map(|(node, _)| node.to_string())
    }
}

async fn ask(coordinators: &[Address], hello: &Hello, order: Order) -> Result<(), NotDone> {
    let mut connection = reach(coordinators, hello).await?;
    let question = ClientToCoordinator::Order { id: 0, order };
    connection
        .send(&question)
        .await
        .map_err(|_| NotDone::Broke)?;
    match connection.receive().await {
        Ok(Some(CoordinatorToClient::Ordered { result, .. })) => result
            .map(|_| ())
            .map_err(|refusal| NotDone::Refused(refusal.to_string())),
        _ => Err(NotDone::Broke),
    }
}

async fn reach(coordinators: &[Address], hello: &Hello) -> Result<Connection, NotDone> {
    let mut why = "none is named".to_owned();
    for address in coordinators {
        match dial(address, hello, Limits::control()).await {
            Ok((connection, _)) => return Ok(connection),
            Err(error) => why = error.to_string(),
        }
    }
    Err(NotDone::NobodyToAsk { why })
}
