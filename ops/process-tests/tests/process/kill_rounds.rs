//! `kill -9` at the worst moments, again and again, while writes go on: every acknowledged write is
//! there after each, on every copy.

mod aim;

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use process_tests::{Cluster, ClusterOptions, Ledger, LogTail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::aim::Aim;

/// How many rounds the long version has.
const ROUNDS: &str = "KV_KILL_ROUNDS";
const ROUNDS_DEFAULT: usize = 200;
/// So many that starts, checkpoints, dumps and copies take longer than the moment until the kill.
const PRELOADED_KEYS: u64 = 20_000;
/// Writes after a kill, so that the others go on without the victim.
const WRITES_BETWEEN: u64 = 20;
/// Replaced data that a node keeps although all that can be read of it is in the copy.
const IN_DOUBT_MAX: usize = 2;
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

impl Moment {
    /// What the victim logs when it begins and when it ends. A kill fell into it if the victim's last words
    /// have the one and not the other.
    fn lines(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("loading the data", "the data is loaded"),
            Self::Checkpoint => ("a checkpoint begins", "took a checkpoint"),
            Self::Dump => ("a dump begins", "a dump ends"),
            Self::CopyTaken => ("a copy is coming in", "the copy is this node's data now"),
            Self::CopyGiven => ("giving a copy to", "gave a copy to"),
        }
    }
}

struct Rounds {
    cluster: Cluster,
    preloaded: PathBuf,
    ledger: Ledger,
    random: StdRng,
    aims: [Aim; MOMENTS.len()],
}

impl Rounds {
    fn begin(seed: u64) -> Self {
        let cluster = Cluster::start(ClusterOptions {
            node: ["--log-level", "debug", "--dump-interval", "0"]
                .map(str::to_owned)
                .to_vec(),
            ..ClusterOptions::default()
        });
        let preloaded = cluster.folder().join("preloaded.txt");
        let filler = "x".repeat(100);
        let lines =
            (0..PRELOADED_KEYS).map(|number| format!("preloaded-{number} {filler}{number}\n"));
        fs::write(&preloaded, lines.collect::<String>()).expect("writes");
        let ledger = Ledger::start(cluster.coordinator_address());
        let rounds = Self {
            cluster,
            preloaded,
            ledger,
            random: StdRng::seed_from_u64(seed),
            aims: [Aim::new(); MOMENTS.len()],
        };
        rounds.write_all_again();
        rounds
    }

    /// Writes every key once more, so that there is much in the log that is in no checkpoint yet.
    fn write_all_again(&self) {
        let user = self.cluster.user().and(&["--timeout", "50s"]);
        user.done(&["import", self.preloaded.to_str().expect("text")]);
    }

    /// Kills one node at such a moment, and checks everything. Says whether the kill fell into it.
    fn round(&mut self, moment: Moment) -> bool {
        let names = self.cluster.names();
        let any = names[self.random.random_range(0..names.len())].clone();
        let hit = match moment {
            Moment::Start => self.kill_starting(&any),
            Moment::Checkpoint => {
                self.write_all_again();
                self.kill_dumping(&any, moment)
            }
            Moment::Dump => self.kill_dumping(&any, moment),
            Moment::CopyTaken | Moment::CopyGiven => self.kill_copying(moment),
        };
        self.ledger.wait_for_writes(WRITES_BETWEEN);
        self.cluster.wait_for_in_sync(3);
        let coordinator = self.cluster.coordinator_address();
        self.ledger.expect_all_acknowledged(coordinator);
        let count = self.cluster.user().done(&["count"]);
        assert_eq!(count, (PRELOADED_KEYS + self.ledger.keys()).to_string());
        self.cluster.expect_equal_copies();
        for name in names {
            expect_little_set_aside(&self.cluster, &name);
        }
        hit
    }

    /// Kills the node whose log this is some time after the moment has begun, and says whether it fell into it.
    fn kill_within(&mut self, victim: &str, mut log: LogTail, moment: Moment) -> bool {
        let (begins, ends) = moment.lines();
        let aim = self.aims[moment as usize];
        log.wait_for(begins, LIMIT);
        // Not to wait for anything: the kill is to fall anywhere.
        thread::sleep(aim.wait(&mut self.random));
        self.cluster.kill_node(victim);
        let hit = log.is_within(begins, ends);
        self.aims[moment as usize].learn(hit);
        hit
    }

    /// Killed while it reads its data back, much of it from the log, and then started in earnest.
    fn kill_starting(&mut self, victim: &str) -> bool {
        self.write_all_again();
        self.cluster.kill_node(victim);
        self.cluster.begin_start(victim);
        let log = self.cluster.node(victim).follow_log();
        let hit = self.kill_within(victim, log, Moment::Start);
        self.cluster.start_node(victim);
        hit
    }

    /// Killed while it does what it is asked to do for a dump.
    fn kill_dumping(&mut self, victim: &str, moment: Moment) -> bool {
        let mut log = self.cluster.node(victim).follow_log();
        log.skip();
        let mut dump = self
            .cluster
            .user()
            .command(&["admin", "dump", victim])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kvclient starts");
        let hit = self.kill_within(victim, log, moment);
        self.cluster.start_node(victim);
        // It was answered, or finds that nobody answers.
        dump.wait().expect("kvclient ends");
        hit
    }

    /// A backup with a damaged log fetches a copy; it, or the primary that gives it, is killed.
    fn kill_copying(&mut self, moment: Moment) -> bool {
        let backup = self.cluster.backup();
        let primary = self.cluster.primary();
        self.cluster.kill_node(&backup);
        damage_log_of(&self.cluster, &backup);
        let mut log = self.cluster.node(&primary).follow_log();
        log.skip();
        self.cluster.begin_start(&backup);
        let victim = if moment == Moment::CopyTaken {
            log = self.cluster.node(&backup).follow_log();
            backup
        } else {
            primary
        };
        let hit = self.kill_within(&victim, log, moment);
        self.cluster.start_node(&victim);
        hit
    }
}

/// Checks that a node keeps no more of what copies replaced than it should: the newest of what was damaged.
fn expect_little_set_aside(cluster: &Cluster, node: &str) {
    let entries = fs::read_dir(cluster.data_dir(node)).expect("lists");
    let names = entries.map(|entry| entry.expect("lists").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let kept: Vec<String> = names.filter(|name| name.contains("gen-")).collect();
    let in_doubt = kept.iter().filter(|name| name.contains("-in-doubt-"));
    assert!(in_doubt.count() <= IN_DOUBT_MAX, "{node} keeps {kept:?}");
}

/// Takes half of the newest segment away.
fn damage_log_of(cluster: &Cluster, node: &str) {
    let data_dir = cluster.data_dir(node);
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
    let enough = count / MOMENTS.len() / 3;
    assert!(
        hits.iter().all(|hits| *hits >= enough),
        "the kills hardly hit: {summary:?}"
    );
}
