//! Applied, committed, held, appended: each is at most the next, and nothing is assured that is not
//! committed.

use kv_common::id::NodeId;
use kvnode_core::replica::Replica;

use super::{Violation, violation};

pub(super) fn check(id: NodeId, replica: &Replica) -> Result<(), Violation> {
    let at = replica.positions();
    let chain = at.applied <= at.committed && at.committed <= at.held && at.held <= at.appended;
    if chain && at.assured <= at.committed {
        return Ok(());
    }
    violation("positions are a chain", format!("node {}: {at:?}", id.0))
}
