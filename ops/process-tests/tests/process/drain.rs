//! A node that an operator takes out for maintenance.

use process_tests::{Cluster, ClusterOptions, Metrics, PATIENCE, Status, wait_until};

use crate::rounds::TIMEOUT;

const SPARE: &str = "node-4";

fn with_http_and_spare() -> Cluster {
    let mut cluster = Cluster::start(ClusterOptions {
        coordinator: ["--http-listen", "127.0.0.1:0"].map(str::to_owned).into(),
        ..ClusterOptions::default()
    });
    cluster.start_node(SPARE);
    cluster
}

fn has_member(status: &Status, name: &str) -> bool {
    status.primary().as_deref() == Some(name) || status.backups().contains(name)
}

/// Waits until the coordinator's metrics say whether the node is drained.
fn wait_for_metric(cluster: &Cluster, name: &str, drained: f64) {
    let series = format!("kv_coordinator_node_drained{{node=\"{name}\"}}");
    wait_until(&format!("{series} to be {drained}"), PATIENCE, || {
        let value = Metrics::of(&cluster.coordinator_http_address()).value(&series);
        let same = (value - drained).abs() < f64::EPSILON;
        same.then_some(()).ok_or_else(|| value.to_string())
    });
}

#[test]
fn a_drained_primary_fails_no_operation_and_a_spare_takes_its_place_for_good() {
    let mut cluster = with_http_and_spare();
    let user = cluster.user();
    let drained = cluster.primary();
    let load = cluster.load(TIMEOUT, 1);
    cluster.wait_for_commits(300);
    let done = user.done(&["admin", "drain", &drained]);
    assert_eq!(done, format!("{drained} is drained"));
    assert!(!has_member(&cluster.status(), &drained));
    let status = cluster.wait_for_in_sync(3);
    assert!(status.backups().contains(SPARE), "{:?}", status.backups());
    cluster.wait_for_commits(300);
    load.finish_with_nothing_lost_or_failed();

    let shown = user.done(&["status"]);
    let line = shown.lines().find(|line| line.contains(&drained));
    assert!(line.is_some_and(|line| line.contains("drained")), "{shown}");
    wait_for_metric(&cluster, &drained, 1.0);
    wait_for_metric(&cluster, SPARE, 0.0);

    // Neither its own restart nor the coordinator's lets it in, not even where there is a place.
    cluster.kill_coordinator();
    cluster.stop_node(&drained);
    cluster.start_coordinator();
    cluster.start_node(&drained);
    cluster.kill_node(SPARE);
    cluster.wait_for_in_sync(2);
    let status = cluster.wait_for_status("the drained node to be here", |status| {
        status.node(&drained).is_some_and(|node| node.connected)
    });
    assert!(status.says(&format!("{drained} is drained")));
    assert!(!has_member(&status, &drained));
    let refused = user.run(&["admin", "switchover", &drained]);
    assert_eq!(refused.code, 77, "{}", refused.stderr);
    assert!(refused.stderr.contains("undrain"), "{}", refused.stderr);

    user.done(&["admin", "undrain", &drained]);
    let status = cluster.wait_for_in_sync(3);
    assert!(has_member(&status, &drained));
    assert!(!status.says("is drained"));
    wait_for_metric(&cluster, &drained, 0.0);
}

#[test]
fn a_node_that_is_needed_is_not_drained_and_goes_on() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let (primary, backup) = (cluster.primary(), cluster.backup());
    user.done(&["admin", "drain", &backup]);
    let status = cluster.wait_for_in_sync(2);
    assert_eq!(status.primary().as_ref(), Some(&primary));
    let refused = user.run(&["admin", "drain", &primary]);
    assert_eq!(refused.code, 77, "{}", refused.stderr);
    for word in ["is needed", "lower min-in-sync"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    assert_eq!(cluster.status().primary(), Some(primary));
    user.done(&["put", "key", "value"]);
    user.done(&["admin", "undrain", &backup]);
    cluster.wait_for_in_sync(3);
    cluster.expect_equal_copies();
}
