//! top: the cluster, live, in a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use kv_common::message::registry::{ClusterStatus, Event};

use super::Context;
use super::cluster::event_line;
use super::failure::{Failure, Verdict};
use super::status;

/// Decisions that are shown.
const DECISIONS: u32 = 10;
/// Another screen than the one with the prompt, which is as it was when this one is left; no cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// To the upper left corner; what a shorter frame leaves of a longer one is cleared line by line.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";

/// Shows frame after frame until Ctrl-C, or `frames` of them.
pub(crate) async fn run(
    context: &mut Context,
    interval: Duration,
    frames: Option<u32>,
) -> Result<Verdict, Failure> {
    let screen = Screen::enter()?;
    let mut committed = None;
    let mut shown = 0;
    while frames.is_none_or(|frames| shown < frames) {
        let frame = next_frame(context, &mut committed).await;
        screen.show(&frame)?;
        shown += 1;
        if frames == Some(shown) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(Verdict::Done)
}

/// The entries that were committed when the last frame was made.
type Committed = Option<(u64, Instant)>;

async fn next_frame(context: &mut Context, committed: &mut Committed) -> String {
    let report = match context.client.status().await {
        Ok(report) => report,
        // While it is watched, a cluster may well be away for a moment.
        Err(error) => return format!("{error}\n"),
    };
    // Nodes alone can say how they are, and not what was decided.
    let events = context
        .client
        .events(0, DECISIONS)
        .await
        .unwrap_or_default();
    let rate = rate(&report.status, committed);
    frame(&report.status, &events, rate)
}

/// Entries a second since the last frame.
fn rate(status: &ClusterStatus, committed: &mut Committed) -> Option<f64> {
    let reports = status.nodes.iter().filter_map(|node| node.report.as_ref());
    let newest = reports.map(|report| report.positions.committed.0).max()?;
    let now = Instant::now();
    let (before, at) = committed.replace((newest, now))?;
    let seconds = now.duration_since(at).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    (seconds > 0.0).then(|| newest.saturating_sub(before) as f64 / seconds)
}

fn frame(status: &ClusterStatus, events: &[Event], rate: Option<f64>) -> String {
    let mut frame = status::text_of(status);
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
    frame.push_str(&format!("\n{rate} log entries a second\n\n"));
    for event in events.iter().rev() {
        frame.push_str(&event_line(event));
        frame.push('\n');
    }
    frame.push_str("\nCtrl-C leaves\n");
    frame
}

/// The terminal, or whatever standard output is. A terminal is left as it was.
struct Screen {
    is_terminal: bool,
}

impl Screen {
    fn enter() -> Result<Self, Failure> {
        let is_terminal = io::stdout().is_terminal();
        if is_terminal {
            put(ENTER)?;
        }
        Ok(Self { is_terminal })
    }

    fn show(&self, frame: &str) -> Result<(), Failure> {
        if !self.is_terminal {
            return put(frame.as_bytes());
        }
        let frame = frame.replace('\n', CLEAR_LINE);
        put(format!("{HOME}{frame}{CLEAR_BELOW}").as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // There is nobody left to be told.
            let _ = put(LEAVE);
        }
    }
}

fn put(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout();
    let written = output.write_all(bytes).and_then(|()| output.flush());
    written.map_err(Failure::of_output)
}
