//! Nodes that stop and come back.

use process_tests::{Cluster, ClusterOptions, PATIENCE, test_data, wait_until};

#[test]
fn a_whole_cluster_that_was_stopped_has_everything() {
    let mut cluster = Cluster::of_three();
    let file = test_data("packages.txt");
    cluster.user().done(&["import", file.to_str().unwrap()]);
    for name in cluster.names() {
        cluster.stop_node(&name);
    }
    cluster.kill_coordinator();
    cluster.start_coordinator();
    for name in cluster.names() {
        cluster.start_node(&name);
    }
    cluster.wait_for_in_sync(3);
    assert_eq!(cluster.user().done(&["count"]), "4200");
    cluster.expect_equal_copies();
}

#[test]
fn a_node_whose_data_is_gone_gets_a_copy() {
    let mut cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["import", test_data("packages.txt").to_str().unwrap()]);
    let lost = cluster.backup();
    cluster.kill_node(&lost);
    cluster.wait_for_in_sync(2);
    std::fs::remove_dir_all(cluster.data_dir(&lost)).expect("the data is removed");
    // It is a new node now; what it was is gone for good, so that its name and address are free.
    cluster.start_node(&lost);
    cluster.wait_for_in_sync(3);
    cluster.expect_equal_copies();
}

#[test]
fn a_member_whose_data_alone_is_gone_is_not_taken_for_its_emptiness() {
    let mut cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "k", "v"]);
    let lost = cluster.backup();
    for name in cluster.names() {
        cluster.kill_node(&name);
    }
    // Who the node is and what it promised stays.
    let folder = cluster.data_dir(&lost);
    let generation = cluster.generation(&lost);
    std::fs::remove_dir_all(folder.join(generation.trim())).expect("the data is removed");
    std::fs::remove_file(folder.join("CURRENT")).expect("the file is removed");
    cluster.start_node(&lost);
    wait_until("status to say so", PATIENCE, || {
        let status = user.run(&["status"]).stdout;
        let status = String::from_utf8_lossy(&status).into_owned();
        let said = status.contains("needs a copy: the node was a member of a view");
        if said { Ok(()) } else { Err(status) }
    });
    assert!(
        cluster
            .log_of(&lost)
            .contains("was a member of a view and its data is gone")
    );
    for name in cluster.names() {
        if name != lost {
            cluster.start_node(&name);
        }
    }
    cluster.wait_for_in_sync(3);
    assert_eq!(user.done(&["get", "k"]), "v");
    cluster.expect_equal_copies();
}

#[test]
fn with_too_few_copies_reads_go_on_and_writes_are_refused() {
    let mut cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "k", "v"]);
    let backups = cluster.status().backups();
    for backup in &backups {
        cluster.kill_node(backup);
    }
    cluster.wait_for_in_sync(1);
    assert_eq!(user.done(&["get", "k"]), "v");
    let refused = user.and(&["--timeout", "500ms"]).run(&["put", "k", "w"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("too few copies in sync: 1 of 2"),
        "{}",
        refused.stderr
    );
    for backup in &backups {
        cluster.start_node(backup);
    }
    cluster.wait_for_in_sync(3);
    user.done(&["put", "k", "w"]);
    cluster.expect_equal_copies();
}

#[test]
fn one_copy_is_a_cluster_too() {
    let options = ClusterOptions {
        nodes: 1,
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start(options);
    let user = cluster.user();
    user.done(&["put", "k", "v"]);
    cluster.kill_all();
    cluster.start_coordinator();
    cluster.start_node("node-1");
    cluster.wait_for_in_sync(1);
    assert_eq!(user.done(&["get", "k"]), "v");
}
