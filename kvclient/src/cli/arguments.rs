//! What can be typed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use kv_common::id::Address;
use kv_daemon::VERSION;

use super::duration;
use super::import_redis::Place;
use super::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  the answer is no: no such key, a condition failed, copies differ
   2  wrong usage, or a file or a Redis that cannot be used
  65  imported, but some keys had to be left out
  69  nobody to ask: neither a coordinator nor a primary was reached in time
  70  an internal error
  75  the outcome is unknown: the write may or may not have taken effect
  77  refused; nothing was done";

/// Client of the replicated key-value store.
#[derive(Debug, Parser)]
#[command(name = "kvclient", version = VERSION, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A line that was typed in the shell.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    override_usage = "COMMAND [ARGUMENT]…",
    max_term_width = 100
)]
pub(crate) struct ShellLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What goes for every command.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Coordinators, tried in turn
    #[arg(
        long,
        global = true,
        env = "KV_COORDINATOR",
        value_name = "ADDR,…",
        value_delimiter = ','
    )]
    pub(crate) coordinator: Vec<Address>,
    /// Nodes to ask for the primary while no coordinator is there
    #[arg(long, global = true, value_name = "ADDR,…", value_delimiter = ',')]
    pub(crate) nodes: Vec<Address>,
    /// How long an operation may take, all attempts included
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = duration::parse_positive)]
    pub(crate) timeout: Duration,
    /// How results are printed; json: one object a line, bytes that are not UTF-8 as base64 under
    /// key_base64 and value_base64
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the value of a key, and a newline behind it
    Get(GetArguments),
    /// Set the value of a key
    Put(PutArguments),
    /// Remove keys; print how many were there
    Delete {
        /// The keys
        #[arg(value_name = "KEY", required = true, value_parser = bytes_parser())]
        keys: Vec<Bytes>,
    },
    /// Print how many of the keys are there; no if none is
    Exists {
        /// The keys
        #[arg(value_name = "KEY", required = true, value_parser = bytes_parser())]
        keys: Vec<Bytes>,
    },
    /// Add to a number; an absent key is 0
    Incr {
        /// The key
        #[arg(value_parser = bytes_parser())]
        key: Bytes,
        /// What to add
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
    },
    /// Print after how long a key goes by itself, or 'never'
    Ttl {
        /// The key
        #[arg(value_parser = bytes_parser())]
        key: Bytes,
    },
    /// Have a key go by itself
    Expire {
        /// The key
        #[arg(value_parser = bytes_parser())]
        key: Bytes,
        /// After how long: 10s, 500ms, 5m
        #[arg(value_name = "DURATION", value_parser = duration::parse)]
        after: Duration,
    },
    /// Have a key stay
    Persist {
        /// The key
        #[arg(value_parser = bytes_parser())]
        key: Bytes,
    },
    /// Print keys, one a line, in no order
    Scan {
        /// Only keys that match: * ? [a-z] [^a], \ escapes
        #[arg(long = "match", value_name = "GLOB", value_parser = bytes_parser())]
        pattern: Option<Bytes>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Print how many keys there are
    Count,
    /// Print the address of the primary
    Where {
        /// The key in question; one primary has all keys
        #[arg(value_parser = bytes_parser())]
        key: Option<Bytes>,
    },
    /// Show views, nodes, roles, positions, lag and copies under way
    Status {
        /// Again each second
        #[arg(long)]
        watch: bool,
    },
    /// Show the cluster live: nodes, roles, lag, copies, throughput, decisions
    Top {
        /// How long each picture stands
        #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse_positive)]
        interval: Duration,
        /// End after so many pictures [default: at Ctrl-C]
        #[arg(long, value_name = "N")]
        frames: Option<u32>,
    },
    /// Print what the coordinator decided, when and why
    Events {
        /// At most the newest so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
    },
    /// Put every pair of a file in the db.txt format, or every string of a running Redis
    Import(ImportArguments),
    /// Write all pairs to a file in the db.txt format
    Export {
        /// The file; - is standard output
        file: PathBuf,
    },
    /// Write all pairs at one position to a file that says when it is damaged
    Backup {
        /// The file
        file: PathBuf,
    },
    /// Bring a backup back into an empty cluster, and compare at the end
    Restore(RestoreArguments),
    /// Compare all copies at one position; no if they differ
    Digest,
    /// Type commands, with history and completion
    Shell,
    /// Choose from a menu: get, add or update, delete
    Menu,
    /// Make load and measure it
    Bench(BenchArguments),
    /// Give orders to the cluster
    #[command(subcommand)]
    Admin(AdminOrder),
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// The key
    #[arg(value_parser = bytes_parser())]
    pub(crate) key: Bytes,
    /// Print the value alone, without the newline
    #[arg(short = 'n', long)]
    pub(crate) no_newline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// The key
    #[arg(value_parser = bytes_parser())]
    pub(crate) key: Bytes,
    /// The value; - reads it from standard input, all bytes up to the end
    #[arg(allow_negative_numbers = true, value_parser = bytes_parser())]
    pub(crate) value: Bytes,
    /// Have the key go by itself after so long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    pub(crate) expires: Option<Duration>,
    /// Only if there is no such key
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Only if the key has this value
    #[arg(long, value_name = "OLD", conflicts_with = "if_absent", value_parser = bytes_parser())]
    pub(crate) if_equals: Option<Bytes>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file; - is standard input
    #[arg(required_unless_present = "redis", conflicts_with = "redis")]
    pub(crate) file: Option<PathBuf>,
    /// Take the strings of the Redis at this address instead, with their expiries; other types are left out. As
    /// redis://USER@HOST:PORT/N, for a user of its ACL and its database N
    #[arg(long, value_name = "ADDR")]
    pub(crate) redis: Option<Place>,
    /// A file that holds the password for it
    #[arg(long, value_name = "FILE", requires = "redis", conflicts_with = "file")]
    pub(crate) redis_password_file: Option<PathBuf>,
    /// Only keys that match, as Redis understands it
    #[arg(long = "match", value_name = "GLOB", value_parser = bytes_parser())]
    #[arg(requires = "redis", conflicts_with = "file")]
    pub(crate) pattern: Option<Bytes>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The backup
    pub(crate) file: PathBuf,
    /// Only read the file through, and say whether it is whole
    #[arg(long)]
    pub(crate) check: bool,
    /// Go on with a restore of the same file that broke off
    #[arg(long, conflicts_with = "check")]
    pub(crate) resume: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Clients that each wait for their answer before they ask again
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// Operations that each client has under way at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) pipeline: u32,
    /// The length of values, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub(crate) value_size: usize,
    /// How many of all operations are reads: 0 none, 1 all
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub(crate) read_share: f64,
    /// How many of all operations add 1 to a number; --verify finds those that count twice or not at all
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub(crate) increment_share: f64,
    /// Over how many keys operations are spread
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse_positive)]
    pub(crate) duration: Duration,
    /// What decides about keys and kinds of operations
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Remember what was acknowledged, and look for all of it at the end; no if something is wrong
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminOrder {
    /// Hand the primary role to a backup: the one named, or the one furthest ahead
    Switchover {
        /// Its id, name or address
        node: Option<String>,
    },
    /// Take a node out for maintenance: it hands over, leaves, and is not chosen again until undrained
    Drain {
        /// Its id, name or address
        node: String,
    },
    /// Let a node that was drained take part again
    Undrain {
        /// Its id, name or address
        node: String,
    },
    /// Have a node write its db.txt now: the one named, or the primary
    Dump {
        /// Its id, name or address
        node: Option<String>,
    },
    /// Forget a node that is away for good
    Forget {
        /// Its id, name or address
        node: String,
    },
    /// Form the first view with the nodes that are here
    Form {
        /// The node whose data counts, when several bring data
        #[arg(long, value_name = "NODE")]
        from: Option<String>,
    },
    /// Make a node primary although it may lack acknowledged writes; without more it only says which
    ForcePrimary {
        /// Its id, name or address
        node: String,
        /// Give up what it lacks
        #[arg(long, requires = "epoch")]
        accept_loss: bool,
        /// The epoch that is given up, as it was said before
        #[arg(long, value_name = "EPOCH", requires = "accept_loss")]
        epoch: Option<u64>,
    },
    /// Have a coordinator that lost its data go on from what the nodes know
    AdoptViews {
        /// How many nodes have data of this cluster; all of them have to be connected
        #[arg(long, value_name = "N", required_unless_present = "accept_loss")]
        node_count: Option<u16>,
        /// Do not wait for nodes that are gone for good, and give up what they may hold
        #[arg(long)]
        accept_loss: bool,
    },
}

fn bytes_parser() -> impl TypedValueParser<Value = Bytes> {
    OsStringValueParser::new().map(|text: OsString| Bytes::from(text.into_vec()))
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests;
