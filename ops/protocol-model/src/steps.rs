//! What can happen next.

use crate::cluster::{FAILURES, Seat};
use crate::{Cluster, NODES, NodeIndex, Rules, WRITES};

/// One step of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client writes at this primary.
    Write(NodeIndex),
    /// A primary sends its log.
    Send(NodeIndex, NodeIndex),
    /// It arrives.
    Follow(NodeIndex, NodeIndex),
    /// An ack arrives.
    Acknowledge(NodeIndex, NodeIndex),
    /// A node crashes and starts again.
    Crash(NodeIndex),
    /// The coordinator takes the primary for lost.
    OrderSeal,
    /// A node answers the seal.
    Seal(NodeIndex),
    /// The failover ends with this primary.
    EndFailover(NodeIndex),
    /// A node learns of the view, by its place, that names it.
    Adopt(NodeIndex, usize),
    /// The wait of a new primary ends.
    EndWait(NodeIndex),
    /// A primary asks for a view without this backup.
    ProposeRemoval(NodeIndex, NodeIndex),
    /// A primary asks for a view with this joiner.
    ProposeJoiner(NodeIndex, NodeIndex),
    /// The coordinator hears of a proposal.
    Decide(NodeIndex),
}

impl Cluster {
    /// All that can happen next.
    #[must_use]
    pub fn steps(&self, rules: Rules) -> Vec<Step> {
        let mut steps = Vec::new();
        let can_fail = self.failures < FAILURES;
        for node in 0..NODES {
            if can_fail {
                steps.push(Step::Crash(node));
            }
            if self.is_asked_for_seal(rules, node) {
                steps.push(Step::Seal(node));
            }
            if self.coordinator.proposals[node].is_some() {
                steps.push(Step::Decide(node));
            }
            self.views_to_adopt(node, &mut steps);
            self.steps_of_primary(rules, node, &mut steps);
            for other in 0..NODES {
                if self.entries[node][other].is_some() {
                    steps.push(Step::Follow(node, other));
                }
                if self.acks[node][other].is_some() {
                    steps.push(Step::Acknowledge(node, other));
                }
            }
        }
        self.steps_of_coordinator(can_fail, &mut steps);
        steps
    }

    /// The cluster after `step`.
    #[must_use]
    pub fn after(&self, rules: Rules, step: Step) -> Self {
        let mut next = *self;
        match step {
            Step::Write(node) => next.write(rules, node),
            Step::Send(from, to) => next.entries[from][to] = self.replicate(from),
            Step::Follow(from, to) => next.follow(from, to),
            Step::Acknowledge(from, to) => next.acknowledge(rules, from, to),
            Step::Crash(node) => {
                next.failures += 1;
                next.crash(node);
            }
            Step::OrderSeal => {
                next.failures += u8::from(!self.primary_is_gone());
                next.order_seal();
            }
            Step::Seal(node) => next.seal(node),
            Step::EndFailover(node) => next.end_failover(node),
            Step::Adopt(node, place) => {
                if let Some(view) = self.coordinator.views[place] {
                    next.adopt_as_primary(rules, node, view);
                }
            }
            Step::EndWait(node) => next.end_wait(rules, node),
            Step::ProposeRemoval(node, backup) => {
                next.failures += 1;
                next.propose_removal(rules, node, backup);
            }
            Step::ProposeJoiner(node, joiner) => next.propose_joiner(node, joiner),
            Step::Decide(node) => next.decide(rules, node),
        }
        next.drop_what_is_over();
        next
    }

    /// Whether the run that the newest view names is over.
    fn primary_is_gone(&self) -> bool {
        let seat = self.coordinator.view().primary;
        self.nodes[seat.node()].run != seat.run()
    }

    fn views_to_adopt(&self, node: NodeIndex, steps: &mut Vec<Step>) {
        let state = &self.nodes[node];
        let seat = Seat::new(node, state.run);
        for (place, view) in self.coordinator.views.iter().enumerate() {
            let news = view.is_some_and(|view| {
                view.primary == seat && view.epoch > state.epoch && view.epoch >= state.seal
            });
            if news {
                steps.push(Step::Adopt(node, place));
            }
        }
    }

    fn steps_of_primary(&self, rules: Rules, node: NodeIndex, steps: &mut Vec<Step>) {
        let Some(primary) = self.nodes[node].primary else {
            return;
        };
        if !primary.waited {
            steps.push(Step::EndWait(node));
        }
        if primary.serving && self.written < WRITES {
            steps.push(Step::Write(node));
        }
        for other in (0..NODES).filter(|other| *other != node) {
            if self.should_send(node, other) {
                steps.push(Step::Send(node, other));
            }
            let proposable = primary.serving && self.coordinator.has_room();
            let backup = primary.view.backups.has(other);
            if proposable && backup && !primary.removed.has(other) && self.failures < FAILURES {
                steps.push(Step::ProposeRemoval(node, other));
            }
            let caught_up =
                primary.held[other] >= Some(primary.committed) || !rules.joiner_has_caught_up;
            if proposable && !backup && caught_up && !primary.joiners.has(other) {
                steps.push(Step::ProposeJoiner(node, other));
            }
        }
    }

    fn steps_of_coordinator(&self, can_fail: bool, steps: &mut Vec<Step>) {
        let Some(seal) = self.coordinator.seal else {
            let may_seal = can_fail || self.primary_is_gone();
            if may_seal && self.coordinator.has_room() {
                steps.push(Step::OrderSeal);
            }
            return;
        };
        if self.coordinator.has_room() {
            steps.extend(seal.answers.iter().map(Step::EndFailover));
        }
    }
}
