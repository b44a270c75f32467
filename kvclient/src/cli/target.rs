//! A file that is whole under its name, or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Where something whole goes: beside a file, whose place it takes when it is whole; or right into what
/// is no file, like a pipe or a device.
pub(crate) struct Target {
    file: PathBuf,
    partial: Option<PathBuf>,
    writer: File,
}

impl Target {
    /// Opens what is to become `file`.
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
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

    /// Where to write.
    pub(crate) fn writer(&mut self) -> &mut File {
        &mut self.writer
    }

    /// Makes the file durable under its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
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
