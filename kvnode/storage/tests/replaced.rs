//! Data that was replaced, where the run ended before it was set aside or removed.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use kvnode_storage::{
    CheckpointEvent, CopyProgressed, CopyTarget, DataDir, DataSet, InspectionOptions, Past,
    inspect, open_data_set, plan_rebuild,
};

use support::node::Node;
use support::{changes, copy_dir, options, overwrite, put, segments};

const SEGMENT_HEADER_BYTES: u64 = 4096;

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
    fetch_copy(path, source).finish().expect("finishes");
}

/// The same up to where the copy is whole.
fn fetch_copy(path: &Path, source: &Path) -> CopyTarget {
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
    source.stop(None);
    target
}

/// Damages the first entry in the log of the current generation; the later ones show that it was durable.
fn damage_log(path: &Path) {
    let current = fs::read_to_string(path.join("CURRENT")).expect("there is data");
    let log = path.join(current.trim()).join("log");
    overwrite(&segments(&log)[0], SEGMENT_HEADER_BYTES + 20, &[0x5a; 8]);
}

/// A node whose log was damaged before each of the copies that it took, and that had nothing else which these
/// lacked.
fn copied_with_damage(path: &Path, source: &Path, copies: usize) {
    write(source, 5, 3);
    copy_dir(source, path);
    for copy in 0..copies {
        if copy > 0 {
            write(path, 5, 3);
        }
        write(source, 5, 6);
        damage_log(path);
        take_copy(path, source);
    }
}

fn rename(path: &Path, from: &str, to: &str) {
    fs::rename(path.join(from), path.join(to)).expect("is there");
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
    assert_eq!(
        folders(&path),
        ["gen-000002", "set-aside-in-doubt-gen-000001"]
    );
}

#[test]
fn a_log_that_is_damaged_behind_what_a_copy_has_is_set_aside_in_doubt() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    copied_with_damage(&path, &source, 1);
    let after = ["gen-000002", "set-aside-in-doubt-gen-000001"];
    assert_eq!(folders(&path), after);
    let look_at = InspectionOptions {
        db_txt: path.join("db.txt"),
        scratch_dir: std::env::temp_dir(),
    };
    let shown = inspect(&path, &look_at).expect("inspects").to_string();
    assert!(shown.contains("set-aside-in-doubt-gen-000001, "), "{shown}");
    assert!(shown.contains("the newest 2 of such are kept"), "{shown}");
    rename(&path, "set-aside-in-doubt-gen-000001", "gen-000001");
    assert_eq!(start(&path).recovered.state.keys(), 6);
    assert_eq!(folders(&path), after, "nor does a later start remove it");
}

#[test]
fn a_log_that_does_not_reach_its_checkpoint_is_set_aside_in_doubt() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    write(&source, 5, 1);
    copy_dir(&source, &path);
    write(&source, 5, 6);
    // Nothing in the log shows that its only entry was durable; the checkpoint does.
    damage_log(&path);
    take_copy(&path, &source);
    assert_eq!(
        folders(&path),
        ["gen-000002", "set-aside-in-doubt-gen-000001"]
    );
}

#[test]
fn damaged_data_that_certainly_holds_more_is_not_merely_in_doubt() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    write(&path, 4, 3);
    damage_log(&path);
    write(&source, 5, 20);
    take_copy(&path, &source);
    assert_eq!(folders(&path), ["gen-000002", "set-aside-gen-000001"]);
}

#[test]
fn wherever_a_run_ends_no_more_is_kept_in_doubt_and_nothing_newer_is_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    copied_with_damage(&path, &source, 2);
    let [first, second, third] =
        [1, 2, 3].map(|number| format!("set-aside-in-doubt-gen-00000{number}"));
    assert_eq!(folders(&path), ["gen-000003", &first, &second]);
    let oldest = dir.path().join("oldest");
    copy_dir(&path.join(&first), &oldest);
    write(&path, 5, 3);
    write(&source, 5, 6);
    damage_log(&path);
    take_copy(&path, &source);
    let after = ["gen-000004", &second, &third];
    assert_eq!(folders(&path), after);

    // The run ended when the copy was current; when the oldest was half removed; when it was gone; when all
    // was done.
    type Undo<'dir> = &'dir dyn Fn(&Path);
    let undone: [Undo<'_>; 4] = [
        &|path| {
            rename(path, &third, "gen-000003");
            copy_dir(&oldest, &path.join(&first));
        },
        &|path| {
            rename(path, &third, "gen-000003");
            let half = path.join(format!("removed-{first}"));
            copy_dir(&oldest.join("log"), &half.join("log"));
        },
        &|path| rename(path, &third, "gen-000003"),
        &|_| {},
    ];
    for (number, undo) in undone.iter().enumerate() {
        let path = dir.path().join(format!("undone-{number}"));
        copy_dir(&dir.path().join("node"), &path);
        undo(&path);
        for _ in 0..2 {
            let found = start(&path).recovered;
            assert_eq!((found.unfit, found.state.keys()), (None, 6));
            assert_eq!(folders(&path), after, "crash point {number}");
        }
        let kept = [&second, &third].map(|name| segments(&path.join(name).join("log")).len());
        assert_eq!(kept, [1, 1], "crash point {number}");
    }
}

#[test]
fn a_copy_that_does_not_become_current_takes_the_place_of_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, source) = (dir.path().join("node"), dir.path().join("source"));
    copied_with_damage(&path, &source, 2);
    write(&path, 5, 3);
    write(&source, 5, 6);
    damage_log(&path);
    let before = folders(&path);
    drop(fetch_copy(&path, &source));
    assert!(folders(&path).contains(&"gen-000004".to_owned()));
    assert!(start(&path).recovered.unfit.is_some());
    assert_eq!(folders(&path), before);
}
