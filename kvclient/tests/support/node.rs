//! A node of the cluster.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::id::{Epoch, Incarnation, NodeId, Position, ShardId};
use kv_common::message::client::{ClientToNode, DumpSummary, MarkDigest, NodeToClient};
use kv_common::message::control::{DiskHealth, HeldRole, NodeReport, Positions};
use kv_common::refusal::Refusal;
use kv_net::{Connection, Limits};
use tokio::net::TcpListener;

use super::{Attempt, Fault, World, accept_all, locked};

pub(super) async fn serve(listener: TcpListener, index: usize, world: Arc<Mutex<World>>) {
    let node = Some(NodeId(index as u64 + 1));
    accept_all(listener, node, Limits::client(), move |connection| {
        serve_one(connection, index, Arc::clone(&world))
    })
    .await;
}

async fn serve_one(mut connection: Connection, index: usize, world: Arc<Mutex<World>>) {
    while let Ok(Some(message)) = connection.receive::<ClientToNode>().await {
        let Some(answers) = locked(&world).answer(index, message) else {
            return;
        };
        for answer in answers {
            if connection.send(&answer).await.is_err() {
                return;
            }
        }
    }
}

impl World {
    /// What to send back; none: close the connection.
    fn answer(&mut self, index: usize, message: ClientToNode) -> Option<Vec<NodeToClient>> {
        let is_primary = index == self.primary;
        Some(match message {
            ClientToNode::Request { id, stamp, command } if is_primary => {
                return self.execute(id, Attempt { stamp, command });
            }
            ClientToNode::Request { id, .. } => {
                let result = Err(self.not_primary());
                vec![NodeToClient::Answer { id, result }]
            }
            ClientToNode::Map { id } => {
                let map = self.nodes_have_maps.then(|| self.map());
                vec![NodeToClient::Map { id, map }]
            }
            ClientToNode::Report { id } => {
                let report = self.report(index);
                vec![NodeToClient::Report { id, report }]
            }
            ClientToNode::Digest { id, at } => {
                let result = Ok(self.digest(index, at));
                vec![NodeToClient::Digest { id, result }]
            }
            ClientToNode::Dump { id } => {
                let result = Ok(self.summary("/data/db.txt"));
                vec![NodeToClient::Dumped { id, result }]
            }
            ClientToNode::Export { id } if is_primary => self.export(id),
            ClientToNode::Export { id } => {
                let result = Err(self.not_primary());
                vec![NodeToClient::ExportBegins { id, result }]
            }
        })
    }

    fn execute(&mut self, id: u64, attempt: Attempt) -> Option<Vec<NodeToClient>> {
        self.attempts.push(attempt.clone());
        let Attempt { stamp, command } = attempt;
        let of_session = matches!(command, Command::OpenSession | Command::EndSession { .. });
        let fault = if of_session {
            None
        } else {
            self.faults.pop_front()
        };
        let standing = self.refusal.clone().filter(|_| !of_session);
        let result = match (fault, standing) {
            (Some(Fault::CloseBefore), _) => return None,
            (Some(Fault::Refuse(refusal)), _) | (None, Some(refusal)) => Err(refusal),
            (Some(Fault::CloseAfter), _) => {
                let _ = self.table.execute(stamp, &command);
                return None;
            }
            (Some(Fault::Mute), _) => {
                let _ = self.table.execute(stamp, &command);
                return Some(Vec::new());
            }
            (None, None) => match (self.reads, &command) {
                (Some(read), Command::Get { key }) => Ok(Reply::Value(Some(read(key)))),
                _ => self.table.execute(stamp, &command),
            },
        };
        Some(vec![NodeToClient::Answer { id, result }])
    }

    fn not_primary(&self) -> Refusal {
        let primary = self.addresses[self.primary].clone();
        Refusal::NotPrimary {
            primary: self.hints.then_some(primary),
            epoch: Epoch(self.epoch),
        }
    }

    fn export(&self, id: u64) -> Vec<NodeToClient> {
        let result = Ok(self.summary(""));
        let mut answers = vec![NodeToClient::ExportBegins { id, result }];
        for (key, value) in &self.table.pairs {
            let bytes = Bytes::from([&key[..], b" ", &value[..], b"\n"].concat());
            answers.push(NodeToClient::ExportPart { id, bytes });
        }
        answers.push(NodeToClient::ExportEnds { id });
        answers
    }

    fn summary(&self, path: &str) -> DumpSummary {
        let pairs = self.table.pairs.iter();
        DumpSummary {
            at: Position::ZERO,
            keys: self.table.pairs.len() as u64,
            bytes: pairs
                .map(|(key, value)| key.len() + value.len() + 2)
                .sum::<usize>() as u64,
            path: path.to_owned(),
        }
    }

    fn digest(&self, index: usize, at: Position) -> MarkDigest {
        MarkDigest {
            at,
            keys: self.table.pairs.len() as u64,
            digest: u128::from(self.differs == Some(index)),
        }
    }

    pub(super) fn report(&self, index: usize) -> NodeReport {
        let epoch = Epoch(self.epoch);
        NodeReport {
            shard: ShardId(0),
            node: NodeId(index as u64 + 1),
            incarnation: Incarnation(1),
            view_epoch: epoch,
            view: None,
            seal: Epoch::ZERO,
            role: if index == self.primary {
                HeldRole::Primary { epoch }
            } else {
                HeldRole::Follower { epoch }
            },
            positions: Positions::default(),
            last_epoch: epoch,
            keys: self.table.pairs.len() as u64,
            disk: DiskHealth::Works,
            serving_age_ms: 0,
            hears: Vec::new(),
            followers: Vec::new(),
            copy: None,
            leaving: false,
            unfit: None,
        }
    }
}
