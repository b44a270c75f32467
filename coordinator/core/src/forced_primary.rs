//! The one way out that may lose acknowledged writes: an operator makes a node primary because every
//! member of the view is gone for good.

use kv_common::id::{Epoch, NodeId};
use kv_common::message::control::{HeldRole, NodeReport};
use kv_common::time::Now;
use kv_common::view::{PrimarySeat, View};

use crate::cluster_state::Command;
use crate::coordinator::{Coordinator, SHARD};
use crate::failover::{Failover, is_usable};

impl Coordinator {
    /// Says what would be lost; does it when the epoch that is given up was confirmed.
    pub(crate) fn force_primary(
        &mut self,
        now: Now,
        named: &str,
        confirmed: Option<Epoch>,
    ) -> Result<String, String> {
        let node = self.find(named)?;
        let view = self
            .state
            .view()
            .ok_or("there is no view yet; kvclient admin form makes the first one")?
            .clone();
        self.check_that_nothing_else_helps(&view, node)?;
        let report = self.report_of_candidate(node)?;
        let name = self.state.name_of(node);
        let loss = self.known_loss(now, &view, node, report);
        let epoch = view.epoch;
        match confirmed {
            None => Ok(format!(
                "{loss}\nNothing was done. If every member of epoch {epoch} is stopped for good, confirm \
                 with: kvclient admin force-primary {named} --accept-loss --epoch {epoch}"
            )),
            Some(confirmed) if confirmed != epoch => Err(format!(
                "the view in force is of epoch {epoch}, not {confirmed}; look again at what would be lost"
            )),
            Some(_) => {
                let next = self.install_forced(now, &view, node, &loss)?;
                Ok(format!("{loss}\n{name} is primary of epoch {next}"))
            }
        }
    }

    /// While a member may still be chosen, nothing needs to be lost.
    fn check_that_nothing_else_helps(&self, view: &View, node: NodeId) -> Result<(), String> {
        let primary = self.state.name_of(view.primary.node);
        let Some(failover) = &self.failover else {
            return Err(format!(
                "epoch {} has a primary, {primary}, that is not given up; there is nothing to be forced",
                view.epoch
            ));
        };
        if failover.handover.is_some() {
            return Err("a switchover is under way".to_owned());
        }
        for member in view.members() {
            let name = self.state.name_of(member);
            match failover.answer_of(member) {
                Some(answer) if is_usable(answer) && (answer.tail_certain || member != node) => {
                    return Err(format!(
                        "{name} is a member of epoch {} and holds everything that was acknowledged; it is \
                         chosen without a loss",
                        view.epoch
                    ));
                }
                None if self.live.is_connected(member) => {
                    return Err(format!(
                        "{name} is connected and has not answered yet; wait a moment"
                    ));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn report_of_candidate(&self, node: NodeId) -> Result<&NodeReport, String> {
        let name = self.state.name_of(node);
        let report = self
            .live
            .report_of_connected(node)
            .ok_or_else(|| format!("{name} is not connected"))?;
        if matches!(report.role, HeldRole::Copying { .. }) || report.view.is_none() {
            return Err(format!("{name} has no data to go on with"));
        }
        Ok(report)
    }

    fn known_loss(&self, now: Now, view: &View, node: NodeId, report: &NodeReport) -> String {
        let name = self.state.name_of(node);
        let primary = self.state.name_of(view.primary.node);
        let members: Vec<String> = view
            .members()
            .filter(|member| *member != node)
            .map(|member| self.state.name_of(member))
            .collect();
        let ends = format!(
            "{name} would go on from entry {}.{}",
            report.last_epoch, report.positions.held
        );
        let last_word = self.live.nodes.get(&view.primary.node);
        let known = match last_word.and_then(|heard| heard.report.as_ref()) {
            None => format!("how far {primary} was is not known: all later entries are lost"),
            Some((last, came_at)) => {
                let lost = last
                    .positions
                    .committed
                    .0
                    .saturating_sub(report.positions.held.0);
                let ago_s = now.monotonic.since(*came_at).as_secs();
                format!(
                    "{primary} reported {ago_s} s ago that entry {} was committed: {lost} entries are \
                     known to be lost, and all that came after that report",
                    last.positions.committed
                )
            }
        };
        format!(
            "{ends}; {known}. These come back as new nodes: {}.",
            members.join(", ")
        )
    }

    fn install_forced(
        &mut self,
        now: Now,
        old: &View,
        node: NodeId,
        loss: &str,
    ) -> Result<Epoch, String> {
        let sealed = self
            .failover
            .as_ref()
            .map(|failover: &Failover| failover.epoch);
        let run = self.live.nodes.get(&node).map(|heard| heard.incarnation);
        let (Some(epoch), Some(incarnation)) = (sealed, run) else {
            return Err("the node is gone".to_owned());
        };
        self.apply(Command::ForceView(View {
            shard: SHARD,
            epoch,
            primary: PrimarySeat { node, incarnation },
            backups: Vec::new(),
            release: None,
            settings: old.settings,
        }));
        self.installed_at = now.monotonic;
        self.failover = None;
        self.event(
            now,
            "forced",
            format!("an operator gave epoch {} up: {loss}", old.epoch),
        );
        Ok(epoch)
    }
}
