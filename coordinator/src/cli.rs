//! What an operator says: flags over variables over the configuration file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use coordinator_core::coordinator::Settings;
use jiff::SignedDuration;
use kv_common::id::{Address, ClusterId};
use kv_daemon::VERSION;
use kv_daemon::config_file::Looks;
use kv_daemon::logging::LogFormat;
use kv_daemon::password_file::{self, PasswordFileError};
use kv_resp::{PASSWORD_MAX_BYTES, Password};
use tracing::level_filters::LevelFilter;

/// Hears heartbeats, decides who is primary, and tells everybody.
#[derive(Clone, Debug, Parser)]
#[command(name = "coordinator", version = VERSION)]
pub(crate) struct Arguments {
    /// Where to listen for nodes and clients; port 0 takes a free one
    #[arg(long, env = "KV_COORDINATOR_LISTEN", value_name = "ADDR")]
    #[arg(default_value = "127.0.0.1:7100")]
    pub(crate) listen: Address,

    /// Where to listen for Redis clients that ask a Sentinel; port 0 takes a free one [default: nowhere]
    #[arg(long, env = "KV_COORDINATOR_SENTINEL_LISTEN", value_name = "ADDR")]
    pub(crate) sentinel_listen: Option<Address>,

    /// What Redis clients call the cluster
    #[arg(long, env = "KV_COORDINATOR_SENTINEL_NAME", value_name = "NAME")]
    #[arg(default_value = "mymaster")]
    pub(crate) sentinel_name: String,

    /// Further addresses under which Redis clients reach a Sentinel of this cluster
    #[arg(
        long,
        env = "KV_COORDINATOR_SENTINEL_ANNOUNCE",
        value_name = "ADDR[,ADDR…]"
    )]
    #[arg(value_delimiter = ',', requires = "sentinel_listen")]
    pub(crate) sentinel_announce: Vec<Address>,

    /// The file with the password of Redis clients, which nobody but its owner may use [default: none]
    #[arg(
        long,
        env = "KV_COORDINATOR_SENTINEL_PASSWORD_FILE",
        value_name = "PATH"
    )]
    #[arg(requires = "sentinel_listen")]
    pub(crate) sentinel_password_file: Option<PathBuf>,

    /// Where to show the cluster, metrics and health over HTTP; port 0 takes a free one [default: nowhere]
    #[arg(long, env = "KV_COORDINATOR_HTTP_LISTEN", value_name = "ADDR")]
    pub(crate) http_listen: Option<Address>,

    /// The folder of the coordinator's data
    #[arg(long, env = "KV_COORDINATOR_DATA_DIR", value_name = "DIR")]
    #[arg(required = true)]
    pub(crate) data_dir: PathBuf,

    /// The cluster whose coordinator lost its data; for an empty folder, before kvclient admin adopt-views
    #[arg(long, env = "KV_COORDINATOR_CLUSTER_ID", value_name = "ID")]
    pub(crate) cluster_id: Option<ClusterId>,

    /// How many copies to keep of everything
    #[arg(long, env = "KV_COORDINATOR_COPIES", value_name = "N")]
    #[arg(default_value = "3", value_parser = clap::value_parser!(u8).range(1..=COPIES_MAX))]
    pub(crate) copies: u8,

    /// Copies that must hold a write before it is acknowledged [default: all but one, at least one]
    #[arg(long, env = "KV_COORDINATOR_MIN_IN_SYNC", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=COPIES_MAX))]
    pub(crate) min_in_sync: Option<u8>,

    /// Nodes to wait for before the first view is formed [default: as many as copies]
    #[arg(long, env = "KV_COORDINATOR_EXPECT", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) expect: Option<u8>,

    /// How often nodes are heard; all other periods follow from it
    #[arg(long, env = "KV_COORDINATOR_HEARTBEAT_INTERVAL", value_name = "TIME")]
    #[arg(default_value = "50ms")]
    pub(crate) heartbeat_interval: HeartbeatInterval,

    /// A TOML file with any of these settings, under the same names
    #[arg(long, env = "KV_COORDINATOR_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How log lines are written, to standard error
    #[arg(long, env = "KV_COORDINATOR_LOG_FORMAT", value_enum)]
    #[arg(default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, env = "KV_COORDINATOR_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: LevelFilter,

    #[command(flatten)]
    pub(crate) looks: Looks,
}

