//! A few fixed seeds, for every number of nodes. Many more are run by the `simulator` program.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use kv_common::message::control::FsyncMode;
use simulator::run::{run, run_traced};
use simulator::scenario::Scenario;
use simulator::{Options, Tracing};

fn options(scenario: Scenario, seed: u64) -> Options {
    Options {
        seed,
        nodes: scenario.nodes(),
        clients: 4,
        faults_for: Duration::from_secs(6),
        healing_for: Duration::from_secs(6),
        fsync: scenario.fsync(),
        faults: scenario.faults(),
        tracing: Tracing::Off,
    }
}

fn run_seeds(scenario: Scenario, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let summary = run(options(scenario, seed))
            .unwrap_or_else(|finding| panic!("{scenario:?}, seed {seed}: {finding}"));
        assert!(summary.answered > 0, "seed {seed}: nothing was answered");
    }
}

#[test]
fn one_node() {
    run_seeds(Scenario::Alone, 0..20);
}

/// Nobody else has what it holds in memory: a crash of it may lose nothing, a power cut may.
#[test]
fn one_node_whose_disk_lags_behind() {
    for seed in 0..40 {
        let options = Options {
            fsync: FsyncMode::EverySec,
            faults: Scenario::LostCoordinator.faults(),
            ..options(Scenario::Alone, seed)
        };
        let summary = run(options).unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
        assert!(summary.answered > 0, "seed {seed}: nothing was answered");
    }
}

#[test]
fn two_nodes() {
    run_seeds(Scenario::TwoCopies, 0..20);
}

#[test]
fn three_nodes() {
    run_seeds(Scenario::Mixed, 0..60);
}

#[test]
fn five_nodes_of_which_two_are_spares() {
    run_seeds(Scenario::Spares, 0..20);
}

#[test]
fn three_nodes_whose_disks_lag_behind() {
    run_seeds(Scenario::Everysec, 0..30);
}

#[test]
fn three_nodes_that_only_lose_sight_of_each_other() {
    run_seeds(Scenario::Partitions, 0..20);
}

#[test]
fn three_nodes_that_lose_their_coordinator() {
    run_seeds(Scenario::LostCoordinator, 0..30);
}

#[test]
fn three_nodes_that_hand_over() {
    run_seeds(Scenario::Handovers, 0..20);
}

#[test]
fn five_nodes_that_are_drained_in_turn() {
    run_seeds(Scenario::Maintenance, 0..30);
}

#[test]
fn when_nothing_goes_wrong_nobody_takes_over() {
    for seed in 0..10 {
        let summary = run(options(Scenario::Calm, seed)).expect("it is calm");
        // The first view, and one or two more until all copies are in sync.
        assert!(
            summary.epoch <= 3,
            "seed {seed} ends in epoch {}",
            summary.epoch
        );
    }
}

#[test]
fn the_same_seed_takes_the_same_way() {
    let options = Options {
        tracing: Tracing::Keep,
        ..options(Scenario::Mixed, 77)
    };
    let (summary, trace) = run_traced(options);
    assert!(trace.len() > 20, "{trace:?}");
    assert_eq!((summary, trace), run_traced(options));
}
