//! A numbered request is committed once, whoever sent it again and whoever was primary meanwhile.

use std::collections::BTreeMap;

use kv_common::entry::EntryBody;
use kv_common::id::{NodeId, RequestId, Seq};
use kvnode_core::replica::Replica;

use crate::disk::Disk;

use super::{Violation, violation};

/// Where each request was committed.
#[derive(Debug, Default)]
pub(super) struct Requests {
    at: BTreeMap<RequestId, Seq>,
    through: Seq,
}

impl Requests {
    /// Looks at what a primary has committed since.
    pub(super) fn check(
        &mut self,
        id: NodeId,
        replica: &Replica,
        disk: &Disk,
    ) -> Result<(), Violation> {
        let committed = replica.positions().committed;
        if replica.role().primary_epoch().is_none() || committed <= self.through {
            return Ok(());
        }
        for entry in disk.entries(self.through.next(), committed) {
            let EntryBody::Changes {
                request: Some(record),
                ..
            } = &entry.body
            else {
                continue;
            };
            let seq = entry.position.seq;
            if let Some(before) = self.at.insert(record.id, seq) {
                let what = format!(
                    "node {} commits request {} of session {} at {seq}, which was committed at {before}",
                    id.0, record.id.number, record.id.session
                );
                return violation("a request applies once", what);
            }
        }
        self.through = committed;
        Ok(())
    }
}