/// Every write waits for each of them.
const COPIES_MAX: i64 = 9;

/// `--heartbeat-interval`, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeartbeatInterval(u32);

/// A text that is no heartbeat interval.
#[derive(Debug)]
pub(crate) struct HeartbeatIntervalError;

impl fmt::Display for HeartbeatIntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a time from 10ms to 10s, such as 50ms")
    }
}

impl std::error::Error for HeartbeatIntervalError {}

impl FromStr for HeartbeatInterval {
    type Err = HeartbeatIntervalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration: SignedDuration = text.parse().map_err(|_| HeartbeatIntervalError)?;
        let interval_ms = u32::try_from(duration.as_millis()).unwrap_or(0);
        if (10..=10_000).contains(&interval_ms) {
            Ok(Self(interval_ms))
        } else {
            Err(HeartbeatIntervalError)
        }
    }
}

impl Arguments {
    /// What the core is to be started with; none when more copies are to hold a write than there
    /// are to be.
    pub(crate) fn settings(&self) -> Option<Settings> {
        let min_in_sync = self.min_in_sync.unwrap_or((self.copies - 1).max(1));
        (min_in_sync <= self.copies).then_some(Settings {
            copies: self.copies,
            min_in_sync,
            expect: self.expect.unwrap_or(self.copies),
            heartbeat_interval_ms: self.heartbeat_interval.0,
        })
    }
}

impl Arguments {
    /// What Redis clients have to say before anything else, read from its file.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn sentinel_password(&self) -> Result<Option<Password>, PasswordFileError> {
        let Some(path) = &self.sentinel_password_file else {
            return Ok(None);
        };
        let line = password_file::read(path, PASSWORD_MAX_BYTES)?;
        Ok(Password::new(&line))
    }

    /// What is said when no settings follow from the arguments.
    pub(crate) fn more_to_hold_than_copies(&self) -> clap::Error {
        let (need, copies) = (self.min_in_sync.unwrap_or(0), self.copies);
        let what = format!("--min-in-sync {need} is more than --copies {copies}");
        Self::command().error(ErrorKind::ArgumentConflict, what)
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;
    use coordinator_core::coordinator::Settings;
    use kv_daemon::config_file;
    use std::ffi::OsString;

    fn read(words: &[&str]) -> Result<Arguments, clap::Error> {
        let words = [&["coordinator", "--data-dir", "d"], words].concat();
        config_file::read(words.into_iter().map(OsString::from)).map(|read| read.arguments)
    }

    fn settings(words: &[&str]) -> Option<Settings> {
        read(words).expect("reads").settings()
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_not_said_follows_from_the_number_of_copies() {
        let of = |copies, min_in_sync, expect| {
            Some(Settings {
                copies,
                min_in_sync,
                expect,
                heartbeat_interval_ms: 50,
            })
        };
        assert_eq!(settings(&[]), of(3, 2, 3));
        assert_eq!(settings(&["--copies", "2"]), of(2, 1, 2));
        assert_eq!(settings(&["--copies", "1"]), of(1, 1, 1));
        assert_eq!(settings(&["--min-in-sync", "3"]), of(3, 3, 3));
        assert_eq!(settings(&["--min-in-sync", "4"]), None);
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for words in [
            ["--copies", "0"],
            ["--copies", "10"],
            ["--expect", "0"],
            ["--heartbeat-interval", "50"],
            ["--heartbeat-interval", "1ms"],
            ["--heartbeat-interval", "1h"],
            ["--listen", "nowhere"],
        ] {
            let error = read(&words).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
