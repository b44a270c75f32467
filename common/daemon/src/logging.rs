//! What is said to an operator, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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

/// Starts logging. Called once, before the first line.
pub fn start(format: LogFormat, level: LevelFilter) {
    let mut targets = Targets::new().with_default(level);
    if level < Level::TRACE {
        targets = targets.with_targets(QUIET.map(|target| (target, LevelFilter::OFF)));
    }
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Text => registry.with(lines.with_target(false)).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
}
