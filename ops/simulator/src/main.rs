//! Runs simulated clusters over a range of seeds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use kv_common::message::control::FsyncMode;
use simulator::Options;
use simulator::run::run;

/// Runs whole clusters, one for each seed, through crashes, pauses and partitions, and checks that
/// no acknowledged write is lost, no read is stale, and everything heals.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The seeds, as FROM..TO (TO is left out), or a single one.
    #[arg(long, default_value = "0..1000", value_parser = parse_seeds)]
    seeds: (u64, u64),
    /// How many nodes there are.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: u8,
    /// How many clients there are.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// How many simulated seconds faults happen.
    #[arg(long, default_value_t = 8)]
    faults_for_s: u64,
    /// How many simulated seconds the cluster has to heal.
    #[arg(long, default_value_t = 8)]
    healing_for_s: u64,
    /// When an entry counts as held.
    #[arg(long, value_enum, default_value = "always")]
    fsync: Fsync,
    /// Print what happens in each run.
    #[arg(long)]
    trace: bool,
}

/// `--fsync`, as at the nodes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fsync {
    Always,
    Everysec,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let (from, to) = arguments.seeds;
    let mut answered = 0;
    for seed in from..to {
        let options = Options {
            seed,
            nodes: arguments.nodes,
            clients: arguments.clients,
            faults_for: Duration::from_secs(arguments.faults_for_s),
            healing_for: Duration::from_secs(arguments.healing_for_s),
            fsync: match arguments.fsync {
                Fsync::Always => FsyncMode::Always,
                Fsync::Everysec => FsyncMode::EverySec,
            },
            trace: arguments.trace,
        };
        let outcome = std::panic::catch_unwind(|| run(options));
        match outcome {
            Ok(Ok(summary)) => answered += summary.answered,
            Ok(Err(finding)) => return failed(&arguments, seed, &finding.to_string()),
            Err(panic) => return failed(&arguments, seed, &message_of(&*panic)),
        }
    }
    let simulated_s = (to - from) * (arguments.faults_for_s + arguments.healing_for_s);
    let took_s = began.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "for display")]
    let rate = simulated_s as f64 / took_s;
    println!(
        "{} seeds clean: {answered} operations, {simulated_s} cluster-seconds in {took_s:.1} s, {rate:.0} a second",
        to - from
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
    println!(
        "replay: simulator --seeds {seed} --nodes {} --fsync {} --clients {} --faults-for-s {} --healing-for-s {} --trace",
        arguments.nodes,
        match arguments.fsync {
            Fsync::Always => "always",
            Fsync::Everysec => "everysec",
        },
        arguments.clients,
        arguments.faults_for_s,
        arguments.healing_for_s
    );
    ExitCode::FAILURE
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = |_| format!("'{text}' is not a seed or a range such as 0..1000");
    match text.split_once("..") {
        Some((from, to)) => Ok((from.parse().map_err(wrong)?, to.parse().map_err(wrong)?)),
        None => {
            let seed: u64 = text.parse().map_err(wrong)?;
            Ok((seed, seed + 1))
        }
    }
}
