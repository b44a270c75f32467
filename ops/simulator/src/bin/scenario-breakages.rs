//! Breaks a copy of the sources in one way after the other, and says which scenario files notice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use simulator::breakages::{Breakage, BreakageError, read_all};

/// The packages whose scenario files are run.
const PACKAGES: [&str; 2] = ["kvnode-core", "coordinator-core"];

/// Runs the scenario files of the cores with one deliberate mistake after the other. Prints a table in
/// Markdown: which files end differently. Fails when the sources do not build.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A copy of the sources that may be changed.
    #[arg(long)]
    sources: PathBuf,
    /// Where cargo builds; must not be in use by anything else.
    #[arg(long)]
    build: PathBuf,
    /// A document that must hold every line of the table, for those that are tried.
    #[arg(long)]
    check: Option<PathBuf>,
    /// Only those whose name contains one of these.
    names: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scenario-breakages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, BreakageError> {
    let document = match &arguments.check {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let mut as_written = true;
    for breakage in read_all(&arguments.sources)? {
        let names = &arguments.names;
        let wanted = names.is_empty() || names.iter().any(|name| breakage.name.contains(name));
        // What has tests of its own lies outside the cores.
        if !wanted || !breakage.tests.is_empty() {
            continue;
        }
        let line = format!("| {} | {} |", breakage.name, try_out(arguments, &breakage)?);
        println!("{line}");
        if document.as_ref().is_some_and(|text| !text.contains(&line)) {
            eprintln!("{}: the document says otherwise", breakage.name);
            as_written = false;
        }
    }
    Ok(as_written)
}

/// Which scenario files notice the mistake.
fn try_out(arguments: &Arguments, breakage: &Breakage) -> Result<String, BreakageError> {
    let files = breakage.changed_files(&arguments.sources)?;
    for file in &files {
        file.break_it()?;
    }
    let noticed: Option<BTreeSet<String>> = PACKAGES
        .iter()
        .map(|package| scenarios_that_differ(arguments, package))
        .collect::<Option<Vec<_>>>()
        .map(|found| found.into_iter().flatten().collect());
    for file in &files {
        file.mend()?;
    }
    Ok(match noticed {
        None => "**does not build**".to_owned(),
        Some(noticed) if noticed.is_empty() => "none".to_owned(),
        Some(noticed) => noticed.into_iter().collect::<Vec<_>>().join(", "),
    })
}

/// The names of the files that end differently; none when they cannot be run.
fn scenarios_that_differ(arguments: &Arguments, package: &str) -> Option<Vec<String>> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--quiet",
            "--offline",
            "-p",
            package,
            "--test",
            "scenarios",
        ])
        .env("RUSTFLAGS", "-Awarnings")
        .env("RUST_BACKTRACE", "0")
        .env("CARGO_TARGET_DIR", &arguments.build)
        .current_dir(&arguments.sources)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("test result: ") {
        return None;
    }
    let differ = said.lines().filter_map(|line| {
        let path = line.strip_suffix(".txt:")?;
        let (_, name) = path.rsplit_once("/tests/scenarios/")?;
        Some(name.to_owned())
    });
    Some(differ.collect())
}

fn read(path: &Path) -> Result<String, BreakageError> {
    std::fs::read_to_string(path).map_err(|source| BreakageError::Io {
        path: path.to_owned(),
        source,
    })
}
