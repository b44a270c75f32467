//! What a primary takes for committed is on the disk of every member of its view, and stays what it is.

use std::collections::BTreeMap;

use kv_common::id::{Epoch, NodeId, Position, Seq};
use kvnode_core::replica::Replica;

use crate::node::SimulatedNode;

use super::{Violation, primary, violation};

const INVARIANT: &str = "what is committed is held by all";

/// How far commits went.
#[derive(Debug, Default)]
pub(super) struct Committed {
    newest: Option<Position>,
    by_primary: BTreeMap<(Epoch, NodeId), Seq>,
}

impl Committed {
    /// The newest entry that any primary took for committed.
    pub(super) fn newest(&self) -> Option<Position> {
        self.newest
    }

    pub(super) fn check(
        &mut self,
        id: NodeId,
        replica: &Replica,
        nodes: &BTreeMap<NodeId, SimulatedNode>,
    ) -> Result<(), Violation> {
        let role = replica.role().primary_epoch();
        let view = replica.promises().view.as_ref();
        let (Some(epoch), Some(view)) = (role, view) else {
            return Ok(());
        };
        let committed = replica.positions().committed;
        let before = self.by_primary.insert((epoch, id), committed);
        if before == Some(committed) || view.epoch != epoch || committed == Seq::ZERO {
            return Ok(());
        }
        let position = replica.history().position_of(committed);
        for member in view.members() {
            let held = nodes
                .get(&member)
                .and_then(|node| node.disk.position_at(committed));
            if held != Some(position) {
                let what = format!(
                    "{} commits {position}, and node {} holds {held:?} there",
                    primary(id, epoch),
                    member.0
                );
                return violation(INVARIANT, what);
            }
        }
        self.newest = self.newest.max(Some(position));
        Ok(())
    }
}
