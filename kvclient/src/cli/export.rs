//! export: all pairs at one position, to a file that is whole or not there.

use std::io::{self, Write};
use std::path::Path;

use kvclient::Export;

use super::Context;
use super::failure::{Failure, Verdict};
use super::output::Object;
use super::progress::byte_bar;
use super::target::Target;

pub(crate) async fn run(context: &mut Context, file: &Path) -> Result<Verdict, Failure> {
    if file == Path::new("-") {
        let mut export = context.client.export().await?;
        copy(&mut export, &mut io::stdout(), &Failure::of_output).await?;
        return Ok(Verdict::Done);
    }
    // Opened first, so that a folder that cannot be written to is known at once.
    let mut target = Target::open(file)?;
    let mut export = context.client.export().await?;
    let failed = |cause| Failure::of_file(file, &cause);
    tokio::select! {
        copied = copy(&mut export, target.writer(), &failed) => copied?,
        // Returning removes what was written so far.
        _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
    }
    target.finish().map_err(failed)?;
    let summary = export.summary();
    let text = format!("exported {} pairs to {}", summary.keys, file.display());
    let object = Object::new()
        .with("exported", summary.keys)
        .with("file", file.display().to_string())
        .with("at", summary.at.to_string());
    context.output.either(text, &object)?;
    Ok(Verdict::Done)
}

async fn copy(
    export: &mut Export,
    out: &mut impl Write,
    failed: &impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let bar = byte_bar(Some(export.summary().bytes));
    while let Some(part) = export.next_part().await? {
        out.write_all(&part).map_err(failed)?;
        bar.inc(part.len() as u64);
    }
    bar.finish_and_clear();
    out.flush().map_err(failed)
}
