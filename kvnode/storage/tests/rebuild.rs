//! The last that is left of a data directory, made into data again.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use kv_common::id::Seq;
use kvnode_core::state::State;
use kvnode_storage::{DataDir, Past, RebuildError, RebuildPlan, open_data_set, plan_rebuild};

use support::node::{Node, apply, assert_same};
use support::{changes, copy_dir, options, put, put_expiring};

/// Sixty entries, a `db.txt` of the first forty, and a checkpoint of at least these. Returns the
/// states at 40 and at 60.
fn importing(file: &Path) -> Past<'_> {
    Past::New {
        import_from: Some(file),
    }
}

fn write(path: &Path) -> [State; 2] {
    let mut node = Node::open(path, &options());
    let mut at_40 = None;
    for number in 1..=60 {
        let value = vec![b'v'; 500 + number];
        let key = format!("key-{}", number % 25);
        let brief = put_expiring("brief", "x", 1 << 45);
        node.write(2, &[changes(vec![put(&key, &value), brief])]);
        if number == 40 {
            node.dump();
            at_40 = Some(node.model.digest());
        }
    }
    let at_60 = node.stop(None);
    let mut model = State::new(0);
    let dir = DataDir::open(path).expect("opens");
    let data_set = open_data_set(&dir, &options(), true, Past::NEW).expect("recovers");
    for batch in data_set
        .log
        .reader()
        .read_from(Seq(1), usize::MAX)
        .expect("reads")
    {
        if batch.last() <= Seq(40) {
            apply(&mut model, &batch);
        }
    }
    assert_eq!(Some(model.digest()), at_40);
    [model, at_60]
}

fn plan(path: &Path) -> Result<RebuildPlan, RebuildError> {
    let dir = DataDir::open(path).expect("opens");
    plan_rebuild(&dir, &path.join("db.txt"), &std::env::temp_dir())
}

fn rebuild(path: &Path) -> State {
    let plan = plan(path).expect("something is left");
    let dir = DataDir::open(path).expect("opens");
    let rebuilt = plan.carry_out(&dir, &options()).expect("is built");
    assert_eq!(rebuilt.at, plan.covers());
    let data_set = open_data_set(&dir, &options(), true, Past::NEW).expect("recovers");
    assert_eq!(data_set.recovered.unfit, None);
    let mut state = data_set.recovered.state;
    for batch in &data_set.recovered.tail {
        apply(&mut state, batch);
    }
    assert_eq!(state.keys(), rebuilt.keys);
    state
}

fn segment(path: &Path, generation: &str) -> PathBuf {
    path.join(generation).join(format!("log/{:020}.seg", 1))
}

fn damage(file: &Path, from: usize, length: usize) {
    let mut bytes = fs::read(file).expect("reads");
    let end = (from + length).min(bytes.len());
    bytes[from..end].fill(0x5a);
    fs::write(file, bytes).expect("writes");
}

fn damage_checkpoint(path: &Path, generation: &str) {
    let dir = path.join(generation).join("checkpoint");
    for file in fs::read_dir(dir).expect("lists") {
        let file = file.expect("lists").path();
        if file.is_file() {
            damage(&file, 0, usize::MAX >> 1);
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_made_up_for_by_the_text_and_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let [_, whole] = write(&path);
    assert!(matches!(plan(&path), Err(RebuildError::Sound { .. })));
    damage_checkpoint(&path, "gen-000001");
    let kept = fs::read(segment(&path, "gen-000001")).expect("reads");
    assert_eq!(rebuild(&path).digest(), whole.digest());
    let aside = segment(&path, "set-aside-gen-000001");
    assert!(fs::read(aside).expect("is kept") == kept);
    assert!(matches!(plan(&path), Err(RebuildError::Sound { .. })));
}

#[test]
fn a_start_in_between_takes_nothing_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let [_, whole] = write(&path);
    damage_checkpoint(&path, "gen-000001");
    {
        let dir = DataDir::open(&path).expect("opens");
        let started = open_data_set(&dir, &options(), true, Past::NEW).expect("starts");
        assert!(started.recovered.unfit.is_some());
    }
    let shown = plan(&path).expect("something is left").to_string();
    assert!(
        shown.contains("set-aside-gen-000001, log: entries 1 to 2.60"),
        "{shown}"
    );
    assert_eq!(rebuild(&path).digest(), whole.digest());
}

#[test]
fn a_log_damaged_before_the_checkpoint_leaves_the_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let [_, whole] = write(&path);
    damage(&segment(&path, "gen-000001"), 9_000, 100);
    assert_same(&rebuild(&path), &whole);
}

#[test]
fn a_text_without_its_log_is_better_than_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let [at_40, _] = write(&path);
    damage_checkpoint(&path, "gen-000001");
    damage(&segment(&path, "gen-000001"), 0, 4096);
    let shown = plan(&path).expect("something is left").to_string();
    assert!(shown.contains("the state at 2.40"), "{shown}");
    let rebuilt = rebuild(&path);
    assert_eq!(rebuilt.digest(), at_40.digest());
    assert_eq!(rebuilt.applied(), at_40.applied());
}

#[test]
fn a_log_from_its_start_needs_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let [_, whole] = write(&path);
    damage_checkpoint(&path, "gen-000001");
    fs::remove_file(path.join("db.txt")).expect("removes");
    assert_eq!(rebuild(&path).digest(), whole.digest());
}

#[test]
fn where_nothing_is_left_it_is_said_and_nothing_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    write(&path);
    damage_checkpoint(&path, "gen-000001");
    damage(&segment(&path, "gen-000001"), 0, 4096);
    let text = fs::read_to_string(path.join("db.txt")).expect("reads");
    let cut_off = text.lines().take(10).collect::<Vec<_>>().join("\n");
    fs::write(path.join("db.txt"), cut_off).expect("writes");
    let said = plan(&path).expect_err("nothing is left").to_string();
    assert!(said.contains("restore a backup"), "{said}");
    assert!(path.join("gen-000001").is_dir());
}

#[test]
fn what_is_left_can_be_written_as_text_elsewhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node");
    let [_, whole] = write(&path);
    damage_checkpoint(&path, "gen-000001");
    let before = dir.path().join("before");
    copy_dir(&path, &before);
    let file = dir.path().join("left.txt");
    let plan = plan(&path).expect("something is left");
    let rebuilt = plan.write_text(&file, &options()).expect("writes");
    assert_eq!(rebuilt.keys, whole.keys());
    assert!(path.join("gen-000001").is_dir() && !path.join("gen-000002").exists());
    let elsewhere = DataDir::open(&dir.path().join("elsewhere")).expect("opens");
    let imported = open_data_set(&elsewhere, &options(), true, importing(&file)).expect("imports");
    assert_eq!(imported.recovered.state.digest(), whole.digest());
    assert_eq!(
        fs::read_dir(dir.path()).expect("lists").count(),
        4,
        "no leftovers"
    );
}
