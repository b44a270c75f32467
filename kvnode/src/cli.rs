//! What an operator says: flags over variables over the configuration file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Command, CommandFactory, Parser, ValueEnum};
use jiff::SignedDuration;
use kv_common::id::{Address, AddressError};
use kv_common::message::control::FsyncMode;
use kv_daemon::VERSION;
use kv_daemon::config_file::Looks;
use kv_daemon::logging::LogFormat;
use kv_daemon::password_file::{self, PasswordFileError};
use kv_resp::{PASSWORD_MAX_BYTES, Password};
use kvnode_redis::DebugAccess;
use tracing::level_filters::LevelFilter;

use crate::tool;

/// Holds a full copy of the key space, as primary or backup.
#[derive(Clone, Debug, Parser)]
#[command(name = "kvnode", version = VERSION, after_help = tool::HELP)]
pub(crate) struct Arguments {
    /// Where the coordinator is reached
    #[arg(
        long,
        env = "KVNODE_COORDINATOR",
        value_name = "ADDR[,ADDR…]",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) coordinator: Vec<Address>,

    /// Where to listen for clients and other nodes; port 0 takes a free one
    #[arg(long, env = "KVNODE_LISTEN", value_name = "ADDR")]
    #[arg(default_value = "127.0.0.1:7200")]
    pub(crate) listen: Address,

    /// Where clients and other nodes reach this node [default: where it listens]
    #[arg(long, env = "KVNODE_ADVERTISE", value_name = "ADDR", value_parser = reachable_address)]
    pub(crate) advertise: Option<Address>,

    /// Where to listen for Redis clients; port 0 takes a free one [default: nowhere]
    #[arg(long, env = "KVNODE_REDIS_LISTEN", value_name = "ADDR")]
    pub(crate) redis_listen: Option<Address>,

    /// Where Redis clients reach this node [default: where it listens for them]
    #[arg(long, env = "KVNODE_REDIS_ADVERTISE", value_name = "ADDR")]
    #[arg(requires = "redis_listen", value_parser = reachable_address)]
    pub(crate) redis_advertise: Option<Address>,

    /// The file with the password of Redis clients, which nobody but its owner may use [default: none]
    #[arg(long, env = "KVNODE_REDIS_PASSWORD_FILE", value_name = "PATH")]
    #[arg(requires = "redis_listen")]
    pub(crate) redis_password_file: Option<PathBuf>,

    /// Who may use DEBUG SLEEP, which answers late: nobody, Redis clients on this machine, or all
    #[arg(long, env = "KVNODE_REDIS_ENABLE_DEBUG_COMMAND", value_enum)]
    #[arg(default_value = "no")]
    pub(crate) redis_enable_debug_command: EnableDebugCommand,

    /// Where to show metrics and health over HTTP; port 0 takes a free one [default: nowhere]
    #[arg(long, env = "KVNODE_HTTP_LISTEN", value_name = "ADDR")]
    pub(crate) http_listen: Option<Address>,

    /// The folder of this node's data
    #[arg(long, env = "KVNODE_DATA_DIR", value_name = "DIR", required = true)]
    pub(crate) data_dir: PathBuf,

    /// What people call this node [default: the default name, else the advertised address]
    #[arg(long, env = "KVNODE_NAME", value_parser = node_name)]
    pub(crate) name: Option<String>,

    /// What this node is called when no name is set, not even in the file; for service units
    #[arg(long, env = "KVNODE_DEFAULT_NAME", value_name = "NAME", value_parser = node_name)]
    pub(crate) default_name: Option<String>,

    /// When a write counts as held: on disk, or in memory with the disk at most a second behind
    #[arg(long, env = "KVNODE_FSYNC", value_enum, default_value = "always")]
    pub(crate) fsync: Fsync,

    /// The key space as text: read at the first start, written at a stop [default: DIR/db.txt]
    #[arg(long, env = "KVNODE_DB_TXT", value_name = "PATH")]
    pub(crate) db_txt: Option<PathBuf>,

    /// How often to write it while the node runs; 0: only when asked and at a stop
    #[arg(long, env = "KVNODE_DUMP_INTERVAL", value_name = "TIME")]
    #[arg(default_value = "5m")]
    pub(crate) dump_interval: DumpInterval,

    /// A TOML file with any of these settings, under the same names
    #[arg(long, env = "KVNODE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How log lines are written, to standard error
    #[arg(long, env = "KVNODE_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, env = "KVNODE_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: LevelFilter,

    #[command(flatten)]
    pub(crate) looks: Looks,
}

