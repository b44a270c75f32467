//! The command line of the store.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
