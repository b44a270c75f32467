//! bench: load, its figures, and whether everything acknowledged is there.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use kvclient::load::{self, Latency, LoadOptions, LoadReport, Meter, Verification};

use super::arguments::BenchArguments;
use super::failure::{Failure, Verdict};
use super::output::Object;
use super::progress::{message_line, table};
use super::{Context, duration};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(
    context: &mut Context,
    arguments: BenchArguments,
) -> Result<Verdict, Failure> {
    let options = LoadOptions {
        clients: arguments.clients,
        pipeline: arguments.pipeline,
        value_bytes: arguments.value_size,
        read_share: arguments.read_share,
        increment_share: arguments.increment_share,
        keys: arguments.keys,
        duration: arguments.duration,
        seed: arguments.seed,
        verify: arguments.verify,
        run: if arguments.verify { run_number() } else { 0 },
    };
    let meter = Arc::new(Meter::new());
    let bar = message_line();
    let report = {
        let load = load::run(&context.client, &options, &meter);
        let progress = show_progress(&meter, &bar);
        tokio::select! {
            report = load => report,
            () = progress => return Ok(Verdict::Done),
        }
    };
    bar.finish_and_clear();
    if context.output.is_json() {
        context.output.object(&object(&report))?;
    } else {
        context.output.bytes(text(&report).as_bytes())?;
    }
    Ok(match report.verification {
        Some(found) if !found.holds() => Verdict::Negative,
        Some(_) | None => Verdict::Done,
    })
}

/// Tells the keys of this run from those of others.
fn run_number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, duration::millis)
}

/// Never ends.
async fn show_progress(meter: &Meter, bar: &ProgressBar) {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        let (operations, errors) = (meter.operations(), meter.errors());
        bar.set_message(format!("{operations} operations, {errors} errors"));
        bar.tick();
    }
}

fn text(report: &LoadReport) -> String {
    let mut table = table(&["", "operations", "per second", "p50", "p99", "p99.9", "max"]);
    let seconds = report.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    for (name, latency) in [("writes", report.writes), ("reads", report.reads)] {
        if latency.operations > 0 {
            let per_second = latency.operations as f64 / seconds;
            table.add_row(vec![
                name.to_owned(),
                latency.operations.to_string(),
                format!("{per_second:.0}"),
                duration::latency_text(latency.p50),
                duration::latency_text(latency.p99),
                duration::latency_text(latency.p999),
                duration::latency_text(latency.max),
            ]);
        }
    }
    let mut text = format!("{}\n", table.trim_fmt());
    text.push_str(&format!(
        "{:.0} operations a second for {:.1} s; longest time without an acknowledged write: {}\n",
        report.operations_per_second(),
        report.elapsed.as_secs_f64(),
        duration::latency_text(report.longest_write_gap)
    ));
    for (error, count) in &report.errors {
        text.push_str(&format!("{count} times: {error}\n"));
    }
    if let Some(found) = &report.verification {
        text.push_str(&verification_text(found));
    }
    text
}

fn verification_text(found: &Verification) -> String {
    let mut text = format!(
        "verified: {} acknowledged writes, {} lost, {} stale, {} unknown outcomes\n",
        found.acknowledged, found.lost, found.stale, found.unknown
    );
    if found.doubled > 0 {
        let line = format!("{} increments took effect twice\n", found.doubled);
        text.push_str(&line);
    }
    if found.unexpected > 0 {
        let line = format!("{} values that nobody wrote\n", found.unexpected);
        text.push_str(&line);
    }
    if found.unread > 0 {
        let line = format!("{} keys could not be read back\n", found.unread);
        text.push_str(&line);
    }
    text
}

fn object(report: &LoadReport) -> Object {
    let mut object = Object::new()
        .with("operations", report.operations())
        .with("errors", report.error_count())
        .with("elapsed_ms", duration::millis(report.elapsed))
        .with("operations_per_second", report.operations_per_second())
        .with("writes", latency_object(&report.writes))
        .with("reads", latency_object(&report.reads))
        .with(
            "longest_write_gap_ms",
            report.longest_write_gap.as_secs_f64() * 1e3,
        );
    let mut errors = Object::new();
    for (error, count) in &report.errors {
        errors = errors.with(error, *count);
    }
    object = object.with("errors_by_kind", errors);
    if let Some(found) = &report.verification {
        let verified = Object::new()
            .with("acknowledged", found.acknowledged)
            .with("keys", found.keys)
            .with("wrong", found.wrong())
            .with("lost", found.lost)
            .with("stale", found.stale)
            .with("doubled", found.doubled)
            .with("unexpected", found.unexpected)
            .with("unread", found.unread)
            .with("unknown", found.unknown);
        object = object.with("verified", verified);
    }
    object
}

fn latency_object(latency: &Latency) -> Object {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    Object::new()
        .with("operations", latency.operations)
        .with("p50_ms", ms(latency.p50))
        .with("p99_ms", ms(latency.p99))
        .with("p999_ms", ms(latency.p999))
        .with("max_ms", ms(latency.max))
}
