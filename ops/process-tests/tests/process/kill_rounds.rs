//! `kill -9` at the worst moments, again and again, while writes go on: every acknowledged write is
//! there after each, on every copy.

use std::fs::{self, OpenOptions};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use kv_common::message::control::HeldRole;
use process_tests::{Cluster, ClusterOptions, Ledger, wait_until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many rounds the long version has.
const ROUNDS: &str = "KV_KILL_ROUNDS";
const ROUNDS_DEFAULT: usize = 200;
/// So many that checkpoints, dumps and copies take longer than the moment until the kill.
const PRELOADED_KEYS: u64 = 20_000;
/// Writes after a kill, so that the others go on without the victim.
const WRITES_BETWEEN: u64 = 20;
/// How long to wait for something that a kill is to fall into.
const LIMIT: Duration = Duration::from_secs(60);

/// What the victim is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It reads its data back.
    Start,
    /// It brings its checkpoint up.
    Checkpoint,
    /// It writes `db.txt`.
    Dump,
    /// It fetches a copy.
    CopyTaken,
    /// It is the primary and gives a copy.
    CopyGiven,
}

const MOMENTS: [Moment; 5] = [
    Moment::Start,
    Moment::Checkpoint,
    Moment::Dump,
    Moment::CopyTaken,
    Moment::CopyGiven,
];

struct Rounds {
    cluster: Cluster,
    ledger: Ledger,
    random: StdRng,
}

