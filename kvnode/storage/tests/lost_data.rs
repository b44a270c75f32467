//! Data that is gone, or that nothing points to any more, where the promises are left.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use kv_common::id::Position;
use kvnode_storage::{DataDir, DataSet, DataSetError, Past, open_data_set, plan_rebuild};

use support::node::Node;
use support::{changes, options, put};

fn start(path: &Path, past: Past<'_>) -> Result<DataSet, DataSetError> {
    let dir = DataDir::open(path).expect("opens");
    open_data_set(&dir, &options(), true, past)
}

/// A node with three imported keys and an empty log.
fn import(path: &Path) {
    let file = path.with_extension("txt");
    fs::write(&file, "a 1\nb 2\nc 3\n").expect("writes");
    let past = Past::New {
        import_from: Some(&file),
    };
    start(path, past).expect("imports");
}

#[test]
fn a_member_without_data_is_no_new_node() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    import(&path);
    fs::remove_dir_all(path.join("gen-000001")).expect("removes");
    fs::remove_file(path.join("CURRENT")).expect("removes");
    for start_number in 0..2 {
        let found = start(&path, Past::Member).expect("starts").recovered;
        assert!(found.unfit.is_some(), "start {start_number}");
        assert_eq!(found.history.last(), Position::ZERO);
    }
}

#[test]
fn a_member_with_its_data_is_fit() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    import(&path);
    let found = start(&path, Past::Member).expect("starts").recovered;
    assert_eq!(found.unfit, None);
    assert_eq!(found.state.keys(), 3);
}

#[test]
fn a_checkpoint_that_nothing_points_to_is_not_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    import(&path);
    let named = fs::read(path.join("CURRENT")).expect("reads");
    fs::remove_file(path.join("CURRENT")).expect("removes");
    for past in [Past::Member, Past::NEW] {
        let error = start(&path, past).expect_err("refuses").to_string();
        assert!(
            error.contains("gen-000001 holds data: write its name into CURRENT"),
            "{error}"
        );
    }
    let data_dir = DataDir::open(&path).expect("opens");
    let text = path.join("db.txt");
    let plan = plan_rebuild(&data_dir, &text, &std::env::temp_dir()).expect("the data is left");
    let refused = plan.carry_out(&data_dir, &options());
    assert!(refused.is_err(), "what it is built from would go first");
    drop(data_dir);
    fs::write(path.join("CURRENT"), named).expect("writes");
    let found = start(&path, Past::Member).expect("starts").recovered;
    assert_eq!((found.state.keys(), found.unfit), (3, None));
}

#[test]
fn a_checkpoint_whose_log_is_gone_too_is_not_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let mut node = Node::open(&path, &options());
    node.write(1, &[changes(vec![put("key", b"value")])]);
    node.stop(None);
    fs::remove_file(path.join("CURRENT")).expect("removes");
    fs::remove_dir_all(path.join("gen-000001/log")).expect("removes");
    assert!(start(&path, Past::Member).is_err());
    assert!(path.join("gen-000001/checkpoint").is_dir());
}

#[test]
fn a_checkpoint_that_does_not_open_is_not_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    import(&path);
    fs::remove_file(path.join("CURRENT")).expect("removes");
    for file in fs::read_dir(path.join("gen-000001/checkpoint")).expect("lists") {
        let file = file.expect("lists").path();
        if let Ok(bytes) = fs::read(&file) {
            fs::write(&file, vec![0x5a; bytes.len()]).expect("writes");
        }
    }
    assert!(start(&path, Past::Member).is_err());
}
