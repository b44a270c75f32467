//! A planned change of the primary.

use process_tests::Cluster;

use crate::rounds::TIMEOUT;

#[test]
fn a_switchover_under_load_fails_no_operation() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let load = cluster.load(TIMEOUT, 1);
    for _ in 0..3 {
        cluster.wait_for_commits(300);
        let former = cluster.primary();
        user.done(&["admin", "switchover"]);
        cluster.wait_for_other_primary(&former);
        cluster.wait_for_in_sync(3);
    }
    load.finish_with_nothing_lost_or_failed();
    cluster.expect_equal_copies();
}

#[test]
fn a_switchover_goes_to_the_node_that_is_named() {
    let cluster = Cluster::of_three();
    let target = cluster.status().backups().into_iter().next_back();
    let target = target.expect("the view has backups");
    cluster.user().done(&["admin", "switchover", &target]);
    let after = cluster.wait_for_in_sync(3);
    assert_eq!(after.primary(), Some(target));
}
