//! What is said to an operator, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Lines of this crate are for its own developers; what its errors mean for us, we say ourselves.
const QUIET: [&str; 1] = ["sled"];

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged can be changed while the program runs.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// Logs what is of `level` or graver from now on.
    pub fn set(&self, level: LevelFilter) {
        if let Err(error) = self.0.reload(targets(level)) {
            tracing::error!(%error, "the log level cannot be changed");
        }
    }
}

/// Starts logging. Called once, before the first line.
pub fn start(format: LogFormat, level: LevelFilter) -> LogLevel {
    let (targets, handle) = reload::Layer::new(targets(level));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Text => registry.with(lines.with_target(false)).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    LogLevel(handle)
}

fn targets(level: LevelFilter) -> Targets {
    let targets = Targets::new().with_default(level);
    if level < Level::TRACE {
        targets.with_targets(QUIET.map(|target| (target, LevelFilter::OFF)))
    } else {
        targets
    }
}
