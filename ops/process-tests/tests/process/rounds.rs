//! The same crash again and again.

use std::time::Duration;

use process_tests::Cluster;

/// How long an operation may take: through a failover, not longer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Kills the primary under load, brings it back, and checks that nothing is missing anywhere.
pub(crate) fn kill_the_primary_under_load(cluster: &mut Cluster, seed: u64) {
    let before = cluster.status();
    let former = cluster.primary();
    let generation = cluster.generation(&former);
    let load = cluster.load(TIMEOUT, seed);
    cluster.wait_for_commits(500);
    cluster.kill_node(&former);
    let after = cluster.wait_for_other_primary(&former);
    assert!(after.epoch() > before.epoch());
    // The writer goes on by itself.
    cluster.wait_for_commits(500);
    cluster.start_node(&former);
    cluster.wait_for_in_sync(3);
    let same = cluster.generation(&former) == generation;
    assert!(same, "{former} took a full copy instead of what it missed");
    load.finish_with_nothing_lost_or_failed();
    cluster.expect_equal_copies();
}

#[test]
#[ignore = "takes minutes; ops/rounds runs it"]
fn ten_killed_primaries_in_a_row() {
    let mut cluster = Cluster::of_three();
    for round in 1..=10 {
        eprintln!("round {round}");
        kill_the_primary_under_load(&mut cluster, round);
    }
}
