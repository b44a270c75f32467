//! Whatever happens to the bytes of a data directory: the node has the whole truth, or an exact
//! prefix of it that it reports as such, or says what is wrong. It never panics, never has anything
//! else, and never deletes what it cannot read.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kv_common::entry::EntryBody;
use kv_common::id::{Epoch, NodeId, Seq};
use kvnode_core::state::State;
use kvnode_storage::{DataDir, DataSet, Meta, MetaRecord, Past, StorageOptions, open_data_set};

use support::node::{Node, apply};
use support::numbers::Numbers;
use support::{at, changes, copy_dir, delete, options, put, put_expiring, request};

const SEAL: Epoch = Epoch(3);
const RECORD_MAGIC: &[u8] = b"KVR1";

/// What a state comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summary {
    keys: u64,
    digest: u128,
    sessions: usize,
}

impl Summary {
    fn of(state: &State) -> Self {
        Self {
            keys: state.keys(),
            digest: state.digest(),
            sessions: state.sessions().len(),
        }
    }
}

/// A data directory, and what each position in its log holds.
struct Written {
    path: PathBuf,
    last: Seq,
    summaries: BTreeMap<Seq, Summary>,
}

/// What an opening came to.
#[derive(Clone, Copy, Debug, Default)]
struct Outcomes {
    whole: u64,
    prefix: u64,
    unfit: u64,
    refused: u64,
}

fn storage_options() -> StorageOptions {
    StorageOptions {
        retention_bytes: 100 << 10,
        ..options()
    }
}

/// How much is written.
#[derive(Clone, Copy, Debug)]
struct Scale {
    batches: u64,
    entries: u64,
    keys: u64,
    value_bytes_max_log2: u64,
}

const SMALL: Scale = Scale {
    batches: 260,
    entries: 1,
    keys: 150,
    value_bytes_max_log2: 14,
};
/// Several of sled's own segments.
const LARGE: Scale = Scale {
    batches: 120,
    entries: 150,
    keys: 6000,
    value_bytes_max_log2: 11,
};

fn body(numbers: &mut Numbers, number: u64, scale: Scale) -> EntryBody {
    let bytes = 1 << numbers.below(scale.value_bytes_max_log2 + 1);
    let value: Vec<u8> = (0..bytes)
        .map(|_| numbers.next().to_le_bytes()[0])
        .collect();
    let key = format!("key-{}", numbers.below(scale.keys));
    let long_key = format!("{key}{}", "-".repeat(1500));
    match number {
        1 => EntryBody::OpenSession,
        90 if scale.entries == 1 => changes(vec![kv_common::entry::Change::Clear]),
        _ if numbers.one_in(6) => request(at(2, 1), number, vec![put(&key, &value)]),
        _ if numbers.one_in(6) => changes(vec![delete(&key), put(&long_key, &value)]),
        _ if numbers.one_in(6) => changes(vec![put_expiring(&key, "brief", 1 << 45)]),
        _ => changes(vec![put(&key, &value)]),
    }
}

