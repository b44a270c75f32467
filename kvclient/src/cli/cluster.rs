//! where, events, digest.

use comfy_table::Table;
use kv_common::message::registry::Event;
use kvclient::CopyDigest;

use super::Context;
use super::failure::{Failure, Verdict};
use super::output::Object;
use super::progress::table;

pub(crate) async fn locate(context: &mut Context) -> Result<Verdict, Failure> {
    let primary = context.client.where_is_primary().await?;
    let address = primary.address.to_string();
    let object = Object::new()
        .with("address", address.clone())
        .with("name", primary.name)
        .with("epoch", primary.epoch.0);
    context.output.either(address, &object)?;
    Ok(Verdict::Done)
}

pub(crate) async fn events(context: &mut Context, limit: u32) -> Result<Verdict, Failure> {
    for event in context.client.events(0, limit).await? {
        let at = timestamp(event.at.0);
        let object = Object::new()
            .with("number", event.number)
            .with("at", at)
            .with("epoch", event.epoch.0)
            .with("rule", event.rule.clone())
            .with("what", event.what.clone());
        context.output.either(event_line(&event), &object)?;
    }
    Ok(Verdict::Done)
}

/// A decision, in a line.
pub(super) fn event_line(event: &Event) -> String {
    let at = timestamp(event.at.0);
    format!(
        "{at}  epoch {}  {}: {}",
        event.epoch, event.rule, event.what
    )
}

pub(crate) async fn digest(context: &mut Context) -> Result<Verdict, Failure> {
    let report = context.client.digest().await?;
    if context.output.is_json() {
        for copy in &report.copies {
            let object = copy_object(copy).with("at", report.at.to_string());
            context.output.object(&object)?;
        }
    } else {
        let table = copy_table(&report.copies);
        context.output.line(table.trim_fmt())?;
        let equal = if report.all_equal() {
            "are equal"
        } else {
            "DIFFER"
        };
        let line = format!("at position {} the copies {equal}", report.at);
        context.output.line(line)?;
    }
    if !report.all_equal() {
        return Ok(Verdict::Negative);
    }
    match report.silent_member() {
        Some((_, error)) => Err(Failure::Client(error.clone())),
        None => Ok(Verdict::Done),
    }
}

fn copy_object(copy: &CopyDigest) -> Object {
    let object = Object::new()
        .with("node", copy.name.clone())
        .with("address", copy.address.to_string())
        .with("in_sync", copy.in_sync);
    match &copy.digest {
        Ok(digest) => object
            .with("keys", digest.keys)
            .with("digest", format!("{:032x}", digest.digest)),
        Err(error) => object.with("error", error.to_string()),
    }
}

fn copy_table(copies: &[CopyDigest]) -> Table {
    let mut table = table(&["node", "address", "in sync", "keys", "digest"]);
    for copy in copies {
        let (keys, digest) = match &copy.digest {
            Ok(digest) => (digest.keys.to_string(), format!("{:032x}", digest.digest)),
            Err(error) => ("-".to_owned(), error.to_string()),
        };
        let in_sync = if copy.in_sync { "yes" } else { "no" };
        table.add_row([
            copy.name.clone(),
            copy.address.to_string(),
            in_sync.to_owned(),
            keys,
            digest,
        ]);
    }
    table
}

fn timestamp(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => format!("{unix_ms} ms"),
    }
}
