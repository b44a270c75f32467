//! How everything is.

use kv_common::id::Address;
use kv_common::message::client::{ClientToNode, NodeToClient};
use kv_common::message::control::NodeReport;
use kv_common::message::registry::{
    ClientToCoordinator, ClusterStatus, CoordinatorToClient, NodeStatus,
};
use kv_common::view::{ClusterMap, NodeInfo};
use tokio::time::{Duration, Instant};

use crate::client::Client;
use crate::error::ClientError;
use crate::exchange::EXCHANGE;

/// How long nodes are given to tell how they are, when the coordinator does not.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Who told how everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusSource {
    /// The coordinator.
    Coordinator,
    /// The nodes, each for itself, while no coordinator is reached.
    Nodes,
}

/// How everything is, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// Who told.
    pub source: StatusSource,
    /// It.
    pub status: ClusterStatus,
}

impl Client {
    /// How everything is: asked of the coordinator, or of the nodes that are known while that is
    /// away.
    ///
    /// # Errors
    /// When nobody tells.
    pub async fn status(&self) -> Result<StatusReport, ClientError> {
        let nobody = match self.status_of_coordinator().await {
            Ok(status) => {
                return Ok(StatusReport {
                    source: StatusSource::Coordinator,
                    status,
                });
            }
            Err(error @ ClientError::NobodyToAsk { .. }) => error,
            Err(error) => return Err(error),
        };
        match self.status_of_nodes(&nobody).await {
            Some(status) => Ok(StatusReport {
                source: StatusSource::Nodes,
                status,
            }),
            None => Err(nobody),
        }
    }

    async fn status_of_coordinator(&self) -> Result<ClusterStatus, ClientError> {
        let seen = self.seen().borrow().clone();
        // With others to ask, one round is enough.
        let others = !self.known_nodes(seen.map.as_deref()).is_empty();
        let patience = if others {
            self.timeout().min(REPORT_TIMEOUT)
        } else {
            self.timeout()
        };
        let deadline = Instant::now() + patience;
        let question = ClientToCoordinator::Status { id: EXCHANGE };
        let mut asked = self.ask_coordinator(&question, deadline).await?;
        match asked.answer(deadline).await {
            Ok(CoordinatorToClient::Status { status, .. }) => Ok(status),
            Ok(other) => Err(asked.unexpected(&other)),
            Err(error) => Err(ClientError::NobodyToAsk {
                why: error.to_string(),
            }),
        }
    }

    async fn status_of_nodes(&self, why: &ClientError) -> Option<ClusterStatus> {
        let deadline = Instant::now() + self.timeout().min(REPORT_TIMEOUT);
        let known = self.seen().borrow().map.clone();
        let nodes = self.known_nodes(known.as_deref());
        let map = self.map_of_nodes(&nodes, deadline).await;
        let nodes = self.known_nodes(map.as_ref());
        let question = ClientToNode::Report { id: EXCHANGE };
        let answers = self.ask_nodes(&nodes, &question, deadline).await;
        let reports: Vec<_> = answers
            .into_iter()
            .filter_map(|(address, answer)| match answer {
                Ok(NodeToClient::Report { report, .. }) => Some((address, report)),
                _ => None,
            })
            .collect();
        let map = map.or_else(|| known.map(|known| (*known).clone()));
        if reports.is_empty() && map.is_none() {
            return None;
        }
        let condition = format!("{why}; this is what the nodes say");
        Some(put_together(map, &reports, condition))
    }
}

fn put_together(
    map: Option<ClusterMap>,
    reports: &[(Address, NodeReport)],
    condition: String,
) -> ClusterStatus {
    let mut map = map.unwrap_or_else(|| ClusterMap {
        cluster: kv_common::id::ClusterId(0),
        version: 0,
        view: None,
        joiners: Vec::new(),
        nodes: std::collections::BTreeMap::new(),
    });
    for (address, report) in reports {
        map.nodes.entry(report.node).or_insert_with(|| NodeInfo {
            name: address.to_string(),
            address: address.clone(),
            redis_address: None,
        });
    }
    let nodes = map
        .nodes
        .keys()
        .map(|node| {
            let report = reports.iter().find(|(_, report)| report.node == *node);
            NodeStatus {
                node: *node,
                connected: report.is_some(),
                silent_ms: report.map(|_| 0),
                report: report.map(|(_, report)| report.clone()),
                // Only the coordinator knows.
                drained: false,
            }
        })
        .collect();
    ClusterStatus {
        map,
        conditions: vec![condition],
        nodes,
    }
}
