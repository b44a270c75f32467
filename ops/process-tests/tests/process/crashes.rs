//! Something dies under load, and nothing that was acknowledged is missing.

use std::time::Duration;

use bytes::Bytes;
use kv_common::command::{Command, PutCondition};
use kv_common::message::client::{ClientToNode, NodeToClient};
use process_tests::{Cluster, ClusterOptions, Link, RespConnection};

use crate::rounds::{TIMEOUT, kill_the_primary_under_load};

#[test]
fn a_killed_primary_loses_nothing_and_comes_back() {
    let mut cluster = Cluster::of_three();
    for seed in 1..=2 {
        kill_the_primary_under_load(&mut cluster, seed);
    }
}

fn with_everysec(nodes: usize) -> ClusterOptions {
    let mut options = ClusterOptions::with_redis_doors(nodes);
    options
        .node
        .extend(["--fsync", "everysec"].map(str::to_owned));
    options
}

#[test]
fn a_killed_primary_that_does_not_flush_loses_nothing_and_comes_back() {
    let mut cluster = Cluster::start(with_everysec(3));
    for seed in 1..=2 {
        kill_the_primary_under_load(&mut cluster, seed);
    }
}

#[test]
fn a_single_node_loses_nothing_when_it_is_killed_even_if_it_does_not_flush() {
    let mut cluster = Cluster::start(with_everysec(1));
    for round in 0..5 {
        let value = round.to_string();
        let mut client = RespConnection::connect(&cluster.redis_address("node-1"));
        assert_eq!(client.ask(&["SET", "newest", &value]), "+OK");
        // At once, before anything that is written behind the answer could be.
        cluster.kill_node("node-1");
        cluster.start_node("node-1");
        cluster.wait_for_in_sync(1);
        assert_eq!(cluster.user().done(&["get", "newest"]), value);
    }
}

#[test]
fn a_killed_backup_only_makes_writes_pause() {
    let mut cluster = Cluster::of_three();
    let backup = cluster.backup();
    let primary = cluster.primary();
    let load = cluster.load(TIMEOUT, 1);
    cluster.wait_for_commits(500);
    cluster.kill_node(&backup);
    let without = cluster.wait_for_in_sync(2);
    assert_eq!(without.primary().as_deref(), Some(primary.as_str()));
    cluster.wait_for_commits(500);
    cluster.start_node(&backup);
    cluster.wait_for_in_sync(3);
    load.finish_with_nothing_lost_or_failed();
    cluster.expect_equal_copies();
}

#[test]
fn reads_and_writes_go_on_while_the_coordinator_is_dead() {
    let mut cluster = Cluster::of_three();
    let before = cluster.status();
    let primary = cluster.primary();
    let load = cluster.load(TIMEOUT, 1);
    cluster.wait_for_commits(500);
    cluster.kill_coordinator();
    // Nobody to ask where the primary is, so this one is told.
    let nodes = cluster
        .names()
        .iter()
        .map(|name| cluster.address(name))
        .collect::<Vec<_>>();
    let user = process_tests::User::with_options(&["--nodes", &nodes.join(",")]);
    for number in 0..20 {
        user.done(&["put", "while-away", &number.to_string()]);
        assert_eq!(user.done(&["get", "while-away"]), number.to_string());
    }
    cluster.start_coordinator();
    let after = cluster.wait_for_in_sync(3);
    assert_eq!(after.primary().as_deref(), Some(primary.as_str()));
    assert!(
        after.epoch() >= before.epoch(),
        "the coordinator knows what it decided"
    );
    assert_eq!(cluster.user().done(&["get", "while-away"]), "19");
    load.finish_with_nothing_lost_or_failed();
    cluster.expect_equal_copies();
}

#[test]
fn all_killed_at_once_have_everything_that_was_acknowledged() {
    let mut cluster = Cluster::of_three();
    let before = cluster.status();
    // Goes on across the crash: what it asks meanwhile is answered, or found to be unknown, after it.
    let load = cluster.load(Duration::from_secs(50), 1);
    cluster.wait_for_commits(1000);
    cluster.kill_all();
    cluster.start_coordinator();
    for name in cluster.names() {
        cluster.start_node(&name);
    }
    let after = cluster.wait_for_in_sync(3);
    assert!(after.epoch() > before.epoch());
    cluster.wait_for_commits(100);
    load.finish_with_nothing_lost();
    cluster.expect_equal_copies();
}

#[test]
fn a_primary_that_stands_still_is_replaced_and_then_follows() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "k", "old"]);
    let former = cluster.primary();
    cluster.node(&former).pause();
    cluster.wait_for_other_primary(&former);
    user.done(&["put", "k", "new"]);
    cluster.node(&former).resume();
    // Asked directly, it must not answer from the time when it was primary.
    let direct = process_tests::User::with_options(&["--nodes", cluster.address(&former)]);
    for _ in 0..20 {
        let answer = direct.run(&["get", "k"]);
        assert!(
            !answer.text().contains("old"),
            "a stale read: {}",
            answer.text()
        );
    }
    cluster.wait_for_in_sync(3);
    assert_eq!(user.done(&["get", "k"]), "new");
    cluster.expect_equal_copies();
}

#[test]
fn what_waited_in_a_paused_primary_is_not_answered_as_if_nothing_had_happened() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "k", "old"]);
    let former = cluster.primary();
    let mut direct = Link::as_client(cluster.address(&former)).expect("is welcome");
    cluster.node(&former).pause();
    let key = Bytes::from("k");
    let read = Command::Get { key: key.clone() };
    let write = Command::Put {
        key,
        value: Bytes::from("from the past"),
        expiry: None,
        condition: PutCondition::Always,
    };
    for (id, command) in [(1, read.clone()), (2, write), (3, read)] {
        let stamp = None;
        assert!(direct.send(&ClientToNode::Request { id, stamp, command }));
    }
    cluster.wait_for_other_primary(&former);
    user.done(&["put", "k", "new"]);
    cluster.node(&former).resume();
    for _ in 0..3 {
        match direct.receive() {
            Some(NodeToClient::Answer { result, .. }) => {
                assert!(result.is_err(), "answered with {result:?}");
            }
            Some(other) => panic!("not an answer: {other:?}"),
            // It may close the connection as well.
            None => break,
        }
    }
    cluster.wait_for_in_sync(3);
    assert_eq!(user.done(&["get", "k"]), "new");
}
