//! What is said to an operator, on standard error.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Arguments, LogFormat};

/// Lines of this crate are for its own developers.
const QUIET: [&str; 1] = ["sled"];

/// Starts logging.
pub(crate) fn start(arguments: &Arguments) {
    let mut targets = Targets::new().with_default(arguments.log_level);
    if arguments.log_level > Level::WARN {
        targets = targets.with_targets(QUIET.map(|target| (target, Level::WARN)));
    }
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(targets);
    match arguments.log_format {
        LogFormat::Text => registry.with(lines.with_target(false)).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
}
