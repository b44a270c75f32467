//! No write is answered with success before as many copies hold it as the cluster was told to have.

use std::collections::BTreeMap;

use kv_common::id::NodeId;
use kv_common::message::client::SessionStamp;
use kvnode_core::state::LookUp;

use crate::node::SimulatedNode;

use super::{Violation, violation};

pub(super) fn check(
    id: NodeId,
    stamp: &SessionStamp,
    enough: usize,
    nodes: &BTreeMap<NodeId, SimulatedNode>,
) -> Result<(), Violation> {
    let Some(process) = nodes.get(&id).and_then(|node| node.process.as_ref()) else {
        return Ok(());
    };
    let replica = &process.replica;
    let record = replica.state().sessions().look_up(stamp.id, stamp.floor);
    let LookUp::Answered { seq, .. } = record else {
        let what = format!("node {} answers a write that it has not applied", id.0);
        return violation("an answered write is held by enough", what);
    };
    let position = replica.history().position_of(seq);
    let holders = nodes
        .values()
        .filter(|node| node.disk.position_at(seq) == Some(position))
        .count();
    if holders >= enough {
        return Ok(());
    }
    let what = format!(
        "node {} answers the write at {position}, which {holders} of {enough} disks hold",
        id.0
    );
    violation("an answered write is held by enough", what)
}
