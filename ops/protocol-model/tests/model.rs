//! The model, explored in every order; and with a rule left out, until a claim fails.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use protocol_model::{
    Cluster, NodeIndex, Rules, Step, WRITES, members_hold_what_is_acknowledged,
    one_primary_commits_in_each_epoch, reads_are_not_stale,
};
use stateright::{Checker, HasDiscoveries, Model, Property};

const LOST: &str = "members hold what is acknowledged";
const STALE: &str = "reads are not stale";
const TWO: &str = "one primary commits in each epoch";
const THIRD: &str = "a third primary serves all writes";

/// All nodes are in sync at first.
const ALL_IN_SYNC: &[NodeIndex] = &[1, 2];
/// Node 2 is being brought in.
const ONE_JOINS: &[NodeIndex] = &[1];
/// The primary is alone, and both others are being brought in.
const ALONE: &[NodeIndex] = &[];

/// The model as the checker sees it.
struct Explored {
    rules: Rules,
    backups: &'static [NodeIndex],
}

impl Model for Explored {
    type State = Cluster;
    type Action = Step;

    fn init_states(&self) -> Vec<Cluster> {
        vec![Cluster::new(self.rules, self.backups)]
    }

    fn actions(&self, state: &Cluster, actions: &mut Vec<Step>) {
        actions.extend(state.steps(self.rules));
    }

    fn next_state(&self, state: &Cluster, step: Step) -> Option<Cluster> {
        Some(state.after(self.rules, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LOST, |_, state| members_hold_what_is_acknowledged(state)),
            Property::always(STALE, |model: &Self, state| {
                reads_are_not_stale(state, model.rules)
            }),
            Property::always(TWO, |_, state| one_primary_commits_in_each_epoch(state)),
            Property::sometimes(THIRD, |_, state: &Cluster| {
                state.failures() == 2
                    && state.acknowledged() == u32::from(WRITES)
                    && state.serving() == Some(2)
                    && state.epoch() >= 3
            }),
        ]
    }
}

/// Explores every order in which three nodes meet two failures. Fails when a claim does.
fn explore(backups: &'static [NodeIndex]) {
    let rules = Rules::ALL;
    let model = Explored { rules, backups };
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > 1_000_000, "the model shrank to {states} states");
}

/// Explores until `claim` fails, because `rules` leave one out.
fn fails(claim: &'static str, rules: Rules, backups: &'static [NodeIndex]) {
    let model = Explored { rules, backups };
    // Another claim may fail as well, and be found first by the other thread.
    let wanted = HasDiscoveries::AnyOf([claim].into());
    let checker = model
        .checker()
        .threads(2)
        .finish_when(wanted)
        .spawn_bfs()
        .join();
    let failed = checker.discovery(claim);
    let states = checker.unique_state_count();
    assert!(
        failed.is_some(),
        "'{claim}' holds in all of {states} states"
    );
}

#[test]
fn every_claim_holds_when_all_are_in_sync_at_first() {
    explore(ALL_IN_SYNC);
}

#[test]
fn every_claim_holds_when_a_node_joins() {
    explore(ONE_JOINS);
}

#[test]
fn without_the_wait_a_read_is_stale() {
    let rules = Rules {
        waits_before_serving: false,
        ..Rules::ALL
    };
    fails(STALE, rules, ONE_JOINS);
}

#[test]
fn without_the_wait_of_a_restarted_node_a_read_is_stale() {
    let rules = Rules {
        waits_after_restart: false,
        ..Rules::ALL
    };
    fails(STALE, rules, ONE_JOINS);
}

#[test]
fn a_commit_by_most_members_is_lost() {
    let rules = Rules {
        commits_by_all: false,
        ..Rules::ALL
    };
    fails(LOST, rules, ALL_IN_SYNC);
}

#[test]
fn a_primary_that_serves_before_its_tail_is_committed_reads_the_past() {
    let rules = Rules {
        commits_tail_before_serving: false,
        ..Rules::ALL
    };
    fails(STALE, rules, ONE_JOINS);
}

#[test]
fn a_joiner_that_is_promoted_lacks_what_is_acknowledged() {
    let rules = Rules {
        chooses_members_only: false,
        ..Rules::ALL
    };
    fails(LOST, rules, ALONE);
}

#[test]
fn a_joiner_that_does_not_count_for_commits_loses_one() {
    let rules = Rules {
        joiner_counts_for_commits: false,
        ..Rules::ALL
    };
    fails(LOST, rules, ALONE);
}

#[test]
fn a_joiner_that_does_not_count_for_the_lease_makes_reads_stale() {
    let rules = Rules {
        joiner_counts_for_lease: false,
        ..Rules::ALL
    };
    fails(STALE, rules, ALONE);
}

#[test]
fn a_joiner_that_is_proposed_too_early_lacks_what_is_acknowledged() {
    let rules = Rules {
        joiner_has_caught_up: false,
        ..Rules::ALL
    };
    fails(LOST, rules, ALONE);
}

#[test]
fn a_removal_that_counts_before_its_view_loses_a_write() {
    let rules = Rules {
        removed_counts_until_view: false,
        ..Rules::ALL
    };
    fails(LOST, rules, ALL_IN_SYNC);
}

#[test]
fn a_proposal_taken_while_a_seal_is_open_makes_two_views_of_one_epoch() {
    let rules = Rules {
        seal_uses_its_epoch_up: false,
        ..Rules::ALL
    };
    fails(TWO, rules, ALONE);
}
