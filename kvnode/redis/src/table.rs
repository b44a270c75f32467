//! Every command: name, arity, flags, keys, function. COMMAND, the errors about names and arguments,
//! and the list in the README come from here.

use crate::call::Call;
use crate::fault::Fault;
use crate::plan::Plan;
use crate::{
    absent, bits, client, commands, configuration, debug, dump, expiries, info, keys, publish,
    roles, server, slow_log, strings, transaction,
};

/// The longest name of a command.
const NAME_MAX_BYTES: usize = 32;

/// What is true of a command, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const WRITE: Self = Self(1);
    pub(crate) const READONLY: Self = Self(1 << 1);
    pub(crate) const DENY_OOM: Self = Self(1 << 2);
    pub(crate) const ADMIN: Self = Self(1 << 3);
    pub(crate) const NO_SCRIPT: Self = Self(1 << 4);
    pub(crate) const LOADING: Self = Self(1 << 5);
    pub(crate) const STALE: Self = Self(1 << 6);
    pub(crate) const FAST: Self = Self(1 << 7);
    pub(crate) const NO_MULTI: Self = Self(1 << 8);
    pub(crate) const NO_AUTH: Self = Self(1 << 9);
    pub(crate) const PUBSUB: Self = Self(1 << 10);
    /// Taken from a RESP2 client that only listens. Not a flag that Redis tells.
    pub(crate) const LISTENING: Self = Self(1 << 14);
    /// Looked at at once even between MULTI and EXEC. Not a flag that Redis tells.
    pub(crate) const UNQUEUED: Self = Self(1 << 15);

    const TOLD: [(Self, &'static str); 11] = [
        (Self::WRITE, "write"),
        (Self::READONLY, "readonly"),
        (Self::DENY_OOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::NO_SCRIPT, "noscript"),
        (Self::LOADING, "loading"),
        (Self::STALE, "stale"),
        (Self::FAST, "fast"),
        (Self::NO_MULTI, "no_multi"),
        (Self::NO_AUTH, "no_auth"),
        (Self::PUBSUB, "pubsub"),
    ];

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// The names that COMMAND tells.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Self::TOLD
            .into_iter()
            .filter(move |(flag, _)| self.has(*flag))
            .map(|(_, name)| name)
    }
}

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The first; 0: none is.
    pub(crate) first: i64,
    /// The last; negative: from the end.
    pub(crate) last: i64,
    /// From one to the next.
    pub(crate) step: i64,
}

const fn keys_at(first: i64, last: i64, step: i64) -> Keys {
    Keys { first, last, step }
}

const NO_KEY: Keys = keys_at(0, 0, 0);
const ONE_KEY: Keys = keys_at(1, 1, 1);
const TWO_KEYS: Keys = keys_at(1, 2, 1);
const ALL_KEYS: Keys = keys_at(1, -1, 1);

/// One command.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Arguments with the name; negative: at least so many.
    pub(crate) arity: i64,
    pub(crate) flags: Flags,
    pub(crate) keys: Keys,
    pub(crate) group: &'static str,
    /// The version of Redis that brought it.
    pub(crate) since: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) run: fn(&mut Call<'_>) -> Result<Plan, Fault>,
}

impl Spec {
    pub(crate) fn takes(&self, arguments: usize) -> bool {
        takes(self.arity, arguments)
    }
}

/// Whether so many arguments, the name among them, are what an arity says.
pub(crate) fn takes(arity: i64, arguments: usize) -> bool {
    let arguments = i64::try_from(arguments).unwrap_or(i64::MAX);
    if arity >= 0 {
        arguments == arity
    } else {
        arguments >= -arity
    }
}

/// The command of that name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    if name.len() > NAME_MAX_BYTES {
        return None;
    }
    let mut lower = [0; NAME_MAX_BYTES];
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = TABLE
        .binary_search_by(|spec| spec.name.as_bytes().cmp(lower))
        .ok()?;
    TABLE.get(index)
}

