//! One cut after the other.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use kv_common::id::{Epoch, Seq};

use crate::Fsync;
use crate::image::{self, Mounted};
use crate::judge::{Judge, Promised};
use crate::numbers::Numbers;
use crate::writer::Order;

/// The longest value of a round.
const VALUE_BYTES_MAX: [u64; 6] = [10, 100, 1 << 10, 10 << 10, 100 << 10, 1 << 20];
/// A new file system every so many rounds.
const ROUNDS_PER_IMAGE: u64 = 10;
/// One writer in so many is killed while it opens what the last cut left.
const EARLY_ONE_IN: u64 = 5;
const EARLY_MAX: Duration = Duration::from_millis(60);
const LATE_MAX: Duration = Duration::from_millis(2500);
/// After one kill in so many another writer opens the data, on the same machine, and is killed too before
/// the power is cut: what it found may never have reached the disk.
const AGAIN_ONE_IN: u64 = 2;
const AGAIN_MAX: Duration = Duration::from_millis(10);
/// What a writer may take until it is ready.
const OPENING_MAX: Duration = Duration::from_secs(60);

/// How often to cut.
#[derive(Args, Debug)]
pub(crate) struct Rounds {
    /// How many cuts
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// What everything but the system's own doing follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When an entry is acknowledged; `everysec` must lose some, else this tests nothing
    #[arg(long, value_enum, default_value = "always")]
    fsync: Fsync,
    /// A folder for images and mount points, as large as the data
    #[arg(long)]
    work_dir: PathBuf,
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Totals {
    entries: u64,
    lost: u64,
    unfit: u64,
    killed_opening: u64,
    opened_again: u64,
}

/// A file system and what is on it.
struct Scene {
    mounted: Mounted,
    judge: Judge,
    epoch: u64,
    /// What holds since earlier rounds.
    promised: Promised,
}

/// So many times the rounds that were asked for, until something is lost that has to be.
const PATIENCE: u64 = 8;

impl Rounds {
    /// Cuts and judges. Panics at the first cut that lost what was promised.
    pub(crate) fn run(&self) {
        let mut numbers = Numbers::new(self.seed);
        let mut totals = Totals::default();
        let mut scene = None;
        let mut round = 0;
        while round < self.rounds || (self.is_in_vain(&totals) && round < self.rounds * PATIENCE) {
            round += 1;
            let fresh = (round - 1).is_multiple_of(ROUNDS_PER_IMAGE);
            let before = match scene.take() {
                Some(scene) if !fresh => scene,
                other => {
                    drop(other);
                    self.fresh_scene()
                }
            };
            scene = self.round(round, before, &mut numbers, &mut totals);
        }
        let Totals {
            entries,
            lost,
            unfit,
            killed_opening,
            opened_again,
        } = &totals;
        println!(
            "{round} cuts, {killed_opening} of them during an opening, {opened_again} after a further opening: {entries} entries acknowledged, {lost} lost, {unfit} data sets unfit"
        );
        assert!(
            !self.is_in_vain(&totals),
            "nothing was lost without a flush before the acknowledgement: these cuts cut nothing"
        );
    }

    /// Whether something has to be lost, and nothing was so far: many a kill falls into an opening, or right behind a
    /// flush.
    fn is_in_vain(&self, totals: &Totals) -> bool {
        self.fsync == Fsync::Everysec && totals.lost == 0 && totals.unfit == 0
    }

    fn fresh_scene(&self) -> Scene {
        let image = self.work_dir.join("image");
        image::create(&image);
        Scene {
            mounted: Mounted::mount(&image, &self.work_dir.join("mounted")),
            judge: Judge::new(),
            epoch: 0,
            promised: Promised::default(),
        }
    }

