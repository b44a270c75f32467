//! The file: names, values as words, and the lines that they stand in.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is no TOML.
    #[error("{}, line {line}: this is no TOML: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// It names a setting that does not exist.
    #[error("{}, line {line}: '{name}' is no setting of this program", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// The value is of a kind that no setting has.
    #[error(
        "{}, line {line}: '{name}' wants a number, a text in quotes, or a list of these",
        path.display()
    )]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The name.
        name: String,
    },
}

/// One setting of a file.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// As the flag is called, without dashes.
    pub(crate) name: String,
    /// Its values, as they would be written on the command line.
    pub(crate) words: Vec<String>,
    /// Where it stands, from 1.
    pub(crate) line: usize,
}

impl Setting {
    /// The name under which clap knows it.
    pub(crate) fn id(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The flags that say the same.
    pub(crate) fn as_flags(&self) -> impl Iterator<Item = OsString> {
        let flag = |word| OsString::from(format!("--{}={word}", self.name));
        self.words.iter().map(flag)
    }
}

/// What a file says.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// As they stand there.
    pub(crate) settings: Vec<Setting>,
}

impl File {
    /// Reads the file at `path`, which may set what `names` has.
    pub(crate) fn open(path: &Path, names: &[&str]) -> Result<Self, FileError> {
        let owned = || path.to_owned();
        let text = fs::read_to_string(path).map_err(|cause| FileError::Unreadable {
            path: owned(),
            cause,
        })?;
        let table = DeTable::parse(&text).map_err(|cause| FileError::Malformed {
            path: owned(),
            line: line_of(&text, cause.span().unwrap_or_default()),
            cause: cause.message().to_owned(),
        })?;
        let mut settings = Vec::new();
        for (name, value) in table.get_ref() {
            let line = line_of(&text, name.span());
            let name = name.get_ref().to_string();
            if !names.contains(&name.as_str()) {
                let path = owned();
                return Err(FileError::Unknown { path, line, name });
            }
            let Some(words) = words(value.get_ref()) else {
                let path = owned();
                return Err(FileError::WrongKind { path, line, name });
            };
            settings.push(Setting { name, words, line });
        }
        settings.sort_by_key(|setting| setting.line);
        Ok(Self {
            path: owned(),
            settings,
        })
    }
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    1 + before.matches('\n').count()
}

/// None: of a kind that no setting has.
fn words(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(values) if !values.is_empty() => {
            values.iter().map(|value| word(value.get_ref())).collect()
        }
        value => word(value).map(|word| vec![word]),
    }
}

fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}
