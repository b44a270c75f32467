//! When a primary has answered, no primary of an earlier epoch answers from its lease any more. What
//! was committed in an earlier epoch may still be acknowledged: it was held by all.

use kv_common::id::{Epoch, NodeId};

use super::{Violation, primary, violation};

/// The newest epoch in which anything was answered.
#[derive(Debug, Default)]
pub(super) struct Readers {
    newest: Epoch,
}

impl Readers {
    pub(super) fn check(
        &mut self,
        id: NodeId,
        epoch: Option<Epoch>,
        on_lease: bool,
    ) -> Result<(), Violation> {
        let Some(epoch) = epoch else {
            return Ok(());
        };
        if on_lease && epoch < self.newest {
            let what = format!(
                "{} answers from its lease after epoch {} answered",
                primary(id, epoch),
                self.newest
            );
            return violation("one primary answers at a time", what);
        }
        self.newest = self.newest.max(epoch);
        Ok(())
    }
}