const R: Flags = Flags::READONLY;
const RF: Flags = Flags::READONLY.and(Flags::FAST);
const W: Flags = Flags::WRITE;
const WF: Flags = Flags::WRITE.and(Flags::FAST);
const WO: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const WOF: Flags = WO.and(Flags::FAST);
const ANYTIME: Flags = Flags::LOADING.and(Flags::STALE);
const QUICK: Flags = ANYTIME.and(Flags::FAST);
const CONTROL: Flags = QUICK.and(Flags::NO_SCRIPT).and(Flags::UNQUEUED);
const LISTENS: Flags = ANYTIME
    .and(Flags::PUBSUB)
    .and(Flags::NO_SCRIPT)
    .and(Flags::NO_MULTI)
    .and(Flags::LISTENING);
const ADMIN: Flags = ANYTIME.and(Flags::ADMIN).and(Flags::NO_SCRIPT);

macro_rules! table {
    ($($name:literal $arity:literal $flags:expr, $keys:expr, $group:literal $since:literal $run:path, $summary:literal;)*) => {
        &[$(Spec {
            name: $name,
            arity: $arity,
            flags: $flags,
            keys: $keys,
            group: $group,
            since: $since,
            summary: $summary,
            run: $run,
        }),*]
    };
}

/// Sorted by name.
#[rustfmt::skip]
pub(crate) static TABLE: &[Spec] = table! {
    "append" 3 WOF, ONE_KEY, "string" "2.0.0" strings::append, "Appends to a value; an absent one counts as empty.";
    "auth" -2 QUICK.and(Flags::NO_SCRIPT).and(Flags::NO_AUTH), NO_KEY, "connection" "1.0.0" client::auth, "Authenticates the connection.";
    "bgsave" -1 ADMIN, NO_KEY, "server" "1.0.0" server::save_in_background, "Writes the key space as text in the background.";
    "bitcount" -2 R, ONE_KEY, "bitmap" "2.6.0" bits::count, "Counts the bits that are set.";
    "bitfield" -2 WO, ONE_KEY, "bitmap" "3.2.0" bits::fields, "Reads and writes numbers within a value.";
    "bitfield_ro" -2 RF, ONE_KEY, "bitmap" "6.0.0" bits::fields_read_only, "Reads numbers within a value.";
    "bitop" -4 WO, keys_at(2, -1, 1), "bitmap" "2.6.0" bits::combine, "Combines the bits of several values.";
    "bitpos" -3 R, ONE_KEY, "bitmap" "2.8.7" bits::position, "Finds the first bit that is set or clear.";
    "client" -2 QUICK.and(Flags::NO_SCRIPT), NO_KEY, "connection" "2.4.0" client::client, "Commands on connections.";
    "command" -1 ANYTIME, NO_KEY, "server" "2.8.13" commands::command, "Describes the commands.";
    "config" -2 ADMIN, NO_KEY, "server" "2.0.0" configuration::config, "Tells and changes settings.";
    "copy" -3 WO, TWO_KEYS, "generic" "6.2.0" keys::copy, "Copies a value to another key.";
    "dbsize" 1 RF, NO_KEY, "server" "1.0.0" keys::size, "Counts the keys.";
    "debug" -2 ADMIN, NO_KEY, "server" "1.0.0" debug::debug, "Holds its connection up; refused unless it is allowed.";
    "decr" 2 WOF, ONE_KEY, "string" "1.0.0" strings::decrement, "Takes one from a number.";
    "decrby" 3 WOF, ONE_KEY, "string" "1.0.0" strings::decrement_by, "Takes from a number.";
    "del" -2 W, ALL_KEYS, "generic" "1.0.0" keys::delete, "Removes keys.";
    "delex" -2 WF, ONE_KEY, "string" "8.4.0" strings::delete_conditionally, "Removes a key if its value is, or is not, a given one or one of a given digest.";
    "delifeq" 3 WF, ONE_KEY, "string" "9.0.0" strings::delete_if_equal, "Removes a key if its value is a given one.";
    "digest" 2 RF, ONE_KEY, "string" "8.4.0" strings::digest, "Reads the digest of a value.";
    "discard" 1 CONTROL, NO_KEY, "transactions" "2.0.0" transaction::discard, "Gives a transaction up.";
    "dump" 2 R, ONE_KEY, "generic" "2.6.0" dump::dump, "Reads a value in the form in which Redis hands it on.";
    "echo" 2 QUICK, NO_KEY, "connection" "1.0.0" client::echo, "Answers with its argument.";
    "exec" 1 CONTROL, NO_KEY, "transactions" "1.2.0" transaction::exec, "Executes a transaction.";
    "exists" -2 RF, ALL_KEYS, "generic" "1.0.0" keys::exists, "Counts which of some keys are there.";
    "expire" -3 WF, ONE_KEY, "generic" "1.0.0" expiries::expire, "Lets a key go after some seconds.";
    "expireat" -3 WF, ONE_KEY, "generic" "1.2.0" expiries::expire_at, "Lets a key go at a time in seconds.";
    "expiretime" 2 RF, ONE_KEY, "generic" "7.0.0" expiries::expiry_time, "Tells when a key goes, in seconds.";
    "failover" -1 ADMIN, NO_KEY, "server" "6.2.0" roles::failover, "Hands the primary role to a replica.";
    "flushall" -1 W, NO_KEY, "server" "1.0.0" keys::flush, "Removes all keys.";
    "flushdb" -1 W, NO_KEY, "server" "1.0.0" keys::flush, "Removes all keys.";
    "function" -2 Flags::NO_SCRIPT, NO_KEY, "scripting" "7.0.0" absent::function, "Tells that there are no functions.";
    "get" 2 RF, ONE_KEY, "string" "1.0.0" strings::get, "Reads a value.";
    "getbit" 3 RF, ONE_KEY, "bitmap" "2.2.0" bits::get, "Reads one bit of a value.";
    "getdel" 2 WF, ONE_KEY, "string" "6.2.0" strings::get_and_delete, "Reads a value and removes its key.";
    "getex" -2 WF, ONE_KEY, "string" "6.2.0" strings::get_and_expire, "Reads a value and changes when its key goes.";
    "getrange" 4 R, ONE_KEY, "string" "2.4.0" strings::get_range, "Reads a part of a value.";
    "getset" 3 WOF, ONE_KEY, "string" "1.0.0" strings::get_and_set, "Sets a value and answers with the former one.";
    "hello" -1 QUICK.and(Flags::NO_SCRIPT).and(Flags::NO_AUTH), NO_KEY, "connection" "6.0.0" client::hello, "Agrees on the version of the protocol.";
    "incr" 2 WOF, ONE_KEY, "string" "1.0.0" strings::increment, "Adds one to a number.";
    "incrby" 3 WOF, ONE_KEY, "string" "1.0.0" strings::increment_by, "Adds to a number.";
    "incrbyfloat" 3 WOF, ONE_KEY, "string" "2.6.0" strings::increment_by_decimal, "Adds to a decimal number.";
    "info" -1 ANYTIME, NO_KEY, "server" "1.0.0" info::info, "Tells about the node.";
    "keys" 2 R, NO_KEY, "generic" "1.0.0" keys::keys, "Lists the keys that match a pattern.";
    "lastsave" 1 QUICK, NO_KEY, "server" "1.0.0" server::last_save, "Tells when the key space was written as text.";
    "latency" -2 ADMIN, NO_KEY, "server" "2.8.13" absent::latency, "Tells that no samples of latency are taken.";
    "lcs" -3 R, TWO_KEYS, "string" "7.0.0" strings::lcs, "Finds what two values have in common.";
    "memory" -2 R, NO_KEY, "server" "4.0.0" keys::memory, "Tells about how much memory a key takes.";
    "mget" -2 RF, ALL_KEYS, "string" "1.0.0" strings::get_many, "Reads several values.";
    "mset" -3 WO, keys_at(1, -1, 2), "string" "1.0.1" strings::set_many, "Sets several values.";
    "msetnx" -3 WO, keys_at(1, -1, 2), "string" "1.0.1" strings::set_many_if_absent, "Sets several values if none of the keys is there.";
    "multi" 1 CONTROL, NO_KEY, "transactions" "1.2.0" transaction::multi, "Begins a transaction.";
    "object" -2 R, keys_at(2, 2, 1), "generic" "2.2.3" keys::object, "Tells how a value is kept.";
    "persist" 2 WF, ONE_KEY, "generic" "2.2.0" expiries::persist, "Lets a key stay.";
    "pexpire" -3 WF, ONE_KEY, "generic" "2.6.0" expiries::expire_ms, "Lets a key go after some milliseconds.";
    "pexpireat" -3 WF, ONE_KEY, "generic" "2.6.0" expiries::expire_at_ms, "Lets a key go at a time in milliseconds.";
    "pexpiretime" 2 RF, ONE_KEY, "generic" "7.0.0" expiries::expiry_time_ms, "Tells when a key goes, in milliseconds.";
    "ping" -1 QUICK.and(Flags::LISTENING), NO_KEY, "connection" "1.0.0" client::ping, "Answers.";
    "psetex" 4 WO, ONE_KEY, "string" "2.6.0" strings::set_for_milliseconds, "Sets a value that goes after some milliseconds.";
    "psubscribe" -2 LISTENS, NO_KEY, "pubsub" "2.0.0" publish::subscribe_patterns, "Listens to channels that match patterns.";
    "pttl" 2 RF, ONE_KEY, "generic" "2.6.0" expiries::ttl_ms, "Tells after how many milliseconds a key goes.";
    "publish" 3 QUICK.and(Flags::PUBSUB), NO_KEY, "pubsub" "2.0.0" publish::publish, "Tells something to the clients of this node that listen.";
    "pubsub" -2 ANYTIME.and(Flags::PUBSUB), NO_KEY, "pubsub" "2.8.0" publish::pubsub, "Tells who listens to what.";
    "punsubscribe" -1 LISTENS, NO_KEY, "pubsub" "2.0.0" publish::unsubscribe_patterns, "Listens no more to channels that match patterns.";
    "quit" -1 CONTROL.and(Flags::LISTENING).and(Flags::NO_AUTH), NO_KEY, "connection" "1.0.0" client::quit, "Closes the connection.";
    "randomkey" 1 R, NO_KEY, "generic" "1.0.0" keys::random, "Names any key.";
    "readonly" 1 QUICK, NO_KEY, "cluster" "3.0.0" client::read_replica, "Lets this connection read from a replica.";
    "readwrite" 1 QUICK, NO_KEY, "cluster" "3.0.0" client::read_primary, "Lets this connection read from the primary alone.";
    "rename" 3 W, TWO_KEYS, "generic" "1.0.0" keys::rename, "Gives a key another name.";
    "renamenx" 3 WF, TWO_KEYS, "generic" "1.0.0" keys::rename_if_absent, "Gives a key another name if that is free.";
    "replicaof" 3 ADMIN, NO_KEY, "server" "5.0.0" roles::replica_of, "Refused: the coordinator decides about roles.";
    "reset" 1 CONTROL.and(Flags::LISTENING).and(Flags::NO_AUTH), NO_KEY, "connection" "6.2.0" client::reset, "Takes the connection back to its beginning.";
    "restore" -4 WO, ONE_KEY, "generic" "2.6.0" dump::restore, "Sets a value in the form in which Redis hands it on.";
    "role" 1 QUICK, NO_KEY, "server" "2.8.12" info::role, "Tells the role of the node.";
    "save" 1 ADMIN.and(Flags::NO_MULTI), NO_KEY, "server" "1.0.0" server::save, "Writes the key space as text.";
    "scan" -2 R, NO_KEY, "generic" "2.8.0" keys::scan, "Walks all keys.";
    "select" 2 QUICK, NO_KEY, "connection" "1.0.0" client::select, "Chooses the database; there is one, 0.";
    "set" -3 WO, ONE_KEY, "string" "1.0.0" strings::set, "Sets a value.";
    "setbit" 4 WO, ONE_KEY, "bitmap" "2.2.0" bits::set, "Sets or clears one bit of a value.";
    "setex" 4 WO, ONE_KEY, "string" "2.0.0" strings::set_for_seconds, "Sets a value that goes after some seconds.";
    "setnx" 3 WOF, ONE_KEY, "string" "1.0.0" strings::set_if_absent, "Sets a value if the key is not there.";
    "setrange" 4 WO, ONE_KEY, "string" "2.2.0" strings::set_range, "Writes over a part of a value.";
    "shutdown" -1 ADMIN.and(Flags::NO_MULTI), NO_KEY, "server" "1.0.0" roles::shutdown, "Stops the node; a primary hands over first.";
    "slaveof" 3 ADMIN, NO_KEY, "server" "1.0.0" roles::replica_of, "Refused: the coordinator decides about roles.";
    "slowlog" -2 ADMIN, NO_KEY, "server" "2.2.12" slow_log::slow_log, "Tells which requests were slow.";
    "strlen" 2 RF, ONE_KEY, "string" "2.2.0" strings::length, "Tells the length of a value.";
    "subscribe" -2 LISTENS, NO_KEY, "pubsub" "2.0.0" publish::subscribe, "Listens to channels.";
    "substr" 4 R, ONE_KEY, "string" "1.0.0" strings::get_range, "Reads a part of a value.";
    "time" 1 QUICK, NO_KEY, "server" "2.6.0" server::time, "Tells the time.";
    "touch" -2 RF, ALL_KEYS, "generic" "3.2.1" keys::exists, "Counts which of some keys are there.";
    "ttl" 2 RF, ONE_KEY, "generic" "1.0.0" expiries::ttl, "Tells after how many seconds a key goes.";
    "type" 2 RF, ONE_KEY, "generic" "1.0.0" keys::kind, "Tells what kind of value a key has.";
    "unlink" -2 WF, ALL_KEYS, "generic" "4.0.0" keys::delete, "Removes keys.";
    "unsubscribe" -1 LISTENS, NO_KEY, "pubsub" "2.0.0" publish::unsubscribe, "Listens no more to channels.";
    "unwatch" 1 QUICK.and(Flags::NO_SCRIPT), NO_KEY, "transactions" "2.2.0" transaction::unwatch, "Forgets which keys are watched.";
    "wait" 3 Flags::NONE, NO_KEY, "generic" "3.0.0" server::wait, "Counts the other copies that hold all that was written.";
    "waitaof" 4 Flags::NONE, NO_KEY, "generic" "7.2.0" server::wait_for_disks, "Counts the disks that hold all that was written.";
    "watch" -2 CONTROL, ALL_KEYS, "transactions" "2.2.0" transaction::watch, "Lets the next transaction fail if a key changes before it.";
};

