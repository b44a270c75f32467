//! What is done with a data directory instead of running on it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory, Parser, Subcommand};
use kv_common::id::NodeId;
use kv_daemon::VERSION;
use kvnode_storage::{
    DataDir, DataDirError, InspectionOptions, Meta, MetaError, MetaRecord, RebuildError, Rebuilt,
    StorageOptions, inspect, plan_rebuild,
};

/// Stands below the daemon's own help.
pub(crate) const HELP: &str = "\
Beside running as a node:
  kvnode inspect DIR  Show what a data directory holds, and whether it is damaged
  kvnode recover DIR  Bring a damaged one back from what is left in it, where there is no other copy";

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
    /// Bring a damaged data directory back from what is left in it
    ///
    /// For the last node that has any data: where there is another copy, move the directory away, and
    /// the node fetches that. Says what is left and what it covers, and changes nothing without
    /// --accept-loss or --to. Exits with 0 when the data was brought back, with 1 when it only could
    /// be, and with 2 when it cannot.
    Recover(RecoverArguments),
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

/// What `recover` is told.
#[derive(Args, Debug)]
pub(crate) struct RecoverArguments {
    /// The data directory
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,

    /// The key space as text [default: DIR/db.txt]
    #[arg(long, value_name = "PATH")]
    db_txt: Option<PathBuf>,

    /// Where copies of the checkpoints are read, as large as they are [default: the system's folder
    /// for temporary files]
    #[arg(long, value_name = "PATH")]
    scratch_dir: Option<PathBuf>,

    /// Go on with what can be brought back; what was there is set aside
    #[arg(long)]
    accept_loss: bool,

    /// Write what can be brought back to this file, in the db.txt format, and change nothing in DIR
    #[arg(long, value_name = "FILE", conflicts_with = "accept_loss")]
    to: Option<PathBuf>,
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

/// The tools as the command line knows them.
pub(crate) fn subcommands() -> Vec<Command> {
    Arguments::command().get_subcommands().cloned().collect()
}

impl Tool {
    /// Does it, and says how it went.
    pub(crate) fn run(&self) -> ExitCode {
        match self {
            Self::Inspect(arguments) => arguments.run(),
            Self::Recover(arguments) => match arguments.run() {
                Ok(code) => code,
                Err(error) => complain(&error),
            },
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

/// Why nothing was brought back.
#[derive(Debug, thiserror::Error)]
enum RecoverError {
    #[error("{} is no data directory of kvnode", .0.display())]
    NoDataDir(PathBuf),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error("{0}; what can be brought back can be written to a file with --to, for a new cluster")]
    Meta(#[from] MetaError),
    #[error(
        "who this node was is lost; what can be brought back can be written to a file with --to, for a new cluster"
    )]
    NoIdentity,
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl RecoverArguments {
    fn run(&self) -> Result<ExitCode, RecoverError> {
        let data_dir = &self.data_dir;
        if !DataDir::exists(data_dir)? {
            return Err(RecoverError::NoDataDir(data_dir.clone()));
        }
        let dir = DataDir::open(data_dir)?;
        let db_txt = self.db_txt.clone();
        let db_txt = db_txt.unwrap_or_else(|| data_dir.join("db.txt"));
        let scratch_dir = self.scratch_dir.clone().unwrap_or_else(std::env::temp_dir);
        let plan = plan_rebuild(&dir, &db_txt, &scratch_dir)?;
        let options = StorageOptions::default();
        let mut out = io::stdout().lock();
        write!(out, "{plan}")?;
        if let Some(file) = &self.to {
            let Rebuilt { keys, at } = plan.write_text(file, &options)?;
            let file = file.display();
            writeln!(out, "wrote {keys} keys of position {at} to {file}")?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.accept_loss {
            writeln!(out, "nothing was changed; --accept-loss goes on with this")?;
            return Ok(ExitCode::from(DAMAGED));
        }
        let (mut meta, opening) = Meta::open(&dir, NodeId(0))?;
        if opening.first_start {
            return Err(RecoverError::NoIdentity);
        }
        let Rebuilt { keys, at } = plan.carry_out(&dir, &options)?;
        // The operator's word: nothing further is waited for that the log may have had.
        meta.store(MetaRecord {
            clean_stop: true,
            ..meta.record().clone()
        })?;
        writeln!(
            out,
            "brought back {keys} keys of position {at}; start the node"
        )?;
        Ok(ExitCode::SUCCESS)
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
