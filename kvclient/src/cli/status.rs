//! status: views, nodes, roles, positions, lag, copies.

mod node;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use kv_common::message::registry::ClusterStatus;
use kvclient::{StatusReport, StatusSource};

use self::node::NodeLine;
use super::Context;
use super::failure::{self, Failure, Verdict};
use super::output::Object;
use super::progress::table;

const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its upper left corner.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

pub(crate) async fn run(context: &mut Context, watch: bool) -> Result<Verdict, Failure> {
    loop {
        let shown = show(context, watch).await;
        if !watch {
            return shown;
        }
        // While it is watched, a cluster may well be away for a moment.
        if let Err(failure @ Failure::Client(_)) = &shown {
            failure::complain(failure);
        } else {
            shown?;
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

async fn show(context: &mut Context, watch: bool) -> Result<Verdict, Failure> {
    let report = context.client.status().await?;
    let lines = node::lines(&report.status);
    if context.output.is_json() {
        context.output.object(&object(&report, &lines))?;
    } else {
        if watch && std::io::stdout().is_terminal() {
            let cleared = std::io::stdout().write_all(CLEAR);
            cleared.map_err(Failure::of_output)?;
        }
        context
            .output
            .bytes(text(&report.status, &lines).as_bytes())?;
    }
    context.output.flush()?;
    Ok(Verdict::Done)
}

/// What `status` prints.
pub(super) fn text_of(status: &ClusterStatus) -> String {
    text(status, &node::lines(status))
}

fn text(status: &ClusterStatus, lines: &[NodeLine]) -> String {
    let mut text = headline(status);
    text.push('\n');
    let mut table = table(&[
        "node",
        "address",
        "role",
        "state",
        "appended",
        "held",
        "committed",
        "applied",
        "lag",
        "keys",
    ]);
    for line in lines {
        table.add_row(line.cells());
    }
    text.push_str(&table.trim_fmt());
    text.push('\n');
    for copy in lines.iter().filter_map(NodeLine::copy_text) {
        text.push_str(&copy);
        text.push('\n');
    }
    for condition in &status.conditions {
        text.push_str("! ");
        text.push_str(condition);
        text.push('\n');
    }
    text
}

fn headline(status: &ClusterStatus) -> String {
    let map = &status.map;
    let Some(view) = &map.view else {
        return "no view yet".to_owned();
    };
    let primary = map.name_of(view.primary.node);
    let address = map
        .primary_address()
        .map_or_else(String::new, |address| format!(" at {address}"));
    format!(
        "epoch {}, primary {primary}{address}, {} of {} copies in sync",
        view.epoch,
        view.member_count(),
        view.settings.copies
    )
}

fn object(report: &StatusReport, lines: &[NodeLine]) -> Object {
    let map = &report.status.map;
    let view = map.view.as_ref();
    let source = match report.source {
        StatusSource::Coordinator => "coordinator",
        StatusSource::Nodes => "nodes",
    };
    let nodes: Vec<_> = lines.iter().map(NodeLine::object).collect();
    Object::new()
        .with("cluster", map.cluster.to_string())
        .with("source", source)
        .with("epoch", view.map(|view| view.epoch.0))
        .with("primary", view.map(|view| map.name_of(view.primary.node)))
        .with(
            "primary_address",
            map.primary_address().map(ToString::to_string),
        )
        .with("copies", view.map(|view| view.settings.copies))
        .with("min_in_sync", view.map(|view| view.settings.min_in_sync))
        .with("conditions", report.status.conditions.clone())
        .with("nodes", nodes)
}
