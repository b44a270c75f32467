//! Scenario files: what happens to a coordinator, and below `----` what it does about it.
//!
//! Commands, one a line (times such as `200ms`, `2s`; nodes by number):
//!
//! | command | what happens |
//! |---|---|
//! | `start [copies=3] [min-in-sync=2] [expect=3]` | a coordinator starts, on what was stored before |
//! | `connect N [veteran=EPOCH] [name=NAME] [redis=ADDRESS]` | a node connects and registers, fresh or with a past |
//! | `conditions` | the coordinator says what the cluster suffers from |
//! | `connect-many N M` | so many nodes come and go |
//! | `disconnect N` | its connection breaks |
//! | `restart N` | its connection breaks, and a new run of it connects |
//! | `reconnect N` | the same run connects again |
//! | `silent N`, `loud N` | it sends no heartbeats, or does again |
//! | `loses N PEER`, `hears N PEER` | its reports do not list a peer, or do again |
//! | `idle N` | it does not act as it is assigned |
//! | `disk N broken` | its reports say that its disk fails |
//! | `connect N as-run R` | a run of it registers that is not the next one |
//! | `reports-as N M`, `stray heartbeat` | a report under another's name, or of a connection that nobody registered on |
//! | `sealed N EPOCH SEQ [of=EPOCH] [no-data] [sick] [tail-uncertain] [releases]` | it answers a seal; its log ends at SEQ of that epoch |
//! | `propose N replaces=EPOCH backups=A,B [run=R]` | it proposes a view |
//! | `settings [copies=3] [min-in-sync=2] [interval-ms=50]` | it takes its settings over again |
//! | `order switchover\|forget\|form\|drain\|undrain [NAME]` | an operator orders something |
//! | `order force-primary NAME [epoch=EPOCH]`, `order adopt-views [nodes=3] [accept-loss]` | the ways out |
//! | `holds N EPOCH SEQ` | its reports say that its log ends there |
//! | `lose-state` | what was stored is gone; the next start knows only the cluster's id |
//! | `handover-fails N` | it cannot hand over |
//! | `disk stalls`, `disk writes` | what the coordinator stores is not durable, until it is |
//! | `wait TIME` | time passes; nodes send heartbeats |
//!
//! `UPDATE_SCENARIOS=1` writes what happened below the line: read the difference before you keep it.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test reads its scenarios from files"
)]

mod cluster;

use std::fs;
use std::panic;
use std::path::Path;

use cluster::Cluster;

#[test]
fn scenarios_end_as_they_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("the folder is read")
        .map(|entry| entry.expect("an entry is read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there are no scenarios");
    let mut different = Vec::new();
    for path in names {
        let text = fs::read_to_string(&path).expect("a scenario is read");
        let (commands, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        // One that ends in a broken invariant is a difference as well, and does not hide the others.
        let happened = panic::catch_unwind(|| Cluster::default().run(commands))
            .unwrap_or_else(|_| "the coordinator's core panicked\n".to_owned());
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
