//! Data that was replaced, where the run ended before it was set aside or removed.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use kvnode_storage::{
    CheckpointEvent, CopyProgressed, CopyTarget, DataDir, DataSet, Past, open_data_set,
    plan_rebuild,
};

use support::node::Node;
use support::{changes, copy_dir, options, put};

fn start(path: &Path) -> DataSet {
    let dir = DataDir::open(path).expect("opens");
    open_data_set(&dir, &options(), true, Past::NEW).expect("starts")
}

fn write(path: &Path, epoch: u64, entries: u64) {
    let mut node = Node::open(path, &options());
    for number in 1..=entries {
        let key = format!("key-{number}");
        node.write(epoch, &[changes(vec![put(&key, b"value")])]);
    }
    node.stop(None);
}

fn damage_checkpoint(path: &Path) {
    for file in fs::read_dir(path.join("gen-000001/checkpoint")).expect("lists") {
        let file = file.expect("lists").path();
        if let Ok(bytes) = fs::read(&file) {
            fs::write(&file, vec![0x5a; bytes.len()]).expect("writes");
        }
    }
}

/// Has the node at `path` take a copy of the one at `source`.
fn take_copy(path: &Path, source: &Path) {
    let source = Node::open(source, &options());
    let dir = DataDir::open(path).expect("opens");
    let mut target = CopyTarget::begin(&dir, &options()).expect("begins");
    source.handle().begin_copy(1).expect("is taken");
    loop {
        let message = source.wait_for(|event| match event {
            CheckpointEvent::CopyMessage { message, .. } => Some(message),
            _ => None,
        });
        match target.take(message).expect("takes") {
            CopyProgressed::Begun => {}
            CopyProgressed::Taken { parts } => {
                source.handle().copy_taken(1, parts).expect("is taken");
            }
            CopyProgressed::Whole => break,
        }
    }
    target.finish().expect("finishes");
    source.stop(None);
}

/// As if the last run had ended before it did anything with the data that it had replaced.
fn undo_setting_aside(path: &Path) {
    let (aside, former) = (path.join("set-aside-gen-000001"), path.join("gen-000001"));
    fs::rename(aside, former).expect("was set aside");
}

fn folders(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).expect("lists").map(|entry| {
        let entry = entry.expect("lists");
        entry.file_name().to_string_lossy().into_owned()
    });
    let mut names: Vec<String> = names.filter(|name| name.contains("gen-")).collect();
    names.sort();
    names
}

#[test]
fn data_that_does_not_open_is_set_aside_by_a_later_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    write(&path, 1, 20);
    damage_checkpoint(&path);
    assert!(start(&path).recovered.unfit.is_some());
    undo_setting_aside(&path);
    assert!(start(&path).recovered.unfit.is_some());
    assert_eq!(folders(&path), ["gen-000002", "set-aside-gen-000001"]);
    let data_dir = DataDir::open(&path).expect("opens");
    let plan = plan_rebuild(&data_dir, &path.join("db.txt"), &std::env::temp_dir());
    let plan = plan.expect("the log is left");
    assert_eq!(plan.covers(), support::at(1, 20));
}

#[test]
fn data_that_a_rebuild_replaced_is_set_aside_by_a_later_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    write(&path, 1, 20);
    damage_checkpoint(&path);
    let data_dir = DataDir::open(&path).expect("opens");
    let plan = plan_rebuild(&data_dir, &path.join("db.txt"), &std::env::temp_dir());
    let plan = plan.expect("the log is left");
    plan.carry_out(&data_dir, &options()).expect("is built");
    drop(data_dir);
    undo_setting_aside(&path);
    let found = start(&path).recovered;
    assert_eq!(found.unfit, None);
    assert_eq!(folders(&path), ["gen-000002", "set-aside-gen-000001"]);
}

#[test]
fn what_a_copy_lacks_is_set_aside_by_a_later_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    write(&path, 4, 3);
    write(&source, 5, 20);
    take_copy(&path, &source);
    undo_setting_aside(&path);
    start(&path);
    assert_eq!(folders(&path), ["gen-000002", "set-aside-gen-000001"]);
}

#[test]
fn what_a_copy_has_whole_is_removed_by_a_later_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    write(&source, 5, 3);
    copy_dir(&source, &path);
    write(&source, 5, 20);
    let former = dir.path().join("former");
    copy_dir(&path.join("gen-000001"), &former);
    take_copy(&path, &source);
    assert_eq!(folders(&path), ["gen-000002"], "nothing is lost with it");
    copy_dir(&former, &path.join("gen-000001"));
    // A removal that did not come to its end.
    copy_dir(&former.join("log"), &path.join("removed-gen-000001/log"));
    start(&path);
    assert_eq!(folders(&path), ["gen-000002"]);
    let found = start(&path).recovered;
    assert_eq!(found.state.keys(), 20);
}

#[test]
fn where_the_log_is_gone_nobody_knows_what_a_copy_lacks() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    write(&source, 5, 3);
    copy_dir(&source, &path);
    write(&source, 5, 20);
    let former = dir.path().join("former");
    copy_dir(&path.join("gen-000001"), &former);
    take_copy(&path, &source);
    copy_dir(&former, &path.join("gen-000001"));
    let log = path.join("gen-000001/log");
    for segment in fs::read_dir(&log).expect("lists") {
        fs::remove_file(segment.expect("lists").path()).expect("removes");
    }
    start(&path);
    assert_eq!(folders(&path), ["gen-000002", "set-aside-gen-000001"]);
}
