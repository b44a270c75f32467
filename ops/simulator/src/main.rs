//! Runs simulated clusters over a range of seeds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use kv_common::message::control::FsyncMode;
use simulator::run::run;
use simulator::scenario::Scenario;
use simulator::{FaultKind, Options, Tracing};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs whole clusters, one for each seed, through crashes, pauses and partitions, and checks that
/// no acknowledged write is lost, no read is stale, and everything heals.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The seeds, as FROM..TO (TO is left out), or a single one
    #[arg(long, default_value = "0..1000", value_parser = parse_seeds)]
    seeds: (u64, u64),
    /// What kind of cluster, and what may go wrong in it
    #[arg(long, value_enum, default_value = "mixed")]
    scenario: Scenario,
    /// How many nodes there are [default: the scenario's]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: Option<u8>,
    /// When an entry counts as held [default: the scenario's]
    #[arg(long, value_enum)]
    fsync: Option<Fsync>,
    /// What may go wrong [default: the scenario's]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND[,KIND…]")]
    faults: Vec<FaultKind>,
    /// How many clients there are
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// How many simulated seconds faults happen
    #[arg(long, default_value_t = 8)]
    faults_for_s: u64,
    /// How many simulated seconds the cluster has to heal
    #[arg(long, default_value_t = 8)]
    healing_for_s: u64,
    /// Print what happens in each run
    #[arg(long)]
    trace: bool,
}

/// `--fsync`, as at the nodes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fsync {
    Always,
    Everysec,
}

impl Arguments {
    fn options(&self, seed: u64) -> Options {
        Options {
            seed,
            nodes: self.nodes.unwrap_or_else(|| self.scenario.nodes()),
            clients: self.clients,
            faults_for: Duration::from_secs(self.faults_for_s),
            healing_for: Duration::from_secs(self.healing_for_s),
            fsync: match self.fsync {
                Some(Fsync::Always) => FsyncMode::Always,
                Some(Fsync::Everysec) => FsyncMode::EverySec,
                None => self.scenario.fsync(),
            },
            faults: if self.faults.is_empty() {
                self.scenario.faults()
            } else {
                self.faults.iter().copied().collect()
            },
            tracing: if self.trace {
                Tracing::Print
            } else {
                Tracing::Off
            },
        }
    }

    /// The command that runs this seed again, with what it does.
    fn replay(&self, seed: u64) -> String {
        let mut command = format!(
            "simulator --seeds {seed} --scenario {}",
            name(self.scenario)
        );
        if let Some(nodes) = self.nodes {
            command.push_str(&format!(" --nodes {nodes}"));
        }
        if let Some(fsync) = self.fsync {
            command.push_str(&format!(" --fsync {}", name(fsync)));
        }
        if !self.faults.is_empty() {
            let kinds: Vec<String> = self.faults.iter().map(|kind| name(*kind)).collect();
            command.push_str(&format!(" --faults {}", kinds.join(",")));
        }
        let Self {
            clients,
            faults_for_s,
            healing_for_s,
            ..
        } = self;
        command.push_str(&format!(
            " --clients {clients} --faults-for-s {faults_for_s} --healing-for-s {healing_for_s} --trace"
        ));
        command
    }

    fn rate(&self, runs: u64, took: Duration) -> f64 {
        let simulated_s = runs * (self.faults_for_s + self.healing_for_s);
        #[allow(clippy::cast_precision_loss, reason = "for display")]
        let rate = simulated_s as f64 / took.as_secs_f64();
        rate
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let mut told = began;
    let (from, to) = arguments.seeds;
    let mut answered = 0;
    for seed in from..to {
        let options = arguments.options(seed);
        let outcome = std::panic::catch_unwind(|| run(options));
        match outcome {
            Ok(Ok(summary)) => answered += summary.answered,
            Ok(Err(finding)) => return failed(&arguments, seed, &finding.to_string()),
            Err(panic) => return failed(&arguments, seed, &message_of(&*panic)),
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let done = seed + 1 - from;
            eprintln!(
                "{done} of {} seeds clean, {:.0} cluster-seconds a second",
                to - from,
                arguments.rate(done, began.elapsed())
            );
        }
    }
    let took = began.elapsed();
    println!(
        "{} seeds clean: {answered} operations, {} cluster-seconds in {:.1} s, {:.0} a second",
        to - from,
        (to - from) * (arguments.faults_for_s + arguments.healing_for_s),
        took.as_secs_f64(),
        arguments.rate(to - from, took)
    );
    ExitCode::SUCCESS
}

/// What a core said when it found one of its own invariants broken.
fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("without a message");
    format!(
        "a core panicked: {}",
        text.lines().next().unwrap_or_default()
    )
}

fn failed(arguments: &Arguments, seed: u64, finding: &str) -> ExitCode {
    println!("seed {seed}: {finding}");
    println!("replay: {}", arguments.replay(seed));
    ExitCode::FAILURE
}

/// What a value is called on the command line.
fn name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = |_| format!("'{text}' is not a seed or a range such as 0..1000");
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (from.parse().map_err(wrong)?, to.parse().map_err(wrong)?),
        None => {
            let seed: u64 = text.parse().map_err(wrong)?;
            (seed, seed + 1)
        }
    };
    if from >= to {
        return Err(format!("'{text}' holds no seed"));
    }
    Ok((from, to))
}