/// The longest name that a table still has room for, in characters.
const NAME_MAX_CHARACTERS: usize = 64;

/// An address that others can call.
fn reachable_address(text: &str) -> Result<Address, String> {
    let address: Address = text
        .parse()
        .map_err(|error: AddressError| error.to_string())?;
    let unspecified = ["0.0.0.0:", "[::]:"];
    if text.ends_with(":0") || unspecified.iter().any(|host| text.starts_with(host)) {
        return Err("others cannot reach that; name a host and a port".to_owned());
    }
    Ok(address)
}

fn node_name(text: &str) -> Result<String, String> {
    let characters = text.chars().count();
    if characters == 0 || characters > NAME_MAX_CHARACTERS || text.contains(char::is_control) {
        return Err(format!(
            "a name has 1 to {NAME_MAX_CHARACTERS} printable characters"
        ));
    }
    Ok(text.to_owned())
}

/// `--fsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fsync {
    /// On disk.
    Always,
    /// In memory, on disk within a second.
    Everysec,
}

impl From<Fsync> for FsyncMode {
    fn from(fsync: Fsync) -> Self {
        match fsync {
            Fsync::Always => Self::Always,
            Fsync::Everysec => Self::EverySec,
        }
    }
}

/// `--redis-enable-debug-command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnableDebugCommand {
    /// Nobody.
    No,
    /// Clients on the same machine.
    Local,
    /// Everybody.
    Yes,
}

impl From<EnableDebugCommand> for DebugAccess {
    fn from(enable: EnableDebugCommand) -> Self {
        match enable {
            EnableDebugCommand::No => Self::No,
            EnableDebugCommand::Local => Self::Local,
            EnableDebugCommand::Yes => Self::Yes,
        }
    }
}

/// `--dump-interval`; none: never by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DumpInterval(pub(crate) Option<Duration>);

/// A text that is no interval.
#[derive(Debug)]
pub(crate) struct DumpIntervalError;

impl fmt::Display for DumpIntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a time such as 30s or 5m, or 0 for never")
    }
}

impl std::error::Error for DumpIntervalError {}

impl FromStr for DumpInterval {
    type Err = DumpIntervalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(Self(None));
        }
        let duration: SignedDuration = text.parse().map_err(|_| DumpIntervalError)?;
        let duration = Duration::try_from(duration).map_err(|_| DumpIntervalError)?;
        Ok(Self((!duration.is_zero()).then_some(duration)))
    }
}

/// The command line as manual pages describe it: the daemon, and the tools beside it.
pub(crate) fn command_with_tools() -> Command {
    tool::subcommands()
        .into_iter()
        .fold(Arguments::command(), Command::subcommand)
}

impl Arguments {
    /// What people call this node, which others reach at `address`.
    pub(crate) fn name(&self, address: &Address) -> String {
        let said = self.name.as_ref().or(self.default_name.as_ref());
        said.cloned().unwrap_or_else(|| address.to_string())
    }

    /// Where `db.txt` is.
    pub(crate) fn db_txt(&self) -> PathBuf {
        self.db_txt
            .clone()
            .unwrap_or_else(|| self.data_dir.join("db.txt"))
    }

