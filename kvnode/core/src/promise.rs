//! What a node has promised, and when the promises it gave to primaries run out.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_common::id::{Epoch, Incarnation, NodeId};
use kv_common::time::Monotonic;
use kv_common::timing::takeover_wait;
use kv_common::view::{PrimarySeat, Release, View};
use serde::{Deserialize, Serialize};

/// The promises that must outlive the process. Stored as one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// The last view that the node adopted.
    pub view: Option<View>,
    /// No entry is accepted and no lease granted below this epoch.
    pub seal: Epoch,
    /// The role that the node gave up for good, if it did.
    pub release: Option<Release>,
    /// The longest lease of any view that the node adopted.
    pub longest_lease_ms: u64,
}

impl Promises {
    /// The epoch of the adopted view.
    #[must_use]
    pub fn view_epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch::ZERO, |view| view.epoch)
    }

    /// The lowest epoch that the node still has to do with.
    #[must_use]
    pub fn floor(&self) -> Epoch {
        self.view_epoch().max(self.seal)
    }

    /// Whether `view` is newer than what was adopted and not sealed off.
    #[must_use]
    pub fn allow(&self, view: &View) -> bool {
        view.epoch > self.view_epoch() && view.epoch >= self.seal
    }

    /// Takes `view` over.
    pub fn adopt(&mut self, view: View) {
        let lease_ms =
            u64::try_from(view.settings.timing().lease().as_millis()).unwrap_or(u64::MAX);
        self.longest_lease_ms = self.longest_lease_ms.max(lease_ms);
        self.view = Some(view);
    }

    fn longest_wait(&self) -> Duration {
        takeover_wait(Duration::from_millis(self.longest_lease_ms))
    }
}

/// Until when the node must not serve as primary, because earlier primaries may rely on leases
/// from it. Not stored: a node that starts waits as long as any promise could run.
#[derive(Clone, Debug)]
pub(crate) struct LeasePromises {
    /// What a former run of this node may have promised to anybody.
    from_former_run: Monotonic,
    /// For each primary answered in this run: the last epoch, and until when it may rely on us.
    given: BTreeMap<(NodeId, Incarnation), (Epoch, Monotonic)>,
}

impl LeasePromises {
    /// At the start of a run.
    pub(crate) fn at_start(now: Monotonic, stored: &Promises) -> Self {
        Self {
            from_former_run: now.after(stored.longest_wait()),
            given: BTreeMap::new(),
        }
    }

    /// Takes note that a message of `seat` was answered.
    pub(crate) fn answered(
        &mut self,
        now: Monotonic,
        seat: PrimarySeat,
        epoch: Epoch,
        stored: &Promises,
    ) {
        let until = now.after(stored.longest_wait());
        let promise = self
            .given
            .entry((seat.node, seat.incarnation))
            .or_insert((epoch, until));
        *promise = (epoch.max(promise.0), until.max(promise.1));
    }

    /// From when the node may serve as primary. A release takes out what was promised to the seat
    /// that gave it, in the epochs that it gave up; what a former run promised stays.
    pub(crate) fn serve_from(&mut self, now: Monotonic, release: Option<&Release>) -> Monotonic {
        self.given.retain(|_, (_, until)| *until > now);
        let released = |seat: &(NodeId, Incarnation), epoch: Epoch| {
            release.is_some_and(|release| {
                (release.seat.node, release.seat.incarnation) == *seat && epoch <= release.epoch
            })
        };
        self.given
            .iter()
            .filter(|(seat, (epoch, _))| !released(seat, *epoch))
            .map(|(_, (_, until))| *until)
            .fold(self.from_former_run, Monotonic::max)
    }
}

#[cfg(test)]
mod tests {
    use super::{LeasePromises, Promises};
    use kv_common::id::{Epoch, Incarnation, NodeId};
    use kv_common::time::Monotonic;
    use kv_common::view::{PrimarySeat, Release};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn seat(node: u64) -> PrimarySeat {
        PrimarySeat {
            node: NodeId(node),
            incarnation: Incarnation(1),
        }
    }

    fn stored() -> Promises {
        Promises {
            longest_lease_ms: 8_000,
            ..Promises::default()
        }
    }

    #[test]
    fn a_wait_counts_every_primary_not_only_the_last() {
        let start = Monotonic::ZERO;
        let mut promises = LeasePromises::at_start(start, &Promises::default());
        promises.answered(start.after(5 * SECOND), seat(1), Epoch(1), &stored());
        promises.answered(start.after(2 * SECOND), seat(2), Epoch(2), &stored());
        let now = start.after(6 * SECOND);
        assert_eq!(promises.serve_from(now, None), start.after(15 * SECOND));
    }

    #[test]
    fn a_release_ends_only_the_wait_for_its_own_seat() {
        let start = Monotonic::ZERO;
        let mut promises = LeasePromises::at_start(start, &Promises::default());
        promises.answered(start.after(2 * SECOND), seat(1), Epoch(1), &stored());
        promises.answered(start.after(5 * SECOND), seat(2), Epoch(2), &stored());
        let now = start.after(6 * SECOND);
        let release = |epoch| Release {
            epoch: Epoch(epoch),
            seat: seat(2),
        };
        let waits_for_first = promises.serve_from(now, Some(&release(2)));
        assert_eq!(waits_for_first, start.after(12 * SECOND));
        let too_old = promises.serve_from(now, Some(&release(1)));
        assert_eq!(too_old, start.after(15 * SECOND));
    }

    #[test]
    fn a_restarted_node_waits_for_what_it_forgot() {
        let start = Monotonic(77);
        let mut promises = LeasePromises::at_start(start, &stored());
        let release = Release {
            epoch: Epoch(9),
            seat: seat(2),
        };
        let serve_from = promises.serve_from(start, Some(&release));
        assert_eq!(serve_from, start.after(10 * SECOND));
    }
}
