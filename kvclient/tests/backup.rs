//! Backups, and what becomes of them when they are damaged.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::FakeCluster;

fn run(cluster: &FakeCluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvclient"));
    command
        .args(arguments)
        .env("KV_COORDINATOR", &cluster.coordinator.0)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command.output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(cluster: &FakeCluster, arguments: &[&str]) -> String {
    let output = run(cluster, arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    text(&output.stdout)
}

fn refused(cluster: &FakeCluster, arguments: &[&str]) -> String {
    let output = run(cluster, arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

fn name(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Eight pairs. The cluster here writes keys and values as they are; the tests of the real programs have
/// all bytes, and keys that go by themselves.
fn filled() -> FakeCluster {
    let cluster = FakeCluster::start();
    let long = "x".repeat(100_000);
    for number in 0..4 {
        done(&cluster, &["put", &format!("key-{number}"), "value"]);
        done(&cluster, &["put", &format!("long-{number}"), &long]);
    }
    cluster
}

#[test]
fn a_backup_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let before = filled();
    let said = done(&before, &["backup", name(&file)]);
    assert!(said.starts_with("backed up 8 pairs at position "), "{said}");
    let exported = done(&before, &["export", "-"]);
    assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    let after = FakeCluster::start();
    let said = done(&after, &["restore", name(&file)]);
    assert!(said.starts_with("restored 8 pairs"), "{said}");
    assert!(done(&after, &["export", "-"]) == exported, "other pairs");
    let refusal = refused(&after, &["restore", name(&file)]);
    assert!(refusal.contains("the cluster has 8 keys"), "{refusal}");
    done(&after, &["delete", "key-1", "long-1"]);
    done(&after, &["restore", "--resume", name(&file)]);
    assert!(done(&after, &["export", "-"]) == exported, "other pairs");
}

#[test]
fn what_is_not_in_the_backup_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    done(&filled(), &["backup", name(&file)]);
    let other = FakeCluster::start();
    done(&other, &["put", "stranger", "x"]);
    let output = run(&other, &["restore", "--resume", name(&file)]);
    assert_eq!(output.status.code(), Some(70));
    let said = text(&output.stderr);
    assert!(said.contains("9 pairs instead of 8"), "{said}");
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    done(&filled(), &["backup", name(&file)]);
    let whole = fs::read(&file).expect("reads");
    let after = FakeCluster::start();
    let check = done(&after, &["restore", "--check", name(&file)]);
    assert!(check.contains("is whole: 8 pairs"), "{check}");
    let mut flipped = whole.clone();
    flipped[whole.len() - 300_000] ^= 4;
    for (damaged, says) in [
        (flipped, "wrong checksum"),
        (whole[..whole.len() - 8].to_vec(), "was cut off"),
        (whole[..200_000].to_vec(), "was cut off"),
        (b"a n\n".repeat(100), "no backup"),
        (Vec::new(), "was cut off"),
    ] {
        fs::write(&file, damaged).expect("writes");
        for order in [&["restore"][..], &["restore", "--check"]] {
            let said = refused(&after, &[order, &[name(&file)]].concat());
            assert!(said.contains(says) && said.contains(name(&file)), "{said}");
        }
    }
    assert_eq!(done(&after, &["count"]), "0\n");
}
