//! The configuration file: the settings of the command line under the same names. Its values become
//! the command line's defaults, so they are checked in the same way and everything else wins over
//! them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

/// The one setting that makes no sense in a file.
const THE_FILE_ITSELF: &str = "config";

/// Reads `words`, the environment, and the file that `--config` names in either of them.
///
/// # Errors
/// When something is missing or makes no sense, and when help or the version was asked for.
pub fn read<A, I>(words: I) -> Result<A, clap::Error>
where
    A: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = OsString>,
{
    let words: Vec<OsString> = words.into_iter().collect();
    let first_look = A::command()
        .ignore_errors(true)
        .try_get_matches_from(&words);
    let file = first_look
        .ok()
        .and_then(|matches| matches.get_one::<PathBuf>(THE_FILE_ITSELF).cloned());
    let command = match file {
        Some(path) => as_defaults(A::command(), &path)?,
        None => A::command(),
    };
    A::from_arg_matches(&command.try_get_matches_from(words)?)
}

/// `command` with the values of the file at `path` as its defaults.
///
/// # Errors
/// When the file cannot be read, or names a setting that does not exist.
fn as_defaults(mut command: Command, path: &Path) -> Result<Command, clap::Error> {
    let file = path.display();
    let text = fs::read_to_string(path)
        .map_err(|cause| usage(&mut command, &format!("{file} cannot be read: {cause}")))?;
    let table: Table = text
        .parse()
        .map_err(|cause| usage(&mut command, &format!("{file} is no TOML: {cause}")))?;
    for (name, value) in table {
        let id = name.replace('-', "_");
        let known = command
            .get_arguments()
            .any(|argument| argument.get_long() == Some(&name) && argument.get_id() == &id);
        if !known || name == THE_FILE_ITSELF {
            let what = format!("{file} sets '{name}', which is no setting of this program");
            return Err(usage(&mut command, &what));
        }
        let Some(values) = words(&value) else {
            let what =
                format!("{file}: '{name}' wants a number, a text in quotes, or a list of these");
            return Err(usage(&mut command, &what));
        };
        command = command.mut_arg(&id, |argument| {
            argument.required(false).default_values(values)
        });
    }
    Ok(command)
}

fn usage(command: &mut Command, what: &str) -> clap::Error {
    command.error(ErrorKind::ValueValidation, what)
}

fn words(value: &Value) -> Option<Vec<OsStr>> {
    match value {
        Value::String(text) => Some(vec![OsStr::from(text.clone())]),
        Value::Array(values) if !values.is_empty() => values
            .iter()
            .map(|value| value.as_str().map(|text| OsStr::from(text.to_owned())))
            .collect(),
        Value::Integer(number) => Some(vec![OsStr::from(number.to_string())]),
        Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => None,
    }
}
