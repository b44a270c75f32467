//! What an operator says: flags over variables over the configuration file, which holds the settings of
//! the command line under the same names. What the file says becomes words of the command line, so it is
//! checked in the same way, and each value knows where it came from. Nothing here writes a file.

mod file;
mod origin;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches};

use self::file::{File, Setting};
pub use self::origin::{InForce, Origin};

/// What is said about a start, and not in a file.
pub(crate) const NOT_IN_A_FILE: [&str; 5] =
    ["config", "check-config", "print-config", "help", "version"];
const CONFIG: &str = "config";

/// Looks at the configuration instead of starting.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Looks {
    /// Say whether the configuration is sound, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Print the configuration in force and where each value comes from, and exit
    #[arg(long, conflicts_with = "check_config")]
    pub print_config: bool,
}

impl Looks {
    /// Says what was asked for, on standard output, once everything is known to be sound. None: nothing
    /// was asked for, and the program is to start.
    #[must_use]
    pub fn carry_out(self, in_force: &InForce) -> Option<ExitCode> {
        let text = match (self.check_config, self.print_config) {
            (true, _) => "the configuration is sound\n".to_owned(),
            (false, true) => in_force.to_string(),
            (false, false) => return None,
        };
        let written = io::stdout().write_all(text.as_bytes());
        Some(written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
    }
}

/// The arguments, and where each comes from.
#[derive(Clone, Debug)]
pub struct Configuration<A> {
    /// The arguments.
    pub arguments: A,
    /// Every setting that a file can hold, in the order of the help.
    pub in_force: InForce,
}

/// Reads `words`, the environment, and the file that `--config` names in either of them.
///
/// # Errors
/// When something is missing or makes no sense, and when help or the version was asked for.
pub fn read<A, I>(words: I) -> Result<Configuration<A>, clap::Error>
where
    A: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = OsString>,
{
    let words: Vec<OsString> = words.into_iter().collect();
    // What is wrong in the words is said by the second reading.
    let said = A::command()
        .ignore_errors(true)
        .try_get_matches_from(&words)
        .ok();
    let path = said
        .as_ref()
        .and_then(|said| said.get_one::<PathBuf>(CONFIG).cloned());
    let (Some(said), Some(path)) = (said, path) else {
        return matched::<A>(words, None);
    };
    let mut file = open::<A>(&path)?;
    file.settings.retain(|setting| !is_said(&said, setting));
    let more: Vec<OsString> = file.settings.iter().flat_map(Setting::as_flags).collect();
    matched::<A>(words.into_iter().chain(more).collect(), Some(&file))
        .map_err(|error| with_line::<A>(error, &file))
}

/// `file` holds only what stands among the words because of it.
fn matched<A>(words: Vec<OsString>, file: Option<&File>) -> Result<Configuration<A>, clap::Error>
where
    A: CommandFactory + FromArgMatches,
{
    let mut command = A::command();
    let matches = command
        .try_get_matches_from_mut(words)
        .map_err(|error| with_other_places(error, &command))?;
    let arguments = A::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(Configuration {
        arguments,
        in_force: InForce::of(&command, &matches, file),
    })
}

/// Whether a flag or a variable says it already.
fn is_said(said: &ArgMatches, setting: &Setting) -> bool {
    matches!(
        said.value_source(&setting.id()),
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    )
}

fn open<A: CommandFactory>(path: &Path) -> Result<File, clap::Error> {
    let mut command = A::command();
    let names: Vec<&str> = settable(&command).collect();
    File::open(path, &names)
        .map_err(|error| command.error(ErrorKind::ValueValidation, error.to_string()))
}

/// The names of the settings that a file can hold.
fn settable(command: &Command) -> impl Iterator<Item = &str> {
    command
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .filter(|name| !NOT_IN_A_FILE.contains(name))
}

/// Says where else a setting may stand that is missing among the words.
fn with_other_places(mut error: clap::Error, command: &Command) -> clap::Error {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return error;
    }
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let places = missing.iter().filter_map(|shown| {
        let name = shown.strip_prefix("--")?.split([' ', '=']).next()?;
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(name))?;
        let variable = argument.get_env()?.to_string_lossy();
        let place =
            format!("{name} may stand in the file that --config names as well, or in {variable}");
        Some(place.into())
    });
    let tips: Vec<StyledStr> = places.collect();
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    error
}

/// Says in which line of the file the value stands that `error` is about.
fn with_line<A: CommandFactory>(error: clap::Error, file: &File) -> clap::Error {
    let about = |kind| error.get(kind).map(ToString::to_string);
    let flag = about(ContextKind::InvalidArg).unwrap_or_default();
    let flag = flag.split([' ', '=']).next().unwrap_or_default();
    let value = about(ContextKind::InvalidValue);
    let at_fault = file.settings.iter().find(|setting| {
        flag.strip_prefix("--") == Some(&setting.name)
            && value
                .as_ref()
                .is_none_or(|value| setting.words.contains(value))
    });
    let Some(setting) = at_fault else {
        return error;
    };
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let what = text
        .split("\n\nFor more information")
        .next()
        .unwrap_or(text);
    let place = format!(
        "{}, line {}: {}",
        file.path.display(),
        setting.line,
        what.trim_end()
    );
    A::command().error(error.kind(), place)
}

#[cfg(test)]
mod tests;
