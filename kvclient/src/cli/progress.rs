//! Tables, and progress on standard error, which only a terminal gets.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A table with these columns.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.to_vec());
    table
}

/// A bar up to `total_bytes`, or a spinner when that is not known.
pub(crate) fn byte_bar(total_bytes: Option<u64>) -> ProgressBar {
    // The library draws nothing when standard error is no terminal.
    let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
    let template = match total_bytes {
        Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        None => "{spinner} {bytes} {bytes_per_sec} {msg}",
    };
    styled(bar, template)
}

/// A bar up to `total` keys, or a spinner when that is not known.
pub(crate) fn key_bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{bar:40} {human_pos}/{human_len} keys {per_sec} {eta}",
        None => "{spinner} {human_pos} keys {per_sec}",
    };
    styled(bar, template)
}

/// A line that is written anew as a message changes.
pub(crate) fn message_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    styled(bar, "{spinner} {elapsed_precise} {msg}")
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
