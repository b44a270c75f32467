//! In each epoch one run of one node acts as primary.

use std::collections::BTreeMap;

use kv_common::id::{Epoch, NodeId};
use kv_common::view::PrimarySeat;
use kvnode_core::replica::Replica;

use super::{Violation, primary, violation};

/// Who acted in which epoch.
#[derive(Debug, Default)]
pub(super) struct Seats(BTreeMap<Epoch, PrimarySeat>);

impl Seats {
    pub(super) fn check(&mut self, id: NodeId, replica: &Replica) -> Result<(), Violation> {
        let Some(epoch) = replica.role().primary_epoch() else {
            return Ok(());
        };
        let seat = replica.seat();
        let first = *self.0.entry(epoch).or_insert(seat);
        if first == seat {
            return Ok(());
        }
        let what = format!(
            "{} acts beside run {} of node {}",
            primary(id, epoch),
            first.incarnation,
            first.node.0
        );
        violation("one primary an epoch", what)
    }
}
