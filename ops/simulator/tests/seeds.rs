//! A few fixed seeds, for every number of nodes. Many more are run by the `simulator` program.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use kv_common::message::control::FsyncMode;
use simulator::Options;
use simulator::run::run;

fn run_seeds(nodes: u8, fsync: FsyncMode, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let options = Options {
            seed,
            nodes,
            clients: 4,
            faults_for: Duration::from_secs(6),
            healing_for: Duration::from_secs(6),
            fsync,
            trace: false,
        };
        let summary = run(options)
            .unwrap_or_else(|finding| panic!("seed {seed} with {nodes} nodes: {finding}"));
        assert!(summary.answered > 0, "seed {seed}: nothing was answered");
    }
}

#[test]
fn one_node() {
    run_seeds(1, FsyncMode::Always, 0..20);
}

#[test]
fn two_nodes() {
    run_seeds(2, FsyncMode::Always, 0..20);
}

#[test]
fn three_nodes() {
    run_seeds(3, FsyncMode::Always, 0..60);
}

#[test]
fn five_nodes_of_which_two_are_spares() {
    run_seeds(5, FsyncMode::Always, 0..20);
}

#[test]
fn three_nodes_whose_disks_lag_behind() {
    run_seeds(3, FsyncMode::EverySec, 0..30);
}

#[test]
fn the_same_seed_takes_the_same_way() {
    let options = Options {
        seed: 77,
        nodes: 3,
        clients: 4,
        faults_for: Duration::from_secs(4),
        healing_for: Duration::from_secs(4),
        fsync: FsyncMode::Always,
        trace: false,
    };
    assert_eq!(run(options), run(options));
}
