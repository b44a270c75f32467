//! Scenario files: what happens to a node, and below `----` what it does about it.
//!
//! One node's core is under test; its peers, clients, coordinator and disk are played. **The disk is
//! slow**: nothing is durable before the scenario says so, so that the order of "store, then say" can
//! be seen. Commands, one a line (times such as `200ms`, `2s`, counted from the beginning; nodes by
//! number; entries as `1:1-5,2:6`, epoch and places; what stands in brackets may be left out):
//!
//! | command | what happens |
//! |---|---|
//! | `start node N [run R] [entries RUNS] [applied SEQ] [base B] [log-from SEQ] [seal EPOCH]` | it starts on a disk that holds this |
//! | … `[view EPOCH primary P backups A,B] [tail-uncertain] [unfit] [everysec]` | … and the view that it had adopted |
//! | `restart` | it is killed, and starts on what was durable |
//! | `map epoch E primary P [primary-run R] [backups A,B] [joiners C] [min-in-sync M] [released E by P] [version V] [shard S]` | the coordinator pushes a map |
//! | `coordinator up\|down` | the connection to it |
//! | `seal EPOCH`, `handover to N seal EPOCH [epoch E]` | what it orders |
//! | `link N`, `unlink N` | the connection that was dialled to a follower |
//! | `answering A,B`, `silent A,B` | these followers take and answer all they are sent; or do not |
//! | `matched N at E.SEQ [held SEQ]`, `ack N SEQ`, `needs-copy N`, `refuses N` | one answer of a follower |
//! | … `[epoch E] [answers TIME] [old-link]` | … of this epoch, to what was sent then, on a connection that is gone |
//! | `match from N epoch E [run R] [primary P] [backups A,B] [entries RUNS] [log-from SEQ] [base B]` | a node that holds itself for primary calls |
//! | `append from N epoch E entries RUN`, `beat from N epoch E` | it sends |
//! | … `[committed SEQ] [assured SEQ] [sent TIME] [new-link\|old-link] [shard S] [damaged]` | … with these marks, on this connection |
//! | `hangs-up N` | its connection breaks |
//! | `flush [SEQ]`, `promises stored`, `log cut`, `log read [lost]` | the disk has done what it was told |
//! | `disk quick`, `disk slow` | it does so at once, or when it is said |
//! | `disk fails CAUSE` | it takes nothing more |
//! | `copy done entries RUNS`, `copy fails` | a copy ends |
//! | `ask CLIENT [as E.SEQ number N [floor F]] COMMAND` | `put K V [for TIME]`, `put-if-absent K V`, `swap K BYTES`, `get K`, `delete K`, `incr K`, `clear`, `open-session`, `end-session E.SEQ` |
//! | `listen on\|off` | whether somebody wants to hear what happens to keys |
//! | `wait TIME` | time passes |
//! | `pause TIME` | the process stands still |
//! | `show` | role and positions |
//!
//! `UPDATE_SCENARIOS=1` writes what happened below the line: read the difference before you keep it.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test reads its scenarios from files"
)]

mod rig;

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use rig::Rig;

/// The scenario files in a folder, from this package.
fn files_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder is read")
        .map(|entry| entry.expect("an entry is read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are no scenarios");
    paths
}

#[test]
fn scenarios_end_as_they_are_written() {
    let mut different = Vec::new();
    for path in files_in("tests/scenarios") {
        let text = fs::read_to_string(&path).expect("a scenario is read");
        let (commands, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        // One that ends in a broken invariant is a difference as well, and does not hide the others.
        let happened = panic::catch_unwind(|| Rig::default().run(commands))
            .unwrap_or_else(|_| "the node's core panicked\n".to_owned());
        if happened == expected {
            continue;
        }
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            fs::write(&path, format!("{commands}----\n{happened}")).expect("it is written");
        } else {
            different.push(format!("{}:\n{happened}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Here and not in a file of its own, because of the sizes: the bound is the true one.
#[test]
fn a_session_that_keeps_too_much_is_refused_before_anything_is_logged() {
    let commands = "start node 1\ndisk quick\nanswering 2\nmap epoch 1 primary 1 backups 2\nlink 2\nwait 500ms\n\
                    ask anna open-session\n\
                    ask anna as 1.1 number 1 swap big 30000000\n\
                    ask anna as 1.1 number 2 swap big 30000000\n\
                    ask anna as 1.1 number 3 swap big 30000000\n\
                    ask anna as 1.1 number 4 swap big 30000000\n\
                    show\n\
                    ask anna as 1.1 number 3 swap big 30000000\n\
                    ask anna as 1.1 number 4 floor 2 swap big 30000000\n\
                    show\n";
    let happened = Rig::default().run(commands);
    let told = happened.lines().filter(|line| {
        let of_interest = ["to anna", "appended"];
        of_interest.iter().any(|words| line.contains(words))
    });
    let told: Vec<_> = told.map(|line| line[9..].trim()).collect();
    let expected = [
        "to anna: session 1.1 is open",
        "to anna: no such key",
        "to anna: 30000000 bytes",
        "to anna: 30000000 bytes",
        "to anna: refused: request 4 is more than 3 above the session's floor 0",
        "primary of epoch 1; view 1, seal 0; appended 4, held 4, committed 4, applied 4, assured 4; 1 keys",
        "to anna: 30000000 bytes",
        "to anna: 30000000 bytes",
        "primary of epoch 1; view 1, seal 0; appended 5, held 5, committed 5, applied 5, assured 5; 1 keys",
    ];
    assert_eq!(told, expected);
}

/// The names of files in the rows below `heading`, up to the next heading, but for the first column.
fn names_below(heading: &str, document: &str) -> BTreeSet<String> {
    let (_, rest) = document.split_once(heading).expect("the heading is there");
    let rows = rest
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    let rows = rows.filter(|line| line.starts_with("| ") && !line.contains("---"));
    let cells = rows.skip(1).flat_map(|row| row.split('|').skip(2));
    let names = cells.flat_map(|cell| cell.split(','));
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_document_names_every_scenario_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/SCENARIOS.md");
    let document = fs::read_to_string(path).expect("the document is read");
    let folders = ["tests/scenarios", "../../coordinator/core/tests/scenarios"];
    let paths = folders.into_iter().flat_map(files_in);
    let names = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let there: BTreeSet<String> = names.collect();
    let by_rule = names_below("## Rules\n", &document);
    let by_mistake = names_below("## Mistakes that others made\n", &document);
    let named: BTreeSet<String> = by_rule.union(&by_mistake).cloned().collect();
    assert_eq!(named, there, "named in SCENARIOS.md, and there");
}
