//! What concerns the cluster and not its keys: who is primary, how everything is, orders, digests.

mod digest;
mod status;

use std::sync::Arc;

use kv_common::id::{Address, Epoch};
use kv_common::message::client::{ClientToNode, DumpSummary, NodeToClient};
use kv_common::message::registry::{ClientToCoordinator, CoordinatorToClient, Event, Order};
use kv_common::refusal::Refusal;
use kv_common::view::ClusterMap;
use tokio::time::{Duration, Instant};

pub use self::digest::{CopyDigest, DigestReport};
pub use self::status::{StatusReport, StatusSource};
use crate::client::Client;
use crate::error::ClientError;
use crate::exchange::{Callee, EXCHANGE, Question};

/// How long a node may take to write its data to a file, or to begin to send it. Its work grows
/// with the data, so the timeout of an operation does not fit.
pub(crate) const DUMP_TIMEOUT: Duration = Duration::from_secs(600);

/// Who is primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryLocation {
    /// The name that people read.
    pub name: String,
    /// Where it is reached.
    pub address: Address,
    /// The view that says so.
    pub epoch: Epoch,
}

impl Client {
    /// Who is primary: asked of the coordinator, or of the nodes while that is away.
    ///
    /// # Errors
    /// When nobody tells, or there is no view yet.
    pub async fn where_is_primary(&self) -> Result<PrimaryLocation, ClientError> {
        let map = self.map().await?;
        let view = map.view.as_ref().ok_or_else(|| ClientError::NobodyToAsk {
            why: "the cluster has no view yet, so there is no primary".to_owned(),
        })?;
        let address = map.primary_address();
        let address = address.ok_or_else(|| ClientError::NobodyToAsk {
            why: format!("the address of {} is not known", view.primary.node),
        })?;
        Ok(PrimaryLocation {
            name: map.name_of(view.primary.node),
            address: address.clone(),
            epoch: view.epoch,
        })
    }

    /// The map of the cluster: the coordinator's, or the newest that a node has while that is away.
    ///
    /// # Errors
    /// When nobody tells before the deadline.
    pub async fn map(&self) -> Result<Arc<ClusterMap>, ClientError> {
        let deadline = self.deadline();
        let mut seen = self.seen();
        loop {
            let told = seen.wait_for(|watched| watched.reached || watched.all_away);
            // Whether it came or not, what was seen by now decides.
            drop(tokio::time::timeout_at(deadline, told).await);
            let watched = seen.borrow().clone();
            if let (true, Some(map)) = (watched.reached, watched.map.clone()) {
                return Ok(map);
            }
            let nodes = self.known_nodes(watched.map.as_deref());
            if let Some(map) = self.map_of_nodes(&nodes, deadline).await {
                return Ok(Arc::new(map));
            }
            let why = watched.trouble.clone();
            let why = why.unwrap_or_else(|| "no node has a map".to_owned());
            if Instant::now() >= deadline {
                return Err(ClientError::NobodyToAsk { why });
            }
            const PAUSE: Duration = Duration::from_millis(50);
            tokio::time::sleep_until(deadline.min(Instant::now() + PAUSE)).await;
        }
    }

