//! backup: all pairs at one position, while writes go on, to a file that is whole or not there.

use std::path::Path;

use super::Context;
use super::backup_file::{BackupHeader, BackupWriter};
use super::failure::{Failure, Verdict};
use super::output::Object;
use super::progress::byte_bar;
use super::target::Target;

pub(crate) async fn run(context: &mut Context, file: &Path) -> Result<Verdict, Failure> {
    let failed = |cause| Failure::of_file(file, &cause);
    // Opened first, so that a folder that cannot be written to is known at once.
    let mut target = Target::open(file)?;
    let mut export = context.client.export().await?;
    let summary = export.summary().clone();
    let header = BackupHeader {
        at: summary.at,
        pairs: summary.keys,
        bytes: summary.bytes,
    };
    let mut writer = BackupWriter::begin(target.writer(), &header).map_err(failed)?;
    let bar = byte_bar(Some(summary.bytes));
    let mut bytes = 0;
    while let Some(part) = export.next_part().await? {
        writer.write(&part).map_err(failed)?;
        bytes += part.len() as u64;
        bar.inc(part.len() as u64);
    }
    bar.finish_and_clear();
    if bytes != summary.bytes {
        let what = format!(
            "the primary announced {} bytes and sent {bytes}",
            summary.bytes
        );
        return Err(Failure::Internal { what });
    }
    writer.finish().map_err(failed)?;
    target.finish().map_err(failed)?;
    let (pairs, at) = (summary.keys, summary.at);
    let text = format!(
        "backed up {pairs} pairs at position {at} to {}",
        file.display()
    );
    let object = Object::new()
        .with("backed_up", pairs)
        .with("file", file.display().to_string())
        .with("at", at.to_string());
    context.output.either(text, &object)?;
    Ok(Verdict::Done)
}
