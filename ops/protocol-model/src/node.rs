//! What a node does.

use crate::cluster::{Ack, Cluster, Entry, Nodes, Primary, Proposal, Replicate, Seat, View};
use crate::{NODES, NodeIndex, Rules};

impl Primary {
    /// The nodes beside this one that count for commits.
    fn counted_for_commits(&self, rules: Rules) -> Nodes {
        self.counted(rules, rules.joiner_counts_for_commits)
    }

    /// The nodes beside this one that count for the lease.
    fn counted_for_lease(&self, rules: Rules) -> Nodes {
        self.counted(rules, rules.joiner_counts_for_lease)
    }

    fn counted(&self, rules: Rules, joiners_count: bool) -> Nodes {
        let mut counted = self.view.backups;
        if joiners_count {
            counted = counted.and(self.joiners);
        }
        if !rules.removed_counts_until_view {
            counted = self.removed.iter().fold(counted, Nodes::without);
        }
        counted
    }

    /// Whether it may answer a read now.
    pub(crate) fn may_read(&self, rules: Rules) -> bool {
        let mut counted = self.counted_for_lease(rules).iter();
        self.serving && counted.all(|node| self.leases.has(node))
    }

    /// Up to where the log is committed, when this node holds `own` entries.
    fn committed_through(&self, rules: Rules, own: u8) -> u8 {
        let counted = self.counted_for_commits(rules).iter();
        let mut held: Vec<u8> = counted.map(|node| self.held[node].unwrap_or(0)).collect();
        held.push(own);
        held.sort_unstable();
        let needed = if rules.commits_by_all {
            held.len()
        } else {
            held.len() / 2 + 1
        };
        held[held.len() - needed]
    }
}

impl Cluster {
    /// `node` learns of a view that names it.
    pub(crate) fn adopt_as_primary(&mut self, rules: Rules, node: NodeIndex, view: View) {
        let state = &mut self.nodes[node];
        state.epoch = view.epoch;
        let before = state.primary;
        // Restarted, it does not know that it has anything to wait for unless the rule says so.
        let forgot = state.run > 0 && !rules.waits_after_restart;
        state.primary = Some(match before {
            // The same run goes on: leases stay, acks do not.
            Some(before) => Primary {
                view,
                held: [None; NODES],
                joiners: Nodes::default(),
                removed: Nodes::default(),
                ..before
            },
            None => Primary {
                view,
                waited: forgot || !rules.waits_before_serving,
                tail: state.log.len(),
                serving: false,
                committed: 0,
                held: [None; NODES],
                joiners: Nodes::default(),
                removed: Nodes::default(),
                leases: Nodes::default(),
            },
        });
        self.advance(rules, node);
    }

    /// The wait of `node` is over: nobody relies on a lease from it any more.
    pub(crate) fn end_wait(&mut self, rules: Rules, node: NodeIndex) {
        for other in 0..NODES {
            if let Some(primary) = &mut self.nodes[other].primary {
                primary.leases = primary.leases.without(node);
            }
            if let Some(ack) = &mut self.acks[node][other] {
                ack.lease = false;
            }
        }
        if let Some(primary) = &mut self.nodes[node].primary {
            primary.waited = true;
        }
        self.advance(rules, node);
    }

    /// A client's write is executed by `node`.
    pub(crate) fn write(&mut self, rules: Rules, node: NodeIndex) {
        let state = &mut self.nodes[node];
        state.log.push(Entry {
            epoch: state.epoch,
            write: self.written,
        });
        self.written += 1;
        self.advance(rules, node);
    }

    /// What `from` would send to `to` now.
    pub(crate) fn replicate(&self, from: NodeIndex) -> Option<Replicate> {
        let state = &self.nodes[from];
        let view = state.primary?.view;
        let log = state.log;
        Some(Replicate { view, log })
    }

    /// A primary's message arrives at `to`, which takes it or refuses it.
    pub(crate) fn follow(&mut self, from: NodeIndex, to: NodeIndex) {
        let Some(Replicate { view, log }) = self.entries[from][to].take() else {
            return;
        };
        if self.refuses(to, view) {
            return;
        }
        let state = &mut self.nodes[to];
        state.epoch = view.epoch;
        state.primary = None;
        state.log = log;
        self.acks[to][from] = Some(Ack {
            epoch: view.epoch,
            held: log.len(),
            lease: true,
        });
    }

    /// Whether `node` takes nothing from the primary of `view`, now or ever.
    fn refuses(&self, node: NodeIndex, view: View) -> bool {
        let state = &self.nodes[node];
        let over = view.epoch < state.epoch || view.epoch < state.seal;
        let own = state
            .primary
            .is_some_and(|own| own.view.epoch == view.epoch);
        over || own
    }

