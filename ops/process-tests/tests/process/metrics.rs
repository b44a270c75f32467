//! What daemons show over HTTP moves with what happens.

use std::time::Duration;

use process_tests::{Cluster, ClusterOptions, Metrics, PATIENCE, User, http_get, wait_until};

const WRITES: &str = "kvnode_operation_duration_seconds_count{operation=\"put\"}";
const READS: &str = "kvnode_operation_duration_seconds_count{operation=\"get\"}";
const FAILOVERS: &str = "kv_coordinator_failover_duration_seconds_count";

fn with_http() -> Cluster {
    let http = ["--http-listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
    Cluster::start(ClusterOptions {
        coordinator: http.clone(),
        node: http,
        ..ClusterOptions::default()
    })
}

fn same(value: f64, expected: f64) -> bool {
    (value - expected).abs() < f64::EPSILON
}

#[test]
fn every_operation_is_counted_and_timed_where_it_was_answered() {
    let cluster = with_http();
    let (primary, backup) = (cluster.primary(), cluster.backup());
    let at = |name: &str| Metrics::of(&cluster.http_address(name));
    let before = at(&primary);
    for value in ["1", "2", "3"] {
        cluster.user().done(&["put", "key", value]);
    }
    cluster.user().done(&["get", "key"]);
    let after = at(&primary);
    assert!(same(after.value(WRITES) - before.value(WRITES), 3.0));
    assert!(same(after.value(READS) - before.value(READS), 1.0));
    for moved in [
        "kvnode_operation_duration_seconds_sum{operation=\"put\"}",
        "kvnode_commit_duration_seconds_count",
        "kvnode_flush_duration_seconds_count",
        "kvnode_position{stage=\"committed\"}",
    ] {
        assert!(
            after.value(moved) > before.value(moved),
            "{moved} does not move"
        );
    }
    assert!(same(after.value("kvnode_in_sync"), 3.0));
    assert!(same(after.value("kvnode_role{role=\"primary\"}"), 1.0));
    let lag = format!("kvnode_backup_lag_entries{{backup=\"{backup}\"}}");
    assert!(after.value(&lag) >= 0.0);
    let at_backup = at(&backup);
    assert!(same(at_backup.value("kvnode_role{role=\"backup\"}"), 1.0));
    assert!(same(at_backup.value(WRITES), 0.0) && !at_backup.text().contains("kvnode_in_sync"));
    assert!(at_backup.value("kvnode_flush_duration_seconds_count") > 0.0);

    let not_primary = "kvnode_refusals_total{reason=\"not-primary\"}";
    let refused_before = at_backup.value(not_primary);
    // A client that was told of the backup alone asks it, and is sent on.
    let of_backup = User::with_options(&["--nodes", cluster.address(&backup)]);
    assert_eq!(of_backup.done(&["get", "key"]), "3");
    assert!(at(&backup).value(not_primary) > refused_before);
}

#[test]
fn a_failover_is_seen_by_the_coordinator_and_in_every_readiness() {
    let mut cluster = with_http();
    let coordinator = cluster.coordinator_http_address();
    let former = cluster.primary();
    for name in cluster.names() {
        let ready = http_get(&cluster.http_address(&name), "/readyz");
        assert_eq!(ready.status, 200, "{name}: {}", ready.body);
        assert_eq!(
            http_get(&cluster.http_address(&name), "/healthz").status,
            200
        );
    }
    assert_eq!(http_get(&coordinator, "/healthz").status, 200);
    assert_eq!(http_get(&coordinator, "/readyz").status, 200);
    assert_eq!(http_get(&coordinator, "/nowhere").status, 404);
    let before = Metrics::of(&coordinator);
    assert!(same(before.value("kv_coordinator_in_sync"), 3.0));
    cluster.kill_node(&former);
    cluster.wait_for_other_primary(&former);
    let connected = format!("kv_coordinator_node_connected{{node=\"{former}\"}}");
    wait_until("the failover to be counted", PATIENCE, || {
        let after = Metrics::of(&coordinator);
        let counted = same(after.value(FAILOVERS) - before.value(FAILOVERS), 1.0);
        let shown =
            same(after.value(&connected), 0.0) && same(after.value("kv_coordinator_in_sync"), 2.0);
        (counted && shown)
            .then_some(())
            .ok_or_else(|| after.text().to_owned())
    });
    let took = Metrics::of(&coordinator).value("kv_coordinator_failover_duration_seconds_sum");
    assert!(took < Duration::from_secs(60).as_secs_f64(), "{took}");
    // Without a coordinator a node stays ready, and says so.
    cluster.kill_coordinator();
    let new = cluster
        .names()
        .into_iter()
        .find(|name| *name != former)
        .expect("a node is left");
    wait_until("the node to notice", PATIENCE, || {
        let metrics = Metrics::of(&cluster.http_address(&new));
        let away = same(metrics.value("kvnode_coordinator_connected"), 0.0);
        away.then_some(()).ok_or_else(|| metrics.text().to_owned())
    });
    assert_eq!(http_get(&cluster.http_address(&new), "/readyz").status, 200);
}

#[test]
fn every_metric_says_what_to_do_and_is_named_as_prometheus_wants_it() {
    let cluster = with_http();
    let mut addresses: Vec<String> = cluster
        .names()
        .iter()
        .map(|name| cluster.http_address(name))
        .collect();
    addresses.push(cluster.coordinator_http_address());
    for address in addresses {
        let metrics = Metrics::of(&address);
        let families: Vec<&str> = metrics
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert!(families.len() > 10, "{families:?}");
        for family in families {
            let help = format!("# HELP {family} ");
            let help = metrics
                .text()
                .lines()
                .find_map(|line| line.strip_prefix(&help));
            let help = help.unwrap_or_else(|| panic!("{family} has no help"));
            assert!(help.len() > 20, "{family}: {help}");
            let ours = ["kvnode_", "kv_coordinator_", "process_"];
            assert!(
                ours.iter().any(|prefix| family.starts_with(prefix)),
                "{family}"
            );
        }
        assert!(metrics.text().ends_with("# EOF\n"));
    }
}
