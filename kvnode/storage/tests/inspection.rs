//! Looking at a data directory from outside.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kv_common::id::NodeId;
use kvnode_storage::{DataDir, Inspection, InspectionOptions, Meta, inspect};

use support::node::Node;
use support::{changes, options, put};

fn look(path: &Path) -> Inspection {
    let options = InspectionOptions {
        db_txt: path.join("db.txt"),
        scratch_dir: std::env::temp_dir(),
    };
    inspect(path, &options).expect("inspects")
}

/// Every file under `path` with its content.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).expect("reads");
            found.insert(path, content);
        }
    }
    found
}

/// A node's directory after thirty entries and a clean stop.
fn written(path: &Path) {
    let dir = DataDir::open(path).expect("opens");
    drop(Meta::open(&dir, NodeId(7)).expect("opens"));
    drop(dir);
    let mut node = Node::open(path, &options());
    for number in 0..30 {
        let value = vec![b'v'; 4000];
        node.write(2, &[changes(vec![put(&format!("key-{number}"), &value)])]);
    }
    let db_txt = node.db_txt();
    node.stop(Some(db_txt));
}

#[test]
fn it_shows_everything_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    written(&path);
    let before = files(&path);
    let found = look(&path);
    let shown = found.to_string();
    for what in [
        "node: 0000000000000007",
        "runs: 1, the last one did not stop cleanly",
        "data: gen-000001",
        "position: 2.30, 30 keys, 0 sessions",
        "entries 1 to 2.30",
        "00000000000000000001.seg: entries 1 to",
        "30 pairs, position 2.30",
        "no damage was found",
    ] {
        assert!(shown.contains(what), "no '{what}' in:\n{shown}");
    }
    assert!(found.is_sound());
    assert!(files(&path) == before, "something was changed");
}

#[test]
fn damage_is_named_with_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    written(&path);
    let segment = "gen-000001/log/00000000000000000001.seg";
    for (file, from, says) in [
        (segment, 5_000, segment),
        ("meta/db", 0, "DAMAGED: the meta database lost records"),
        ("META-COPY", 0, "DAMAGED: the copy of the meta records"),
        ("gen-000001/checkpoint/db", 0, "checkpoint: DAMAGED"),
    ] {
        let whole = fs::read(path.join(file)).expect("reads");
        let mut damaged = whole.clone();
        let until = if file == segment {
            from + 100
        } else {
            whole.len()
        };
        damaged[from..until].fill(0x5a);
        fs::write(path.join(file), &damaged).expect("writes");
        let found = look(&path);
        let shown = found.to_string();
        assert!(!found.is_sound(), "{file}:\n{shown}");
        assert!(shown.contains(says), "{file}:\n{shown}");
        let kept = fs::read(path.join(file)).expect("reads");
        assert!(kept == damaged, "{file} was changed");
        fs::write(path.join(file), whole).expect("writes");
    }
    assert!(look(&path).is_sound());
}

#[test]
fn a_directory_in_use_is_left_to_its_node() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let mut node = Node::open(&path, &options());
    node.write(2, &[changes(vec![put("k", b"v")])]);
    let found = look(&path);
    let shown = found.to_string();
    assert!(found.is_sound(), "{shown}");
    assert!(shown.contains("a node is running on it"), "{shown}");
    assert!(shown.contains("checkpoint: not read"), "{shown}");
    assert!(shown.contains("entries 1 to 2.1"), "{shown}");
    node.stop(None);
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let options = InspectionOptions {
        db_txt: path.join("db.txt"),
        scratch_dir: std::env::temp_dir(),
    };
    let refused = || inspect(&path, &options).expect_err("refused").to_string();
    assert!(refused().contains("no file FORMAT"));
    assert!(!path.exists(), "nothing was made");
    fs::create_dir(&path).expect("creates");
    fs::write(path.join("FORMAT"), "kvnode 2\n").expect("writes");
    assert!(refused().contains("use the newer kvnode"));
}

#[test]
fn a_scratch_folder_that_is_not_there_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    written(&path);
    let options = InspectionOptions {
        db_txt: path.join("db.txt"),
        scratch_dir: dir.path().join("missing"),
    };
    let shown = inspect(&path, &options).expect("inspects").to_string();
    assert!(shown.contains("meta records: not read"), "{shown}");
    assert!(shown.contains("entries 1 to 2.30"), "{shown}");
}
