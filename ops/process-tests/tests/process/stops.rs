//! A daemon that is asked to stop, or to read its configuration again.

use std::fs;

use process_tests::{Cluster, ClusterOptions, PATIENCE, wait_until};

use crate::rounds::TIMEOUT;

#[test]
fn a_primary_that_is_asked_to_stop_hands_over_first_and_fails_no_operation() {
    let mut cluster = Cluster::of_three();
    let load = cluster.load(TIMEOUT, 1);
    for _ in 0..3 {
        cluster.wait_for_commits(300);
        let former = cluster.primary();
        let db_txt = cluster.data_dir(&former).join("db.txt");
        assert!(!db_txt.exists());
        cluster.stop_node(&former);
        assert!(db_txt.exists(), "{former} wrote no db.txt");
        cluster.wait_for_other_primary(&former);
        fs::remove_file(db_txt).expect("a file of our own");
        cluster.start_node(&former);
        cluster.wait_for_in_sync(3);
    }
    let events = cluster.user().done(&["events"]);
    assert_eq!(events.matches("is about to stop").count(), 3, "{events}");
    assert_eq!(events.matches("failover").count(), 0, "{events}");
    load.finish_with_nothing_lost_or_failed();
    cluster.expect_equal_copies();
}

#[test]
fn a_node_alone_stops_at_once_and_keeps_its_data() {
    let mut cluster = Cluster::start(ClusterOptions {
        nodes: 1,
        ..ClusterOptions::default()
    });
    cluster.user().done(&["put", "key", "value"]);
    cluster.stop_node("node-1");
    cluster.start_node("node-1");
    cluster.wait_for_in_sync(1);
    assert_eq!(cluster.user().done(&["get", "key"]), "value");
    assert!(!cluster.log_of("node-1").contains("handing over"));
}

#[test]
fn a_hang_up_has_the_configuration_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("coordinator.toml");
    fs::write(&file, "log-level = 'info'\nmin-in-sync = 2\n").expect("writes");
    let cluster = Cluster::start(ClusterOptions {
        coordinator: vec!["--config".to_owned(), file.display().to_string()],
        ..ClusterOptions::default()
    });
    let epoch = cluster.status().epoch();
    let log = || fs::read_to_string(cluster.folder().join("coordinator.log")).unwrap_or_default();
    let wait_for = |what: &str| {
        wait_until(what, PATIENCE, || {
            log().contains(what).then_some(()).ok_or_else(log)
        });
    };

    fs::write(&file, "colour = 'blue'\n").expect("writes");
    cluster.hang_up_coordinator();
    wait_for("coordinator.toml, line 1: 'colour' is no setting");
    assert_eq!(cluster.status().epoch(), epoch);

    fs::write(&file, "min-in-sync = 1\nexpect = 2\n").expect("writes");
    cluster.hang_up_coordinator();
    wait_for("change only with a restart: expect");
    wait_for("[settings] the settings changed");
    let epoch = cluster.wait_for_in_sync(3).epoch();

    fs::write(&file, "min-in-sync = 2\nlog-level = 'off'\n").expect("writes");
    cluster.hang_up_coordinator();
    cluster.wait_for_status("one more view", |status| status.epoch() > epoch);
    cluster.wait_for_in_sync(3);
    assert_eq!(
        log().matches("the settings changed").count(),
        1,
        "{}",
        log()
    );
}