    /// Has a writer killed, cuts the power, and judges. Nothing is left when the data is unfit,
    /// which it may only be without a flush.
    fn round(
        &self,
        round: u64,
        scene: Scene,
        numbers: &mut Numbers,
        totals: &mut Totals,
    ) -> Option<Scene> {
        let Scene {
            mounted,
            mut judge,
            epoch,
            promised: before,
        } = scene;
        let epoch = epoch + 1;
        let order = Order {
            data_dir: self.work_dir.join("mounted").join("node"),
            seed: self.seed,
            epoch,
            value_bytes_max: VALUE_BYTES_MAX[usize::try_from(numbers.below(6)).expect("fits")],
            fsync: self.fsync,
        };
        let killed = kill_writers(&order, before, numbers, totals);
        let promised = killed.promised;
        let (image, copy) = (self.work_dir.join("image"), self.work_dir.join("copy"));
        mounted.cut(&copy);
        drop(mounted);
        fs::rename(&copy, &image).expect("the copy takes the image's place");
        let mounted = Mounted::mount(&image, &self.work_dir.join("mounted"));
        let judged = judge.judge(&order, promised);
        let acknowledged = promised.acknowledged.0;
        totals.entries += acknowledged - before.acknowledged.0;
        let end = match judged {
            Ok(end) => end.seq,
            Err(cause) if self.fsync == Fsync::Everysec && cause.starts_with("unfit") => {
                println!("round {round}: {cause}");
                totals.unfit += 1;
                return None;
            }
            Err(cause) => panic!(
                "round {round} of seed {}, {order:?}, {promised:?}: {cause}",
                self.seed
            ),
        };
        let lost = acknowledged.saturating_sub(end.0);
        totals.lost += lost;
        assert!(
            lost == 0 || self.fsync == Fsync::Everysec,
            "round {round} of seed {}, {order:?}: {promised:?}, and the log ends at {end}",
            self.seed
        );
        println!(
            "round {round}: values up to {} bytes, {}, acknowledged {} to {acknowledged}, found up to {end}",
            order.value_bytes_max, killed.how, before.acknowledged,
        );
        Some(Scene {
            mounted,
            judge,
            epoch,
            promised: Promised {
                acknowledged: end,
                ..promised
            },
        })
    }
}

/// How a round's writers were killed, and what they promised.
struct Killed {
    promised: Promised,
    how: String,
}

/// Has one writer killed, or a second one behind it.
fn kill_writers(
    order: &Order,
    before: Promised,
    numbers: &mut Numbers,
    totals: &mut Totals,
) -> Killed {
    let early = numbers.one_in(EARLY_ONE_IN);
    let span = if early { EARLY_MAX } else { LATE_MAX };
    let delay = Duration::from_millis(numbers.below(span.as_millis() as u64));
    let mut promised = kill_a_writer(order, before, early, delay);
    let of_opening = if early { " of opening" } else { "" };
    let mut how = format!("killed after {delay:?}{of_opening}");
    totals.killed_opening += u64::from(early);
    // An opening brings to the disk what was to be lost there.
    let again = numbers.one_in(AGAIN_ONE_IN) && order.fsync == Fsync::Always;
    let delay = Duration::from_millis(numbers.below(AGAIN_MAX.as_millis() as u64));
    if again {
        promised = kill_a_writer(order, promised, false, delay);
        how.push_str(" and again");
    }
    totals.opened_again += u64::from(again);
    Killed { promised, how }
}

/// Starts a writer, kills it after `delay` (of its start, or of its opening's end), and says what it
/// promised.
fn kill_a_writer(order: &Order, before: Promised, early: bool, delay: Duration) -> Promised {
    let mut writer = start(order);
    let lines = listen(writer.stdout.take().expect("is piped"));
    let mut promised = before;
    let mut kill_at = Instant::now() + if early { delay } else { OPENING_MAX };
    loop {
        match lines.recv_timeout(kill_at.saturating_duration_since(Instant::now())) {
            Ok(line) if line == "opened" && !early => kill_at = Instant::now() + delay,
            Ok(line) => note(&mut promised, &line),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                let status = writer.wait().expect("is waited for");
                panic!("the writer ended by itself: {status}");
            }
        }
    }
    writer.kill().expect("is killed");
    // Whoever is inside of a flush ends it before it dies, so nothing of it runs on after this.
    writer.wait().expect("is waited for");
    for line in lines {
        note(&mut promised, &line);
    }
    promised
}

fn start(order: &Order) -> Child {
    let program = std::env::current_exe().expect("has a path");
    let fsync = match order.fsync {
        Fsync::Always => "always",
        Fsync::Everysec => "everysec",
    };
    let number = |number: u64| number.to_string();
    let mut command = Command::new(program);
    command
        .arg("write")
        .arg(&order.data_dir)
        .args(["--fsync", fsync]);
    command.args([
        "--seed",
        &number(order.seed),
        "--epoch",
        &number(order.epoch),
    ]);
    command.args(["--value-bytes-max", &number(order.value_bytes_max)]);
    command.stdout(Stdio::piped()).spawn().expect("starts")
}

/// Whole lines only: one that was cut off by the kill promises nothing.
fn listen(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            if !read.is_ok_and(|bytes| bytes > 0) || !line.ends_with('\n') {
                return;
            }
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

fn note(promised: &mut Promised, line: &str) {
    let (what, number) = line.split_once(' ').unwrap_or((line, "0"));
    let number: u64 = number.parse().expect("a number");
    match what {
        "ack" => promised.acknowledged = promised.acknowledged.max(Seq(number)),
        "sealed" => promised.sealed = Epoch(number),
        "dumped" => promised.dumped = Seq(number),
        "opened" => {}
        _ => panic!("the writer says '{line}'"),
    }
}
