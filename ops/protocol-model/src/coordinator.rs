//! What the coordinator does.

use crate::cluster::{Cluster, Coordinator, Nodes, Proposal, Seal, Seat, VIEWS, View};
use crate::{NodeIndex, Rules};

impl Coordinator {
    /// The newest view.
    pub(crate) fn view(&self) -> View {
        let newest = self.views.iter().flatten().last();
        *newest.unwrap_or(&View {
            epoch: 0,
            primary: Seat::new(0, 0),
            backups: Nodes::default(),
        })
    }

    /// Whether there may be one view more.
    pub(crate) fn has_room(&self) -> bool {
        self.views[VIEWS - 1].is_none()
    }

    fn install(&mut self, view: View) {
        if let Some(free) = self.views.iter_mut().find(|place| place.is_none()) {
            *free = Some(view);
        }
    }
}

impl Cluster {
    /// The coordinator takes the primary for lost, and orders a seal.
    pub(crate) fn order_seal(&mut self) {
        let epoch = self.coordinator.view().epoch + 1;
        self.coordinator.seal = Some(Seal {
            epoch,
            answers: Nodes::default(),
        });
    }

    /// Whether `node` is asked for the seal that is open, and has not answered it in this run.
    pub(crate) fn is_asked_for_seal(&self, rules: Rules, node: NodeIndex) -> bool {
        let Some(seal) = self.coordinator.seal else {
            return false;
        };
        let member = self.coordinator.view().members().has(node);
        let eligible = member || !rules.chooses_members_only;
        eligible && !seal.answers.has(node) && self.nodes[node].epoch < seal.epoch
    }

    /// The failover ends: `node`, which answered, is primary, and the others that answered are backups.
    pub(crate) fn end_failover(&mut self, node: NodeIndex) {
        let Some(seal) = self.coordinator.seal.take() else {
            return;
        };
        let run = self.nodes[node].run;
        self.coordinator.install(View {
            epoch: seal.epoch,
            primary: Seat::new(node, run),
            backups: seal.answers.without(node),
        });
    }

    /// The proposal of `node` arrives.
    pub(crate) fn decide(&mut self, rules: Rules, node: NodeIndex) {
        let Some(proposal) = self.coordinator.proposals[node].take() else {
            return;
        };
        let view = self.coordinator.view();
        let Proposal {
            replaces,
            run,
            backups,
        } = proposal;
        let seat = Seat::new(node, run);
        let sealed = self.coordinator.seal.is_some() && rules.seal_uses_its_epoch_up;
        if replaces == view.epoch && seat == view.primary && !sealed && self.coordinator.has_room()
        {
            self.coordinator.install(View {
                epoch: view.epoch + 1,
                backups,
                ..view
            });
        }
    }
}
