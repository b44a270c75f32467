//! The interactive client of old: get, add or update, delete.

use process_tests::{Cluster, test_data};

#[test]
fn the_three_sessions_of_old_are_replayed() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["import", test_data("ten-pairs.txt").to_str().unwrap()]);

    let got = user.run_with_input(&["menu"], b"1\na\n");
    assert!(got.text().contains("Value of a is n"), "{}", got.text());

    let added = user.run_with_input(&["menu"], b"2\ny\nnn\n");
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(user.done(&["get", "y"]), "nn");

    let deleted = user.run_with_input(&["menu"], b"3\ny\n");
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert_eq!(user.run(&["get", "y"]).code, 1);
}