/// Writes a directory. With a clean stop, the checkpoint has everything; without, the log goes on
/// behind it.
fn write(path: &Path, clean_stop: bool, scale: Scale) -> Written {
    let mut numbers = Numbers::new(9);
    let options = storage_options();
    let dir = DataDir::open(path).expect("opens");
    let (mut meta, _) = Meta::open(&dir, NodeId(7)).expect("opens");
    let mut promises = meta.record().promises.clone();
    for epoch in 1..=SEAL.0 {
        promises.seal = Epoch(epoch);
        let record = MetaRecord {
            promises: promises.clone(),
            ..meta.record().clone()
        };
        meta.store(record).expect("stores");
    }
    drop((meta, dir));
    let live = path.with_extension("live");
    let at_work = if clean_stop { path } else { &live };
    if !clean_stop {
        fs::rename(path, &live).expect("moves");
    }
    let mut node = Node::open(at_work, &options);
    let mut summaries = BTreeMap::from([(Seq::ZERO, Summary::of(&node.model))]);
    for number in 1..=scale.batches {
        let entries = if number == 1 { 1 } else { scale.entries };
        let bodies: Vec<EntryBody> = (0..entries)
            .map(|_| body(&mut numbers, number, scale))
            .collect();
        node.write(2, &bodies);
        summaries.insert(node.last(), Summary::of(&node.model));
        if [40, 100, 180].contains(&number) {
            node.dump();
        }
    }
    let last = node.last();
    if clean_stop {
        let db_txt = node.db_txt();
        node.stop(Some(db_txt));
    } else {
        copy_dir(&live, path);
        node.stop(None);
        fs::remove_dir_all(&live).expect("removes");
    }
    Written {
        path: path.to_owned(),
        last,
        summaries,
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Changes a few bytes of the file, or cuts it off. Says what was done, and whether no record begins
/// behind them.
fn damage(path: &Path, numbers: &mut Numbers) -> (String, bool) {
    let bytes = fs::read(path).expect("reads");
    let used = bytes.iter().rposition(|byte| *byte != 0);
    let used = used.map_or(0, |last| last as u64 + 1);
    let end = if numbers.one_in(4) {
        bytes.len() as u64
    } else {
        used
    };
    let offset = numbers.below(end.max(1));
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opens");
    if numbers.one_in(3) || bytes.is_empty() {
        file.set_len(offset).expect("cuts");
        return (format!("cut off at {offset} of {}", bytes.len()), false);
    }
    let start = usize::try_from(offset).expect("fits");
    let length = match numbers.below(3) {
        0 => 1,
        1 => 1 + usize::try_from(numbers.below(64)).expect("fits"),
        _ => 4096,
    };
    let mut changed = bytes[start..(start + length).min(bytes.len())].to_vec();
    let what = if length == 1 {
        changed[0] ^= 1 << numbers.below(8);
        "flipped a bit of"
    } else if numbers.one_in(2) {
        changed.fill(0);
        "zeroed"
    } else {
        changed.iter_mut().for_each(|byte| *byte ^= 0x5a);
        "changed"
    };
    file.write_all_at(&changed, offset).expect("writes");
    let behind = &bytes[start + changed.len()..];
    let reaches_the_end = !behind.windows(4).any(|window| window == RECORD_MAGIC);
    let done = format!(
        "{what} {} bytes at {offset} of {}",
        changed.len(),
        bytes.len()
    );
    (done, reaches_the_end)
}

/// Opens a damaged directory, and says what is wrong with what comes of it. Only when the damage
/// `reaches_the_end`, there is no record behind it that tells of those in it.
fn judge(
    written: &Written,
    dir: &Path,
    reaches_the_end: bool,
    outcomes: &mut Outcomes,
) -> Result<(), String> {
    let before = logs_and_text(dir);
    let opened = catch_unwind(AssertUnwindSafe(|| open(dir)));
    let opened = opened.map_err(|_| "a panic".to_owned())?;
    let is_kept = || logs_and_text(dir).is_superset(&before);
    let (record, data_set) = match opened {
        Ok(opened) => opened,
        Err(message) => {
            outcomes.refused += 1;
            return match message.contains(dir.to_str().expect("is text")) {
                true if is_kept() => Ok(()),
                true => Err(format!("refused, and something is gone: {message}")),
                false => Err(format!("refused without naming a file: {message}")),
            };
        }
    };
    if record.node != NodeId(7) || record.promises.seal != SEAL {
        return Err(format!("promises are lost: {record:?}"));
    }
    if let Some(cause) = &data_set.recovered.unfit {
        outcomes.unfit += 1;
        return match is_kept() {
            true => Ok(()),
            false => Err(format!("something is gone: {cause}")),
        };
    }
    compare(written, data_set, reaches_the_end, outcomes)
}

/// The contents of all segments and of `db.txt`, wherever they are.
fn logs_and_text(path: &Path) -> BTreeSet<Vec<u8>> {
    let kept = files(path).into_iter().filter(|file| {
        let extension = file.extension().unwrap_or_default();
        extension == "seg" || extension == "txt"
    });
    kept.map(|file| fs::read(file).expect("reads")).collect()
}

fn open(dir: &Path) -> Result<(MetaRecord, DataSet), String> {
    let open = DataDir::open(dir).map_err(|error| error.to_string())?;
    let (meta, _) = Meta::open(&open, NodeId(99)).map_err(|error| error.to_string())?;
    let data_set = open_data_set(&open, &storage_options(), true, Past::NEW);
    let data_set = data_set.map_err(|error| error.to_string())?;
    Ok((meta.record().clone(), data_set))
}

fn compare(
    written: &Written,
    data_set: DataSet,
    reaches_the_end: bool,
    outcomes: &mut Outcomes,
) -> Result<(), String> {
    let last = data_set.recovered.history.last().seq;
    let mut state = data_set.recovered.state;
    let compare = |what: &str, state: &State| {
        let found = Summary::of(state);
        let at = state.applied().seq;
        match written.summaries.get(&at) {
            Some(expected) if *expected == found => Ok(()),
            expected => Err(format!("{what} at {at}: {found:?} and not {expected:?}")),
        }
    };
    compare("what is applied", &state)?;
    for batch in &data_set.recovered.tail {
        apply(&mut state, batch);
    }
    compare("the tail", &state)?;
    if state.applied().seq != last {
        return Err(format!("{last} is reported, {} is there", state.applied()));
    }
    if last == written.last {
        outcomes.whole += 1;
        return Ok(());
    }
    outcomes.prefix += 1;
    match reaches_the_end {
        true => Ok(()),
        false => Err(format!("{last} of {} and nothing is said", written.last)),
    }
}

fn rounds(count: u64, seed: u64, scale: Scale) {
    let folder = tempfile::tempdir().expect("a folder");
    let written = [true, false].map(|clean_stop| {
        let path = folder.path().join(format!("written-{clean_stop}"));
        write(&path, clean_stop, scale)
    });
    let mut numbers = Numbers::new(seed);
    let mut outcomes = Outcomes::default();
    let mut faults = Vec::new();
    for round in 0..count {
        let written = &written[usize::try_from(round % 2).expect("fits")];
        let dir = folder.path().join("damaged");
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => copy_dir(&written.path, &dir),
        }
        let files = files(&dir);
        let file = &files[usize::try_from(numbers.below(files.len() as u64)).expect("fits")];
        let (done, reaches_the_end) = damage(file, &mut numbers);
        let file = file
            .strip_prefix(&dir)
            .expect("is inside")
            .display()
            .to_string();
        if let Err(fault) = judge(written, &dir, reaches_the_end, &mut outcomes) {
            faults.push(format!(
                "round {round} of seed {seed}: {file}, {done}: {fault}"
            ));
        }
    }
    println!("{count} rounds: {outcomes:?}");
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn damage_is_met_with_the_truth_a_prefix_or_a_refusal() {
    rounds(60, 1, SMALL);
}

#[test]
#[ignore = "takes minutes; ops/rounds runs it"]
fn damage_is_met_with_the_truth_a_prefix_or_a_refusal_a_thousand_times() {
    rounds(700, 2, SMALL);
    rounds(300, 3, LARGE);
}
