//! Whether all copies hold the same.

use kv_common::id::{Address, NodeId, Position};
use kv_common::message::client::{ClientToNode, MarkDigest, NodeToClient};

use crate::client::Client;
use crate::error::ClientError;
use crate::exchange::EXCHANGE;

/// What each copy held at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestReport {
    /// The position.
    pub at: Position,
    /// Each registered node, in the order of their names.
    pub copies: Vec<CopyDigest>,
}

/// What one copy held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyDigest {
    /// The node.
    pub node: NodeId,
    /// The name that people read.
    pub name: String,
    /// Where it is reached.
    pub address: Address,
    /// Whether it is in sync, and so has to hold the position.
    pub in_sync: bool,
    /// What it held, or why that is not known.
    pub digest: Result<MarkDigest, ClientError>,
}

impl DigestReport {
    /// Whether all copies that told hold the same.
    #[must_use]
    pub fn all_equal(&self) -> bool {
        let mut told = self
            .copies
            .iter()
            .filter_map(|copy| copy.digest.as_ref().ok());
        let first = told.next();
        told.all(|digest| Some(digest) == first)
    }

    /// A copy that is in sync and did not tell, if there is one.
    #[must_use]
    pub fn silent_member(&self) -> Option<(&CopyDigest, &ClientError)> {
        let members = self.copies.iter().filter(|copy| copy.in_sync);
        members
            .filter_map(|copy| Some((copy, copy.digest.as_ref().err()?)))
            .next()
    }
}

impl Client {
    /// Marks a position and asks every registered node for its digest there. A node that is not in
    /// sync may be far from the position; it is then reported with an error.
    ///
    /// # Errors
    /// When the position cannot be marked, or nobody tells which nodes there are.
    pub async fn digest(&self) -> Result<DigestReport, ClientError> {
        let at = self.mark().await?;
        let map = self.map().await?;
        let addresses: Vec<_> = map
            .nodes
            .values()
            .map(|info| info.address.clone())
            .collect();
        let question = ClientToNode::Digest { id: EXCHANGE, at };
        let answers = self.ask_nodes(&addresses, &question, self.deadline()).await;
        let mut copies: Vec<_> = map
            .nodes
            .iter()
            .map(|(node, info)| {
                let answer = answers.iter().find(|(address, _)| *address == info.address);
                CopyDigest {
                    node: *node,
                    name: info.name.clone(),
                    address: info.address.clone(),
                    in_sync: map.view.as_ref().is_some_and(|view| view.has_member(*node)),
                    digest: match answer {
                        Some((_, answer)) => digest_of(&info.address, answer.clone()),
                        None => Err(ClientError::Closed),
                    },
                }
            })
            .collect();
        copies.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(DigestReport { at, copies })
    }
}

fn digest_of(
    address: &Address,
    answer: Result<NodeToClient, ClientError>,
) -> Result<MarkDigest, ClientError> {
    match answer? {
        NodeToClient::Digest { result, .. } => Ok(result?),
        other => Err(ClientError::Unexpected {
            address: address.clone(),
            what: format!("{other:?}"),
        }),
    }
}
