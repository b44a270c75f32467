//! export: all pairs at one position, to a file that is whole or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kvclient::Export;

use super::Context;
use super::failure::{Failure, Verdict};
use super::output::Object;
use super::progress::byte_bar;

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

/// Where an export goes: beside a file, whose place it takes when it is whole; or right into what
/// is no file, like a pipe or a device.
struct Target {
    file: PathBuf,
    partial: Option<PathBuf>,
    writer: File,
}

impl Target {
    fn open(file: &Path) -> Result<Self, Failure> {
        let failed = |cause: io::Error| Failure::of_file(file, &cause);
        let is_other = fs::metadata(file).is_ok_and(|metadata| !metadata.is_file());
        if is_other {
            return Ok(Self {
                file: file.to_owned(),
                partial: None,
                writer: File::options().write(true).open(file).map_err(failed)?,
            });
        }
        let name = file.file_name().ok_or_else(|| Failure::Usage {
            what: format!("'{}' names no file", file.display()),
        })?;
        let mut partial_name = std::ffi::OsString::from(".");
        partial_name.push(name);
        partial_name.push(format!(".partial-{}", std::process::id()));
        let partial = file.with_file_name(partial_name);
        let writer = File::create_new(&partial).map_err(failed)?;
        Ok(Self {
            file: file.to_owned(),
            partial: Some(partial),
            writer,
        })
    }

    fn writer(&mut self) -> &mut File {
        &mut self.writer
    }

    /// Makes the file durable under its name.
    fn finish(mut self) -> io::Result<()> {
        let Some(partial) = &self.partial else {
            return Ok(());
        };
        self.writer.sync_all()?;
        fs::rename(partial, &self.file)?;
        self.partial = None;
        let folder = match self.file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // Nothing more can be done about a leftover than to say nothing is there.
            let _ = fs::remove_file(partial);
        }
    }
}
