//! Makes the same load on this store, on Redis and on etcd, measures it, and makes reports of many
//! such measurements.

mod connection;
mod etcd;
mod failure;
mod gap;
mod lane;
mod load;
mod measurement;
mod native;
mod plot;
mod probe;
mod protocol;
mod redis;
mod reply;
mod report;
mod sentinel;
mod span;
mod statistics;

use clap::{Parser, Subcommand};

/// Makes load on this store, on Redis and on etcd, and reports of it
#[derive(Debug, Parser)]
#[command(name = "load-generator")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make load for some time; print one JSON object with what it came to
    Run(load::RunArguments),
    /// Write without a break, follow whoever is primary; print the longest gap and what was lost
    Gap(gap::GapArguments),
    /// Measure what one flush to disk and one round trip on loopback take
    Probe(probe::ProbeArguments),
    /// Make tables and plots of the JSON objects of many runs
    Report(report::ReportArguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match arguments.command {
        Command::Run(arguments) => runtime.block_on(load::run(&arguments)),
        Command::Gap(arguments) => runtime.block_on(gap::run(&arguments)),
        Command::Probe(arguments) => runtime.block_on(probe::run(&arguments)),
        Command::Report(arguments) => report::run(&arguments),
    }
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
