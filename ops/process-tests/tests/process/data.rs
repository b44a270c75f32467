//! What goes in comes out: import, export, `db.txt`, values of all kinds.

use std::fs;

use process_tests::{Cluster, ClusterOptions, test_data};

/// The lines of a file that holds a pair a line, sorted, as an export has them.
fn sorted_lines(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_export_holds_exactly_the_pairs_of_the_import() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let file = test_data("packages.txt");
    let exported = cluster.folder().join("out.txt");
    user.done(&["import", file.to_str().unwrap()]);
    assert_eq!(user.done(&["count"]), "4200");
    assert_eq!(user.done(&["get", "fonts-willow-topaz-bin"]), "0.5-7+b3");
    user.done(&["export", exported.to_str().unwrap()]);
    let given = fs::read_to_string(&file).expect("the test data is there");
    let exported = fs::read_to_string(exported).expect("the export is there");
    assert!(exported == sorted_lines(&given), "the export differs");
    cluster.expect_equal_copies();
}

#[test]
fn ten_pairs_are_exported_byte_for_byte_as_their_sorted_self() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let file = test_data("ten-pairs.txt");
    let exported = cluster.folder().join("out.txt");
    user.done(&["import", file.to_str().unwrap()]);
    user.done(&["export", exported.to_str().unwrap()]);
    let exported = fs::read_to_string(exported).expect("the export is there");
    assert_eq!(
        exported,
        "a n\nb n\nc n\nd n\ne n\nf n\ng n\nh n\ni n\nm n\n"
    );
    // Importing again changes nothing.
    user.done(&["import", file.to_str().unwrap()]);
    assert_eq!(user.done(&["count"]), "10");
}

#[test]
fn an_import_reads_lines_as_the_old_program_did() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let file = test_data("ragged.txt");
    let output = user.run(&["import", file.to_str().unwrap()]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    // The odd token is named with its line.
    let said = output.text() + &output.stderr;
    assert!(said.contains("line 5"), "{said}");
    for (key, value) in [
        ("one", "1"),
        ("two", "zwei"),
        ("three", "3"),
        ("four", "4"),
        ("five", "5"),
        ("six", "6"),
    ] {
        assert_eq!(user.done(&["get", key]), value);
    }
    assert_eq!(user.done(&["count"]), "6");
}

#[test]
fn a_node_that_brings_a_db_txt_gives_its_pairs_to_all() {
    let options = ClusterOptions::default();
    let mut cluster = Cluster::without_daemons(options);
    let brought = cluster.data_dir("node-2");
    fs::create_dir_all(&brought).expect("a folder");
    fs::copy(test_data("ten-pairs.txt"), brought.join("db.txt")).expect("a copy");
    cluster.start_coordinator();
    for name in cluster.names() {
        cluster.start_node(&name);
    }
    cluster.wait_for_in_sync(3);
    let user = cluster.user();
    assert_eq!(user.done(&["count"]), "10");
    assert_eq!(user.done(&["get", "d"]), "n");
    assert!(brought.join("db.txt.imported").is_file());
    cluster.expect_equal_copies();
}

#[test]
fn a_clean_stop_and_an_order_write_db_txt() {
    let mut cluster = Cluster::of_three();
    let user = cluster.user();
    let file = test_data("ten-pairs.txt");
    user.done(&["import", file.to_str().unwrap()]);
    user.done(&["admin", "dump"]);
    let primary = cluster.data_dir(&cluster.primary()).join("db.txt");
    let dumped = fs::read_to_string(primary).expect("the dump is there");
    assert!(dumped.starts_with("a n\nb n\n"), "{dumped}");
    let stopped = cluster.backup();
    user.done(&["put", "z", "last"]);
    cluster.stop_node(&stopped);
    let dumped = cluster.data_dir(&stopped).join("db.txt");
    let dumped = fs::read_to_string(dumped).expect("a clean stop writes it");
    assert!(dumped.contains("\nz last\n"), "{dumped}");
}

#[test]
fn any_bytes_are_a_value_and_any_bytes_are_exported() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let put = user.run_with_input(&["put", "every-byte", "-"], &every_byte);
    assert_eq!(put.code, 0, "{}", put.stderr);
    assert_eq!(user.run_with_input(&["put", "", "-"], b"").code, 0);
    user.done(&["put", "two words", "white space\tand\nlines"]);
    assert!(
        user.run(&["get", "every-byte"])
            .stdout
            .starts_with(&every_byte)
    );
    let exported = cluster.folder().join("out.txt");
    user.done(&["export", exported.to_str().unwrap()]);
    user.done(&["delete", "every-byte", "", "two words"]);
    assert_eq!(user.done(&["count"]), "0");
    user.done(&["import", exported.to_str().unwrap()]);
    assert_eq!(user.done(&["count"]), "3");
    assert!(
        user.run(&["get", "every-byte"])
            .stdout
            .starts_with(&every_byte)
    );
    assert_eq!(user.done(&["get", "two words"]), "white space\tand\nlines");
    assert_eq!(user.done(&["get", ""]), "");
}

#[test]
fn the_longest_key_and_value_are_kept_and_longer_ones_refused() {
    const KEY_MAX_BYTES: usize = 64 << 10;
    const VALUE_MAX_BYTES: usize = 64 << 20;
    let cluster = Cluster::of_three();
    let user = cluster.user().and(&["--timeout", "50s"]);
    let key = "k".repeat(KEY_MAX_BYTES);
    let value = vec![b'v'; VALUE_MAX_BYTES];
    let put = user.run_with_input(&["put", &key, "-"], &value);
    assert_eq!(put.code, 0, "{}", put.stderr);
    assert!(user.run(&["get", &key]).stdout.starts_with(&value));
    let too_long = user.run(&["put", &format!("{key}k"), "x"]);
    assert_eq!(too_long.code, 77, "{}", too_long.stderr);
    assert!(too_long.stderr.contains("65536"), "{}", too_long.stderr);
    let too_long = user.run_with_input(&["put", "k", "-"], &[value, vec![b'v']].concat());
    assert_eq!(too_long.code, 77, "{}", too_long.stderr);
    assert_eq!(user.done(&["count"]), "1");
    cluster.expect_equal_copies();
}
