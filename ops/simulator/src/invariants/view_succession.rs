//! Epochs rise, a new primary was a member of the view before, nobody is let in who is drained, and every
//! member of a view holds everything that was committed before it.

use std::collections::{BTreeMap, BTreeSet};

use kv_common::id::{NodeId, Position};
use kv_common::view::View;

use crate::node::SimulatedNode;

use super::{Violation, violation};

/// The view that is durable.
#[derive(Debug, Default)]
pub(super) struct Views {
    newest: Option<View>,
}

impl Views {
    pub(super) fn check(
        &mut self,
        view: &View,
        committed: Option<Position>,
        nodes: &BTreeMap<NodeId, SimulatedNode>,
        drained: &BTreeSet<NodeId>,
    ) -> Result<(), Violation> {
        let before = self.newest.replace(view.clone());
        let Some(before) = before.filter(|before| before != view) else {
            return Ok(());
        };
        if view.epoch <= before.epoch {
            let what = format!("epoch {} follows epoch {}", view.epoch, before.epoch);
            return violation("epochs rise", what);
        }
        if !before.has_member(view.primary.node) {
            let what = format!("{view} follows {before}");
            return violation("a primary was a member before", what);
        }
        let let_in = |node: &NodeId| !before.has_member(*node) && drained.contains(node);
        if let Some(node) = view.members().find(let_in) {
            let what = format!("{view}: node {} is drained", node.0);
            return violation("nobody is let in who is drained", what);
        }
        let Some(committed) = committed else {
            return Ok(());
        };
        for member in view.members() {
            let disk = nodes.get(&member).map(|node| &node.disk);
            let held = disk.and_then(|disk| disk.position_at(committed.seq));
            if held != Some(committed) {
                let what = format!(
                    "{view}: node {} holds {held:?} where {committed} was committed",
                    member.0
                );
                return violation("members hold what was committed", what);
            }
        }
        Ok(())
    }
}