impl Rounds {
    fn begin(seed: u64) -> Self {
        let cluster = Cluster::start(ClusterOptions {
            node: ["--log-level", "debug", "--dump-interval", "0"]
                .map(str::to_owned)
                .to_vec(),
            ..ClusterOptions::default()
        });
        let file = cluster.folder().join("preloaded.txt");
        let filler = "x".repeat(100);
        let lines =
            (0..PRELOADED_KEYS).map(|number| format!("preloaded-{number} {filler}{number}\n"));
        fs::write(&file, lines.collect::<String>()).expect("writes");
        let user = cluster.user().and(&["--timeout", "50s"]);
        user.done(&["import", file.to_str().expect("text")]);
        let ledger = Ledger::start(cluster.coordinator_address());
        Self {
            cluster,
            ledger,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Kills one node at such a moment, and checks everything. Says whether the kill fell into it.
    fn round(&mut self, moment: Moment) -> bool {
        let names = self.cluster.names();
        let any = names[self.random.random_range(0..names.len())].clone();
        let hit = match moment {
            Moment::Start => self.kill_starting(&any),
            Moment::Checkpoint => {
                self.kill_at_line(&any, "a checkpoint begins", "took a checkpoint")
            }
            Moment::Dump => {
                self.kill_at_line(&any, "took a checkpoint", "wrote the key space as text")
            }
            Moment::CopyTaken => self.kill_copying(true),
            Moment::CopyGiven => self.kill_copying(false),
        };
        self.ledger.wait_for_writes(WRITES_BETWEEN);
        self.cluster.wait_for_in_sync(3);
        let coordinator = self.cluster.coordinator_address();
        self.ledger.expect_all_acknowledged(coordinator);
        let count = self.cluster.user().done(&["count"]);
        assert_eq!(count, (PRELOADED_KEYS + self.ledger.keys()).to_string());
        self.cluster.expect_equal_copies();
        hit
    }

    fn pause_up_to(&mut self, longest_ms: u64) {
        // Not to wait for anything: the kill is to fall anywhere.
        thread::sleep(Duration::from_micros(
            self.random.random_range(0..longest_ms * 1000),
        ));
    }

    /// Killed at any moment of its start, and then started in earnest.
    fn kill_starting(&mut self, victim: &str) -> bool {
        self.cluster.kill_node(victim);
        self.cluster.begin_start(victim);
        self.pause_up_to(400);
        let hit = !self.cluster.log_of(victim).contains(" ready");
        self.cluster.kill_node(victim);
        self.cluster.start_node(victim);
        hit
    }

    /// Killed between two lines that it logs when it is asked for a dump.
    fn kill_at_line(&mut self, victim: &str, begins: &str, ends: &str) -> bool {
        let seen = |cluster: &Cluster, line: &str| cluster.log_of(victim).matches(line).count();
        let before = [begins, ends].map(|line| seen(&self.cluster, line));
        let mut dump = self
            .cluster
            .user()
            .command(&["admin", "dump", victim])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kvclient starts");
        wait_until(begins, LIMIT, || {
            let logged = seen(&self.cluster, begins) > before[0];
            logged.then_some(()).ok_or_else(|| "not yet".to_owned())
        });
        self.pause_up_to(60);
        let hit = seen(&self.cluster, ends) == before[1];
        self.cluster.kill_node(victim);
        self.cluster.start_node(victim);
        // It was answered, or finds that nobody answers.
        dump.wait().expect("kvclient ends");
        hit
    }

    /// A backup with a damaged log fetches a copy; it, or the primary that gives it, is killed.
    fn kill_copying(&mut self, taker: bool) -> bool {
        let backup = self.cluster.backup();
        let primary = self.cluster.primary();
        self.cluster.kill_node(&backup);
        damage_log_of(&self.cluster, &backup);
        self.cluster.start_node(&backup);
        self.cluster
            .wait_for_status("the copy", |status| copies(status, &backup));
        self.pause_up_to(300);
        let hit = copies(&self.cluster.status(), &backup);
        let victim = if taker { backup } else { primary };
        self.cluster.kill_node(&victim);
        self.cluster.start_node(&victim);
        hit
    }
}

fn copies(status: &process_tests::Status, node: &str) -> bool {
    let report = status.node(node).and_then(|node| node.report);
    report.is_some_and(|report| matches!(report.role, HeldRole::Copying { .. }))
}

/// Takes half of the newest segment away, and what former copies set aside.
fn damage_log_of(cluster: &Cluster, node: &str) {
    let data_dir = cluster.data_dir(node);
    for entry in fs::read_dir(&data_dir).expect("lists") {
        let path = entry.expect("lists").path();
        if path.display().to_string().contains("set-aside-") {
            fs::remove_dir_all(path).expect("removes");
        }
    }
    let log = data_dir.join(cluster.generation(node).trim()).join("log");
    let segments = fs::read_dir(log).expect("lists");
    let segments = segments.map(|entry| entry.expect("lists").path());
    let newest = segments
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .max();
    let file = OpenOptions::new()
        .write(true)
        .open(newest.expect("a log has a segment"))
        .expect("opens");
    let length = file.metadata().expect("has a length").len();
    file.set_len(length / 2).expect("is cut");
}

#[test]
fn a_node_that_is_killed_at_the_worst_moments_has_everything_that_was_acknowledged() {
    let mut rounds = Rounds::begin(1);
    for moment in MOMENTS {
        rounds.round(moment);
    }
    rounds.ledger.stop();
}

#[test]
#[ignore = "takes minutes; ops/kill-rounds runs it"]
fn killed_again_and_again() {
    let count =
        std::env::var(ROUNDS).map_or(ROUNDS_DEFAULT, |text| text.parse().expect("a number"));
    let mut rounds = Rounds::begin(2);
    let mut hits = [0; MOMENTS.len()];
    for round in 0..count {
        let which = round % MOMENTS.len();
        let hit = rounds.round(MOMENTS[which]);
        hits[which] += usize::from(hit);
        eprintln!(
            "round {}: {:?}, in the midst of it: {hit}",
            round + 1,
            MOMENTS[which]
        );
    }
    rounds.ledger.stop();
    let summary: Vec<_> = MOMENTS.iter().zip(hits).collect();
    println!("{count} kills, nothing lost; in the midst of it: {summary:?}");
    let enough = count / MOMENTS.len() / 4;
    assert!(
        hits.iter().all(|hits| *hits >= enough),
        "the kills hardly hit: {summary:?}"
    );
}
