//! From acks to commits, to answers, and to the end of a takeover.

use kv_common::entry::{Entry, EntryBody};
use kv_common::id::Seq;
use kv_common::time::Now;

use super::{Next, Phase, Primary};
use crate::effect::Effect;
use crate::local::Local;

impl Primary {
    /// Commits what every counted member holds, applies it and answers what waited for it. To be
    /// called after everything that may have moved a position.
    pub(crate) fn advance(&mut self, now: Now, local: &mut Local) -> Next {
        if let Some(through) = self.held_by_all(local) {
            local.log.commit(through);
        }
        if let Some(through) = self.held_by_enough(local) {
            local.log.assure(through);
        }
        let (waiting, opening) = (&mut self.waiting, &mut self.opening_sessions);
        let before = local.log.applied();
        local.apply_committed(|entry| match request_of(entry) {
            Applied::Request(id) => waiting.applied(id),
            Applied::SessionOpened => *opening = opening.saturating_sub(1),
            Applied::Other => {}
        });
        if local.log.applied() > before {
            self.overlay.settle(local.log.applied());
        }
        let lease_until = self.lease_until();
        self.waiting.release(local, lease_until);
        self.finish_takeover(now, local);
        self.next_of_handover(local)
    }

    /// Up to where every counted member holds the log; none while one has not said so in this
    /// epoch.
    fn held_by_all(&self, local: &Local) -> Option<Seq> {
        self.counted().try_fold(local.log.held(), |through, node| {
            let held = self.followers.get(&node)?.held()?;
            Some(through.min(held))
        })
    }

    /// Up to where as many members hold the log as a success needs; none while too few said so.
    fn held_by_enough(&self, local: &Local) -> Option<Seq> {
        let need = usize::from(self.view.settings.min_in_sync).max(1);
        let others = self
            .counted()
            .filter_map(|node| self.followers.get(&node)?.held());
        let mut held: Vec<Seq> = std::iter::once(local.log.held()).chain(others).collect();
        held.sort_unstable_by(|one, other| other.cmp(one));
        held.get(need - 1).copied()
    }

    fn finish_takeover(&mut self, now: Now, local: &mut Local) {
        let Phase::TakingOver { tail, serve_from } = self.phase else {
            return;
        };
        if local.log.committed() < tail || now.monotonic < serve_from {
            return;
        }
        self.phase = Phase::Serving;
        // It was chosen for what it has, and every member of the view has that now.
        local.tail_is_made_up_for();
        let backups = self.view.backups.len();
        local.role_changed(format!(
            "primary of epoch {}, serving from position {} on, {backups} backups",
            self.view.epoch,
            local.log.last(),
        ));
    }

    /// Closes the open batch, hands it to the disk and to every follower that is up to it.
    pub(crate) fn close_batch(&mut self, now: Now, local: &mut Local) {
        if let Some(batch) = self.writer.close(local) {
            local.emit(Effect::Append(batch));
            self.send_all(now, local);
        }
    }

    /// Whether the open batch is to be closed now.
    pub(crate) fn batch_is_due(&self, local: &Local) -> bool {
        self.writer.is_due(local)
    }
}

enum Applied {
    Request(kv_common::id::RequestId),
    SessionOpened,
    Other,
}

fn request_of(entry: &Entry) -> Applied {
    match &entry.body {
        EntryBody::Changes {
            request: Some(record),
            ..
        } => Applied::Request(record.id),
        EntryBody::OpenSession => Applied::SessionOpened,
        EntryBody::Changes { request: None, .. } | EntryBody::EndSessions(_) | EntryBody::Mark => {
            Applied::Other
        }
    }
}
