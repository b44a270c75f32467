//! What is done with a data directory instead of running on it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kv_daemon::VERSION;
use kvnode_storage::{InspectionOptions, inspect};

/// Stands below the daemon's own help.
pub(crate) const HELP: &str = "\
Beside running as a node:
  kvnode inspect DIR  Show what a data directory holds, and whether it is damaged";

/// Something is damaged.
const DAMAGED: u8 = 1;
/// Nothing was done: there is no such data directory, or it cannot be read.
const UNUSABLE: u8 = 2;

/// A tool, and what an operator says to it.
#[derive(Debug, Parser)]
#[command(name = "kvnode", version = VERSION)]
struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

/// What can be done with a data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Show what a data directory holds, and whether it is damaged
    ///
    /// Nothing in it is changed. The databases are read from copies, which are removed again; those of
    /// a running node are not read. Exits with 0 when no damage was found, with 1 when some was, and
    /// with 2 when there is no data directory that can be read.
    Inspect(InspectArguments),
}

/// What `inspect` is told.
#[derive(Args, Debug)]
pub(crate) struct InspectArguments {
    /// The data directory
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,

    /// The key space as text [default: DIR/db.txt]
    #[arg(long, value_name = "PATH")]
    db_txt: Option<PathBuf>,

    /// Where copies of the databases are read, as large as they are [default: the system's folder
    /// for temporary files]
    #[arg(long, value_name = "PATH")]
    scratch_dir: Option<PathBuf>,
}

/// The tool that the command line names as its first word, if it does. The daemon takes flags only.
/// Ends the process when its arguments make no sense, or help was asked for.
pub(crate) fn asked_for() -> Option<Tool> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let names_one = words
        .get(1)
        .is_some_and(|word| !word.as_encoded_bytes().starts_with(b"-"));
    if !names_one {
        return None;
    }
    match Arguments::try_parse_from(words) {
        Ok(arguments) => Some(arguments.tool),
        Err(error) => error.exit(),
    }
}

impl Tool {
    /// Does it, and says how it went.
    pub(crate) fn run(&self) -> ExitCode {
        match self {
            Self::Inspect(arguments) => arguments.run(),
        }
    }
}

impl InspectArguments {
    fn run(&self) -> ExitCode {
        let options = InspectionOptions {
            db_txt: self
                .db_txt
                .clone()
                .unwrap_or_else(|| self.data_dir.join("db.txt")),
            scratch_dir: self.scratch_dir.clone().unwrap_or_else(std::env::temp_dir),
        };
        let inspection = match inspect(&self.data_dir, &options) {
            Ok(inspection) => inspection,
            Err(error) => return complain(&error),
        };
        if let Err(error) = write!(io::stdout(), "{inspection}") {
            return complain(&error);
        }
        if inspection.is_sound() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(DAMAGED)
        }
    }
}

fn complain(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("kvnode: {error}");
    ExitCode::from(UNUSABLE)
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
