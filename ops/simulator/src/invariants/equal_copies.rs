//! Copies that have applied the same number of entries have applied the same entries and hold the same.

use std::collections::BTreeMap;

use kv_common::id::{Epoch, NodeId, Seq};
use kvnode_core::replica::Replica;

use super::{Violation, violation};

/// What was held where.
#[derive(Debug, Default)]
pub(super) struct Copies {
    by_seq: BTreeMap<Seq, (Epoch, u128, NodeId)>,
    last_seen: BTreeMap<NodeId, Seq>,
}

impl Copies {
    pub(super) fn check(&mut self, id: NodeId, replica: &Replica) -> Result<(), Violation> {
        let applied = replica.applied();
        if self.last_seen.insert(id, applied.seq) == Some(applied.seq) {
            return Ok(());
        }
        let digest = replica.state().digest();
        let seen = (applied.epoch, digest, id);
        let (epoch, held, other) = *self.by_seq.entry(applied.seq).or_insert(seen);
        if (epoch, held) == (applied.epoch, digest) {
            return Ok(());
        }
        let what = format!(
            "at entry {} node {} is at epoch {} and node {} at epoch {epoch}; they hold {}",
            applied.seq,
            id.0,
            applied.epoch,
            other.0,
            if held == digest {
                "the same"
            } else {
                "different pairs"
            },
        );
        violation("equal positions, equal copies", what)
    }
}