    /// What Redis clients have to say before anything else, read from its file.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn redis_password(&self) -> Result<Option<Password>, PasswordFileError> {
        let Some(path) = &self.redis_password_file else {
            return Ok(None);
        };
        let line = password_file::read(path, PASSWORD_MAX_BYTES)?;
        Ok(Password::new(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, DumpInterval};
    use clap::CommandFactory;
    use kv_daemon::config_file;
    use std::ffi::OsString;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn read(words: &[&str]) -> Result<Arguments, clap::Error> {
        let words = [&["kvnode"], words].concat();
        config_file::read(words.into_iter().map(OsString::from)).map(|read| read.arguments)
    }

    fn read_with_file(content: &str, more: &[&str]) -> Result<Arguments, clap::Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kvnode.toml");
        fs::write(&path, content).expect("writes");
        let config = format!("--config={}", path.display());
        read(&[&[config.as_str()], more].concat())
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let read = read(&["--coordinator", "a:1,b:2", "--data-dir", "d"]).expect("reads");
        assert_eq!(read.coordinator.len(), 2);
        assert_eq!(read.listen.to_string(), "127.0.0.1:7200");
        assert_eq!(read.db_txt(), Path::new("d").join("db.txt"));
        let five_minutes = Duration::from_secs(300);
        assert_eq!(read.dump_interval, DumpInterval(Some(five_minutes)));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let file = "coordinator = ['a:1', 'b:2']\nlisten = '127.0.0.1:1'\ndata-dir = 'd'\n";
        let read = read_with_file(file, &["--listen", "127.0.0.1:2"]).expect("reads");
        assert_eq!(read.listen.to_string(), "127.0.0.1:2");
        assert_eq!(read.coordinator.len(), 2);
    }

    #[test]
    fn what_others_are_to_use_makes_sense() {
        let with = |word: &str| read(&["--coordinator", "a:1", "--data-dir", "d", word]);
        assert!(with("--advertise=db-1.example:7200").is_ok());
        for word in [
            "--advertise=127.0.0.1:0",
            "--advertise=0.0.0.0:7200",
            "--advertise=[::]:7200",
            "--name=",
            "--name=two\nlines",
        ] {
            let error = with(word).expect_err(word);
            assert_eq!(error.exit_code(), 2, "{word}");
        }
        let redis = ["--redis-listen=a:1", "--redis-advertise=0.0.0.0:6379"];
        let words = [&["--coordinator", "a:1", "--data-dir", "d"], &redis[..]].concat();
        assert_eq!(read(&words).expect_err("refused").exit_code(), 2);
        let long = format!("--name={}", "x".repeat(65));
        assert!(with(&long).is_err() && with(&long.replacen('x', "", 1)).is_ok());
    }

    #[test]
    fn a_default_name_gives_way_to_a_name_from_anywhere() {
        let name = |file: &str, more: &[&str]| {
            let file = format!("coordinator = 'a:1'\ndata-dir = 'd'\n{file}");
            let read = read_with_file(&file, more).expect("reads");
            read.name(&"10.0.0.2:7200".parse().expect("an address"))
        };
        let instance = "--default-name=node-2";
        assert_eq!(name("", &[]), "10.0.0.2:7200");
        assert_eq!(name("", &[instance]), "node-2");
        assert_eq!(name("name = 'two'", &[instance]), "two");
        assert_eq!(name("name = 'two'", &[instance, "--name=zwei"]), "zwei");
    }

    #[test]
    fn an_interval_has_a_unit_or_is_off() {
        let off = DumpInterval(None);
        assert_eq!("0".parse::<DumpInterval>().expect("parses"), off);
        assert_eq!("0s".parse::<DumpInterval>().expect("parses"), off);
        assert!("5".parse::<DumpInterval>().is_err());
        assert!("-5m".parse::<DumpInterval>().is_err());
        assert!("soon".parse::<DumpInterval>().is_err());
    }
}
