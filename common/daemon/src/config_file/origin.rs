//! Every setting in force, and where it comes from.

use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::NOT_IN_A_FILE;
use super::file::File;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag {
        /// Without dashes.
        name: String,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { name } => write!(f, "--{name}"),
            Self::Variable { name } => write!(f, "{name} in the environment"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting in force.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    /// None: nobody said anything, and there is no default.
    words: Option<Vec<String>>,
    takes_many: bool,
    origin: Origin,
}

/// Every setting that a file can hold, in the order of the help. Written out, it is a file that
/// says the same.
#[derive(Clone, Debug)]
pub struct InForce(Vec<Value>);

impl InForce {
    pub(super) fn of(command: &Command, matches: &ArgMatches, file: Option<&File>) -> Self {
        let settings = command.get_arguments().filter_map(|argument| {
            let name = argument.get_long()?;
            (!NOT_IN_A_FILE.contains(&name)).then(|| value(argument, name, matches, file))
        });
        Self(settings.collect())
    }

    /// The names of the settings that have another value than in `before`.
    pub(crate) fn different_from(&self, before: &Self) -> Vec<&str> {
        let pairs = self.0.iter().zip(&before.0);
        pairs
            .filter(|(now, before)| now.words != before.words)
            .map(|(now, _)| now.name.as_str())
            .collect()
    }
}

fn value(argument: &Arg, name: &str, matches: &ArgMatches, file: Option<&File>) -> Value {
    let id = argument.get_id().as_str();
    let words: Option<Vec<String>> = matches.get_raw(id).map(|raw| {
        let words = raw.map(|word| word.to_string_lossy().into_owned());
        words.collect()
    });
    let origin = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => in_file(name, file).unwrap_or_else(|| Origin::Flag {
            name: name.to_owned(),
        }),
        Some(ValueSource::EnvVariable) => Origin::Variable {
            name: argument
                .get_env()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        },
        _ => Origin::Default,
    };
    Value {
        name: name.to_owned(),
        words,
        takes_many: argument.get_value_delimiter().is_some(),
        origin,
    }
}

fn in_file(name: &str, file: Option<&File>) -> Option<Origin> {
    let file = file?;
    let setting = file.settings.iter().find(|setting| setting.name == name)?;
    Some(Origin::File {
        path: file.path.clone(),
        line: setting.line,
    })
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for value in &self.0 {
            match value.words.as_deref() {
                None => writeln!(f, "# {} is not set", value.name)?,
                Some(words) => {
                    let origin = &value.origin;
                    writeln!(f, "{} = {}  # {origin}", value.name, value.as_toml(words))?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn as_toml(&self, words: &[String]) -> toml::Value {
        let one = |word: &String| match word.parse::<i64>() {
            Ok(number) if number.to_string() == *word => toml::Value::Integer(number),
            _ => toml::Value::String(word.clone()),
        };
        match words {
            [word] if !self.takes_many => one(word),
            words => toml::Value::Array(words.iter().map(one).collect()),
        }
    }
}
