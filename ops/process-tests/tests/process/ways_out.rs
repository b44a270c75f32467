//! What an operator does when the cluster cannot go on by itself.

use process_tests::{Cluster, ClusterOptions};

/// Without a majority's worth of copies, so that one node alone can go on to write.
fn three_of_which_one_is_enough() -> Cluster {
    let cluster = Cluster::start(ClusterOptions {
        coordinator: vec!["--min-in-sync".to_owned(), "1".to_owned()],
        ..ClusterOptions::default()
    });
    cluster.wait_for_in_sync(3);
    cluster
}

#[test]
fn a_forced_primary_goes_on_from_what_it_has() {
    let mut cluster = three_of_which_one_is_enough();
    let user = cluster.user();
    user.done(&["put", "early", "kept"]);
    let last = cluster.primary();
    let others: Vec<String> = cluster.status().backups().into_iter().collect();
    for other in &others {
        cluster.kill_node(other);
    }
    cluster.wait_for_in_sync(1);
    user.done(&["put", "late", "lost"]);
    cluster.kill_node(&last);

    let chosen = others[0].clone();
    cluster.start_node(&chosen);
    cluster.wait_for_status("a failover that nobody answers", |status| {
        status.says("a failover to epoch")
    });
    let refused = user.run(&[
        "admin",
        "force-primary",
        &chosen,
        "--accept-loss",
        "--epoch",
        "1",
    ]);
    assert_eq!(refused.code, 77, "{refused:?}");
    let plan = user.done(&["admin", "force-primary", &chosen]);
    assert!(plan.contains("entries are known to be lost"), "{plan}");
    assert_eq!(
        cluster.status().primary(),
        Some(last.clone()),
        "only looked"
    );
    let epoch = plan.trim_end().rsplit(' ').next().expect("a last word");
    user.done(&[
        "admin",
        "force-primary",
        &chosen,
        "--accept-loss",
        "--epoch",
        epoch,
    ]);
    assert_eq!(cluster.wait_for_in_sync(1).primary(), Some(chosen));
    assert_eq!(user.done(&["get", "early"]), "kept");
    assert_eq!(user.run(&["get", "late"]).code, 1);
    user.done(&["put", "after", "new"]);

    // Who was left out takes a copy, and keeps what it had in a place of its own.
    cluster.start_node(&last);
    cluster.start_node(&others[1]);
    cluster.wait_for_in_sync(3);
    cluster.expect_equal_copies();
    assert_eq!(user.run(&["get", "late"]).code, 1);
    assert!(
        cluster.has_set_data_aside(&last),
        "what was lost is still there"
    );
}

#[test]
fn a_coordinator_that_lost_its_disk_goes_on_from_what_the_nodes_know() {
    let mut cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "early", "kept"]);
    let id = cluster.status().cluster_id();
    cluster.kill_coordinator();
    cluster.lose_disk_of("coordinator");
    cluster.set_coordinator_options(&["--cluster-id", &id]);
    cluster.start_coordinator();
    cluster.wait_for_status("three nodes and no decision", |status| {
        status.connected() == 3 && status.says("admin adopt-views")
    });
    let refused = user.run(&["admin", "form"]);
    assert_eq!(refused.code, 77, "{refused:?}");
    user.done(&["admin", "adopt-views", "--node-count", "3"]);
    cluster.wait_for_in_sync(3);
    assert_eq!(user.done(&["get", "early"]), "kept");

    // It fails over as before, and remembers.
    let primary = cluster.primary();
    cluster.kill_node(&primary);
    cluster.wait_for_other_primary(&primary);
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.start_node(&primary);
    cluster.wait_for_in_sync(3);
    user.done(&["put", "late", "kept"]);
    cluster.expect_equal_copies();
}