#[cfg(test)]
mod tests {
    use super::{NAME_MAX_BYTES, TABLE, find};

    #[test]
    fn every_command_is_found_by_its_name() {
        for spec in TABLE {
            assert!(spec.name.len() <= NAME_MAX_BYTES);
            let upper = spec.name.to_ascii_uppercase();
            let found = find(upper.as_bytes()).map(|found| found.name);
            assert_eq!(found, Some(spec.name));
        }
        assert!(find(b"").is_none());
        assert!(find(&[b'a'; 100]).is_none());
    }

    #[test]
    fn the_readme_lists_every_command() {
        let readme = include_str!("../../../README.md");
        for spec in TABLE {
            let name = format!("`{}`", spec.name.to_ascii_uppercase());
            assert!(readme.contains(&name), "the README does not list {name}");
        }
    }

    #[test]
    fn the_readme_lists_nothing_else() {
        let readme = include_str!("../../../README.md");
        let rows = readme.lines().skip_while(|line| *line != "| commands | |");
        let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
        let mut listed = 0;
        for row in rows.filter(|row| !row.starts_with("| Sentinel ")) {
            // Behind the first semicolon stand remarks, which name options as well.
            let commands = row.split(';').next().unwrap_or(row);
            for name in commands.split('`').skip(1).step_by(2) {
                assert!(find(name.as_bytes()).is_some(), "there is no {name}");
                listed += 1;
            }
        }
        assert!(listed > 80, "only {listed} were found in the README");
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(TABLE.is_sorted_by(|one, next| one.name < next.name));
    }
}
