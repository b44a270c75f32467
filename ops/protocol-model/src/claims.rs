//! What must hold in every state.

use crate::{Cluster, Rules};

/// Every member of the newest view holds every write that was acknowledged.
#[must_use]
pub fn members_hold_what_is_acknowledged(cluster: &Cluster) -> bool {
    let mut members = cluster.coordinator.view().members().iter();
    members.all(|member| {
        let log = &cluster.nodes[member].log;
        cluster.acknowledged & !log.writes(log.len()) == 0
    })
}

/// Whoever may answer a read now would show every write that was acknowledged.
#[must_use]
pub fn reads_are_not_stale(cluster: &Cluster, rules: Rules) -> bool {
    cluster.nodes.iter().all(|node| {
        let shows_all = |committed| cluster.acknowledged & !node.log.writes(committed) == 0;
        node.primary
            .is_none_or(|primary| !primary.may_read(rules) || shows_all(primary.committed))
    })
}

/// Nobody committed anything in an epoch in which another run or node did.
#[must_use]
pub fn one_primary_commits_in_each_epoch(cluster: &Cluster) -> bool {
    !cluster.two_committed
}