    /// Whether it is of use that `from` sends its log to `to`: it would be taken, and `from` lacks an answer
    /// that says as much, or the lease, and neither is on its way.
    pub(crate) fn should_send(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let (state, Some(message)) = (&self.nodes[from], self.replicate(from)) else {
            return false;
        };
        let Some(primary) = state.primary else {
            return false;
        };
        let len = state.log.len();
        let knows = primary.held[to] == Some(len) && primary.leases.has(to);
        let answer = Ack {
            epoch: primary.view.epoch,
            held: len,
            lease: true,
        };
        let under_way =
            self.entries[from][to] == Some(message) || self.acks[to][from] == Some(answer);
        !knows && !under_way && !self.refuses(to, primary.view)
    }

    /// An ack arrives at `to`.
    pub(crate) fn acknowledge(&mut self, rules: Rules, from: NodeIndex, to: NodeIndex) {
        let (Some(ack), Some(primary)) = (self.acks[from][to].take(), &mut self.nodes[to].primary)
        else {
            return;
        };
        if ack.epoch != primary.view.epoch {
            return;
        }
        primary.held[from] = primary.held[from].max(Some(ack.held));
        if ack.lease {
            primary.leases = primary.leases.with(from);
        }
        self.advance(rules, to);
    }

    /// `node` promises to have nothing to do with lower epochs, and answers.
    pub(crate) fn seal(&mut self, node: NodeIndex) {
        if let Some(seal) = &mut self.coordinator.seal {
            seal.answers = seal.answers.with(node);
            self.nodes[node].seal = seal.epoch;
            self.nodes[node].primary = None;
        }
    }

    /// `node` crashes and starts again: log, view and seal are there, the rest is not.
    pub(crate) fn crash(&mut self, node: NodeIndex) {
        let state = &mut self.nodes[node];
        state.run += 1;
        state.primary = None;
        for other in 0..NODES {
            self.acks[other][node] = None;
        }
        if let Some(seal) = &mut self.coordinator.seal {
            seal.answers = seal.answers.without(node);
        }
    }

    /// `node` asks for a view without `backup`.
    pub(crate) fn propose_removal(&mut self, rules: Rules, node: NodeIndex, backup: NodeIndex) {
        if let Some(primary) = &mut self.nodes[node].primary {
            primary.removed = primary.removed.with(backup);
            let backups = primary.view.backups.without(backup);
            self.propose(node, backups);
        }
        self.advance(rules, node);
    }

    /// `node` asks for a view with `joiner`, which counts from now on.
    pub(crate) fn propose_joiner(&mut self, node: NodeIndex, joiner: NodeIndex) {
        if let Some(primary) = &mut self.nodes[node].primary {
            primary.joiners = primary.joiners.with(joiner);
            let backups = primary.view.backups.with(joiner);
            self.propose(node, backups);
        }
    }

    fn propose(&mut self, node: NodeIndex, backups: Nodes) {
        let state = &self.nodes[node];
        self.coordinator.proposals[node] = Some(Proposal {
            replaces: state.epoch,
            run: state.run,
            backups,
        });
    }

    /// Commits what may be committed, answers it, and ends a takeover that is ready.
    fn advance(&mut self, rules: Rules, node: NodeIndex) {
        let state = &mut self.nodes[node];
        let Some(primary) = &mut state.primary else {
            return;
        };
        let own = state.log.len();
        let through = primary.committed_through(rules, own);
        if through > primary.committed {
            primary.committed = through;
            let seat = Seat::new(node, state.run);
            let epoch = usize::from(primary.view.epoch);
            let by = self.committed_by[epoch].get_or_insert(seat);
            self.two_committed |= *by != seat;
        }
        let tail_done = primary.committed >= primary.tail || !rules.commits_tail_before_serving;
        primary.serving |= primary.waited && tail_done;
        if primary.serving {
            self.acknowledged |= state.log.writes(primary.committed);
        }
    }

    /// Drops what is under way and can have no effect any more, so that states which differ in nothing else
    /// are one: epochs and seals only grow.
    pub(crate) fn drop_what_is_over(&mut self) {
        let newest = self.coordinator.view().epoch;
        for node in 0..NODES {
            let proposal = &mut self.coordinator.proposals[node];
            *proposal = proposal.filter(|proposal| proposal.replaces == newest);
            for other in 0..NODES {
                let refused = |message: &Replicate| self.refuses(other, message.view);
                if self.entries[node][other].as_ref().is_some_and(refused) {
                    self.entries[node][other] = None;
                }
                let epoch = self.nodes[other].primary.map(|primary| primary.view.epoch);
                let ack = &mut self.acks[node][other];
                *ack = ack.filter(|ack| Some(ack.epoch) == epoch);
            }
        }
    }
}
