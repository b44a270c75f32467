//! Breaks a copy of the sources in one way after the other, and says which seed finds it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use simulator::breakages::{Breakage, BreakageError, read_all};

/// Builds the simulator with one deliberate mistake after the other, and runs seeds until one finds
/// it. Prints a table in Markdown. Fails when a mistake is not found.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A copy of the sources that may be changed.
    #[arg(long)]
    sources: PathBuf,
    /// Where cargo builds; must not be in use by anything else.
    #[arg(long)]
    build: PathBuf,
    /// How many seeds a mistake may survive.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Only those whose name contains one of these.
    names: Vec<String>,
}

/// What became of a breakage.
enum Fate {
    Found { by: String, finding: String },
    Survived,
    DoesNotBuild,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(survivors) => {
            eprintln!("{survivors} breakages were not found");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("breakages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<usize, BreakageError> {
    let mut survivors = 0;
    println!("| breakage | what is wrong | found by | as |\n|---|---|---|---|");
    for breakage in read_all(&arguments.sources)? {
        let names = &arguments.names;
        let wanted = names.is_empty() || names.iter().any(|name| breakage.name.contains(name));
        if !wanted {
            continue;
        }
        let (by, finding) = match try_out(arguments, &breakage)? {
            Fate::Found { by, finding } => (by, finding),
            Fate::Survived if breakage.harmless.is_some() => {
                let why = breakage.harmless.clone().unwrap_or_default();
                ("nothing, as expected".to_owned(), why)
            }
            Fate::Survived => {
                survivors += 1;
                ("**nothing**".to_owned(), String::new())
            }
            Fate::DoesNotBuild => {
                survivors += 1;
                ("**does not build**".to_owned(), String::new())
            }
        };
        println!(
            "| {} | {} | {by} | {finding} |",
            breakage.name, breakage.what
        );
    }
    Ok(survivors)
}

fn try_out(arguments: &Arguments, breakage: &Breakage) -> Result<Fate, BreakageError> {
    let files = breakage.changed_files(&arguments.sources)?;
    for file in &files {
        file.break_it()?;
    }
    let fate = if breakage.tests.is_empty() {
        build_and_run(arguments)
    } else {
        run_tests(arguments, &breakage.tests)
    };
    for file in &files {
        file.mend()?;
    }
    Ok(fate)
}

fn build_and_run(arguments: &Arguments) -> Fate {
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--offline", "--profile", "simulation"])
        .args(["-p", "simulator", "--bin", "simulator"])
        .env("RUSTFLAGS", "-Awarnings")
        .env("CARGO_TARGET_DIR", &arguments.build)
        .current_dir(&arguments.sources)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Fate::DoesNotBuild;
    }
    run_seeds(
        &arguments.build.join("simulation/simulator"),
        arguments.seeds,
    )
}

fn run_tests(arguments: &Arguments, tests: &[String]) -> Fate {
    let cargo_test = |more: &[&str]| {
        Command::new("cargo")
            .args(["test", "--quiet", "--offline"])
            .args(tests)
            .args(more)
            .env("RUSTFLAGS", "-Awarnings")
            .env("CARGO_TARGET_DIR", &arguments.build)
            .current_dir(&arguments.sources)
            .output()
    };
    let builds = cargo_test(&["--no-run"]).is_ok_and(|output| output.status.success());
    let Ok(output) = cargo_test(&[]) else {
        return Fate::DoesNotBuild;
    };
    if !builds {
        return Fate::DoesNotBuild;
    }
    if output.status.success() {
        return Fate::Survived;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = said.lines().find_map(|line| {
        let name = line.strip_prefix("---- ")?;
        Some(name.split_whitespace().next()?.to_owned())
    });
    Fate::Found {
        by: "a test".to_owned(),
        finding: failed.unwrap_or_else(|| "the tests crashed".to_owned()),
    }
}

/// Clusters of three nodes find most; some mistakes need more nodes.
fn run_seeds(simulator: &Path, seeds: u64) -> Fate {
    for nodes in ["3", "5", "2"] {
        let output = Command::new(simulator)
            .args(["--nodes", nodes, "--seeds", &format!("0..{seeds}")])
            .env("RUST_BACKTRACE", "0")
            .output();
        let Ok(output) = output else {
            return Fate::DoesNotBuild;
        };
        if output.status.success() {
            continue;
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let finding = said.lines().find(|line| line.starts_with("seed "));
        let (by, finding) = finding
            .and_then(|line| line.split_once(": "))
            .unwrap_or(("no seed", "the simulator crashed"));
        return Fate::Found {
            by: format!("{by}, {nodes} nodes"),
            finding: finding.to_owned(),
        };
    }
    Fate::Survived
}
