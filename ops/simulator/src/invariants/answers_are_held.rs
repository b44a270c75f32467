//! No write is answered with success before every member of the view holds it, and as many copies as the
//! cluster was told to have.

use std::collections::BTreeMap;

use kv_common::id::{NodeId, Position};
use kv_common::message::client::SessionStamp;
use kvnode_core::state::LookUp;

use crate::node::SimulatedNode;

use super::{Violation, violation};

const INVARIANT: &str = "an answered write is held";

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
        return violation(INVARIANT, what);
    };
    let position = replica.history().position_of(seq);
    let holds = |node: &SimulatedNode| node.disk.position_at(seq) == Some(position);
    let holders = nodes.values().filter(|node| holds(node)).count();
    if holders < enough {
        let what = says(id, position, &format!("{holders} of {enough} disks hold"));
        return violation(INVARIANT, what);
    }
    let view = replica.promises().view.as_ref();
    let mut members = view.into_iter().flat_map(|view| view.members());
    match members.find(|member| !nodes.get(member).is_some_and(holds)) {
        None => Ok(()),
        Some(lacks) => {
            let what = says(id, position, &format!("node {} lacks", lacks.0));
            violation(INVARIANT, what)
        }
    }
}

fn says(id: NodeId, position: Position, what: &str) -> String {
    format!(
        "node {} answers the write at {position}, which {what}",
        id.0
    )
}
