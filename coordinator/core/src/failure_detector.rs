//! When the primary is failed over. Being wrong costs a switch, never a write; being rash costs
//! many switches. So a silent primary needs a second witness, or a long time.

use kv_common::id::NodeId;
use kv_common::message::control::{DiskFailure, DiskHealth};
use kv_common::time::Monotonic;
use kv_common::view::View;

use crate::cluster_state::ClusterState;
use crate::liveness::Liveness;

/// Why a primary is to be failed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// Another run of it registered.
    Restarted,
    /// It is away, and a backup lost it as well.
    LostByTwo { witness: NodeId },
    /// It is silent for so long that no witness is needed.
    SilentForLong,
    /// It says, or shows, that it does not work.
    DoesNotWork { what: String },
    /// It is there and does not act.
    DoesNotAct,
    /// A member is sealed above the view, so the view cannot go on.
    Sealed { member: NodeId },
}

/// Why the primary of the view is to be failed over now, if it is.
pub(crate) fn suspect(
    now: Monotonic,
    state: &ClusterState,
    live: &Liveness,
    view: &View,
    installed_at: Monotonic,
) -> Option<Suspicion> {
    let primary = view.primary.node;
    let timing = view.settings.timing();
    let registered = state.nodes().get(&primary);
    if registered.is_some_and(|node| node.incarnation > view.primary.incarnation) {
        return Some(Suspicion::Restarted);
    }
    if !live.listened_long_enough(now, timing) {
        return None;
    }
    if let Some(member) = sealed_member(live, view) {
        return Some(Suspicion::Sealed { member });
    }
    let silent_for = live.silent_for(now, primary);
    if silent_for >= timing.down_alone() {
        return Some(Suspicion::SilentForLong);
    }
    let away = !live.is_connected(primary) || silent_for >= timing.down();
    if away {
        let witness = witness(live, view);
        return witness.map(|witness| Suspicion::LostByTwo { witness });
    }
    let (report, _) = live.nodes.get(&primary)?.report.as_ref()?;
    if let Some(what) = ailment(report, timing) {
        return Some(Suspicion::DoesNotWork { what });
    }
    let heard = live.nodes.get(&primary)?;
    let patience_from = installed_at
        .max(heard.registered_at)
        .max(live.counts_from());
    let patient = now.since(patience_from) < timing.stand_still();
    let acts = report.role.primary_epoch() == Some(view.epoch);
    (!acts && !patient).then_some(Suspicion::DoesNotAct)
}

/// A connected backup whose report, made after the primary was lost, does not list the primary
/// among those that it hears.
fn witness(live: &Liveness, view: &View) -> Option<NodeId> {
    let primary = live.nodes.get(&view.primary.node);
    let lost_at = primary.map_or(live.counts_from(), |heard| {
        heard.lost_at.unwrap_or(heard.heard_at)
    });
    let lost_it = |node: &NodeId| {
        live.is_connected(*node)
            && live
                .nodes
                .get(node)
                .and_then(|heard| heard.report.as_ref())
                .is_some_and(|(report, came_at)| {
                    *came_at > lost_at && !report.hears.contains(&view.primary.node)
                })
    };
    view.backups.iter().copied().find(lost_it)
}

fn sealed_member(live: &Liveness, view: &View) -> Option<NodeId> {
    view.members().find(|member| {
        live.is_connected(*member)
            && live
                .report_of(*member)
                .is_some_and(|report| report.seal > view.epoch)
    })
}

fn ailment(
    report: &kv_common::message::control::NodeReport,
    timing: kv_common::timing::Timing,
) -> Option<String> {
    let ms =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match &report.disk {
        DiskHealth::Failed(failure) => {
            let DiskFailure { trouble, cause } = &**failure;
            return Some(format!("its disk is {trouble}: {cause}"));
        }
        DiskHealth::Slow { pending_ms } if *pending_ms >= ms(timing.remove_stuck()) => {
            return Some(format!(
                "a flush of its disk takes {pending_ms} ms and goes on"
            ));
        }
        DiskHealth::Slow { .. } | DiskHealth::Works => {}
    }
    let stands_still = report.serving_age_ms >= ms(timing.stand_still());
    stands_still.then(|| {
        let age_ms = report.serving_age_ms;
        format!("its serving thread has stood still for {age_ms} ms")
    })
}
