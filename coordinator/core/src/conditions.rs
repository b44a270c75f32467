//! What the cluster waits for or suffers from, in sentences for people.

use kv_common::message::registry::{ClusterStatus, NodeStatus};
use kv_common::time::Now;

use crate::coordinator::Coordinator;
use crate::proposals::PATIENCE_WITH_FORMER_MEMBERS;

impl Coordinator {
    /// How everything is.
    #[must_use]
    pub fn status(&self, now: Now) -> ClusterStatus {
        let nodes = self.state.nodes().keys().map(|node| {
            let heard = self.live.nodes.get(node);
            NodeStatus {
                node: *node,
                connected: self.live.is_connected(*node),
                silent_ms: heard.map(|heard| {
                    let silent = now.monotonic.since(heard.heard_at);
                    u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)
                }),
                report: self.live.report_of(*node).cloned(),
                drained: self.state.is_drained(*node),
            }
        });
        ClusterStatus {
            map: self.map().clone(),
            conditions: self.conditions(),
            nodes: nodes.collect(),
        }
    }

    /// Why spares that are here do not replace who is away.
    fn who_is_waited_for(&self) -> Option<String> {
        let spare = self.live.nodes.iter().find(|(node, heard)| {
            let member = self
                .state
                .view()
                .is_some_and(|view| view.has_member(**node));
            heard.connection.is_some() && !member && !self.state.is_drained(**node)
        });
        let (spare, _) = spare?;
        let name = self.state.name_of(*spare);
        let patience_s = PATIENCE_WITH_FORMER_MEMBERS.as_secs();
        Some(format!(
            "{name} takes the place of a member that stays away for {patience_s} s, or at once when \
             that one is forgotten (kvclient admin forget)"
        ))
    }

    fn conditions(&self) -> Vec<String> {
        let mut conditions = Vec::new();
        if let Some(why) = &self.halted {
            conditions.push(why.clone());
        }
        if let Some(why) = &self.formation_blocked {
            conditions.push(why.clone());
        }
        let shared = self.shared_doors().into_iter();
        conditions.extend(shared.map(|(_, sentence)| sentence));
        let Some(view) = self.state.view() else {
            let here = self.fresh_nodes().len();
            conditions.push(format!(
                "no view yet: {here} of {} nodes have registered",
                self.settings.expect
            ));
            return conditions;
        };
        if let Some(failover) = &self.failover {
            let missing: Vec<String> = view
                .members()
                .filter(|member| !failover.has_answer(*member))
                .map(|member| self.state.name_of(member))
                .collect();
            conditions.push(format!(
                "a failover to epoch {} is under way; no answer yet from {}",
                failover.epoch,
                missing.join(", ")
            ));
        }
        conditions.extend(self.drained_conditions());
        let have = view.member_count();
        let want = usize::from(view.settings.copies);
        if have < usize::from(view.settings.min_in_sync) {
            conditions.push(format!(
                "new writes are refused: too few copies in sync: {have} of {}",
                view.settings.min_in_sync
            ));
        } else if have < want {
            conditions.push(format!("{have} of {want} copies are in sync"));
        }
        if have < want && self.joiners().is_empty() {
            conditions.extend(self.who_is_waited_for());
        }
        conditions
    }
}