    /// Has a node write its `db.txt`: the one that is named by id, name or address, or the primary.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn dump(&self, node: Option<&str>) -> Result<DumpSummary, ClientError> {
        let address = match node {
            Some(node) => self.address_of(node).await?,
            None => self.where_is_primary().await?.address,
        };
        let question = ClientToNode::Dump { id: EXCHANGE };
        let hello = &self.shared.hello;
        let deadline = self.deadline();
        let mut asked = Question::ask(&address, hello, Callee::Node, &question, deadline).await?;
        match asked.answer(Instant::now() + DUMP_TIMEOUT).await? {
            NodeToClient::Dumped { result, .. } => Ok(result?),
            other => Err(asked.unexpected(&other)),
        }
    }

    /// The decisions of the coordinator after number `after` (0: all that are kept), oldest first,
    /// at most the newest `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, ClientError> {
        let deadline = self.deadline();
        let question = ClientToCoordinator::Events {
            id: EXCHANGE,
            after,
            limit,
        };
        let mut asked = self.ask_coordinator(&question, deadline).await?;
        match asked.answer(deadline).await? {
            CoordinatorToClient::Events { events, .. } => Ok(events),
            other => Err(asked.unexpected(&other)),
        }
    }

    /// Gives the coordinator an order. Returns what was done, in a sentence.
    ///
    /// # Errors
    /// See [`ClientError`]. When the answer was lost, the outcome is unknown.
    pub async fn order(&self, order: Order) -> Result<String, ClientError> {
        let deadline = self.deadline();
        let question = ClientToCoordinator::Order {
            id: EXCHANGE,
            order,
        };
        let mut asked = self.ask_coordinator(&question, deadline).await?;
        match asked.answer(deadline).await {
            Ok(CoordinatorToClient::Ordered { result, .. }) => Ok(result?),
            Ok(other) => Err(asked.unexpected(&other)),
            Err(_) => Err(ClientError::OutcomeUnknown),
        }
    }

    /// The address of the node that is named by id, name or address.
    pub(crate) async fn address_of(&self, node: &str) -> Result<Address, ClientError> {
        let map = self.map().await?;
        let mut named = map.nodes.iter().filter(|(id, info)| {
            info.name == node || info.address.0 == node || id.to_string() == node
        });
        match (named.next(), named.next()) {
            (Some((_, info)), None) => Ok(info.address.clone()),
            (None, _) => Err(ClientError::Refused(Refusal::NotFound {
                what: format!("there is no node '{node}'"),
            })),
            (Some(_), Some(_)) => Err(ClientError::Refused(Refusal::NotAllowed {
                why: format!("several nodes are called '{node}'; use an address or an id"),
            })),
        }
    }

    /// Asks the first coordinator that is reached.
    pub(crate) async fn ask_coordinator(
        &self,
        question: &ClientToCoordinator,
        deadline: Instant,
    ) -> Result<Question, ClientError> {
        const PAUSE: Duration = Duration::from_millis(50);
        let mut why = None;
        let coordinators = &self.shared.options.coordinators;
        while !coordinators.is_empty() {
            for address in coordinators {
                let hello = &self.shared.hello;
                match Question::ask(address, hello, Callee::Coordinator, question, deadline).await {
                    Ok(asked) => return Ok(asked),
                    // At the deadline an attempt is broken off, which says less than how the one before ended.
                    Err(ClientError::NobodyToAsk { .. })
                        if why.is_some() && Instant::now() >= deadline => {}
                    Err(ClientError::NobodyToAsk { why: cause }) => why = Some(cause),
                    Err(other) => return Err(other),
                }
            }
            if Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + PAUSE)).await;
        }
        let why = why.unwrap_or_else(|| "none is named".to_owned());
        let why = format!("coordinator: {why}");
        Err(ClientError::NobodyToAsk { why })
    }

    /// The nodes that the user named, and those of a map.
    pub(crate) fn known_nodes(&self, map: Option<&ClusterMap>) -> Vec<Address> {
        let mut known = self.shared.options.nodes.clone();
        let of_map = map.into_iter().flat_map(|map| map.nodes.values());
        for info in of_map {
            if !known.contains(&info.address) {
                known.push(info.address.clone());
            }
        }
        known
    }

    /// The newest map that one of `nodes` has.
    pub(crate) async fn map_of_nodes(
        &self,
        nodes: &[Address],
        deadline: Instant,
    ) -> Option<ClusterMap> {
        let question = ClientToNode::Map { id: EXCHANGE };
        let answers = self.ask_nodes(nodes, &question, deadline).await;
        let maps = answers.into_iter().filter_map(|(_, answer)| match answer {
            Ok(NodeToClient::Map { map, .. }) => map,
            _ => None,
        });
        maps.max_by_key(|map| map.version)
    }

    /// Asks all of `nodes` at once.
    pub(crate) async fn ask_nodes(
        &self,
        nodes: &[Address],
        question: &ClientToNode,
        deadline: Instant,
    ) -> Vec<(Address, Result<NodeToClient, ClientError>)> {
        let mut asking = tokio::task::JoinSet::new();
        for address in nodes {
            let address = address.clone();
            let hello = self.shared.hello.clone();
            let question = question.clone();
            asking.spawn(async move {
                let asked =
                    Question::ask(&address, &hello, Callee::Node, &question, deadline).await;
                let answer = match asked {
                    Ok(mut asked) => asked.answer(deadline).await,
                    Err(error) => Err(error),
                };
                (address, answer)
            });
        }
        let mut answers = asking.join_all().await;
        answers.sort_by(|(one, _), (other, _)| one.cmp(other));
        answers
    }
}
