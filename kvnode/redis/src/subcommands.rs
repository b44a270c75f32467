//! Which subcommands there are, and how many arguments each takes. A mistake in that is found before anything else
//! is done with a request, so that it is not queued in a transaction.

use bytes::Bytes;

use crate::fault::Fault;
use crate::table::{Spec, takes};

/// A command, and its subcommands with their arity: as that of a command, whose name counts too.
type Family = (&'static str, &'static [(&'static str, i64)]);

/// By command, all names in lower case.
const FAMILIES: &[Family] = &[
    (
        "client",
        &[
            ("getname", 2),
            ("getredir", 2),
            ("help", 2),
            ("id", 2),
            ("info", 2),
            ("kill", -3),
            ("list", -2),
            ("no-evict", 3),
            ("no-touch", 3),
            ("reply", 3),
            ("setinfo", 4),
            ("setname", 3),
        ],
    ),
    (
        "command",
        &[
            ("count", 2),
            ("docs", -2),
            ("getkeys", -4),
            ("help", 2),
            ("info", -2),
            ("list", -2),
        ],
    ),
    (
        "config",
        &[("get", -3), ("help", 2), ("rewrite", 2), ("set", -4)],
    ),
    ("function", &[("flush", -2), ("help", 2), ("list", -2)]),
    (
        "latency",
        &[("help", 2), ("history", 3), ("latest", 2), ("reset", -2)],
    ),
    ("memory", &[("help", 2), ("usage", -3)]),
    (
        "object",
        &[
            ("encoding", 3),
            ("freq", 3),
            ("help", 2),
            ("idletime", 3),
            ("refcount", 3),
        ],
    ),
    (
        "pubsub",
        &[("channels", -2), ("help", 2), ("numpat", 2), ("numsub", -2)],
    ),
    (
        "slowlog",
        &[("get", -2), ("help", 2), ("len", 2), ("reset", 2)],
    ),
];

/// Looks at the subcommand of a request, if its command has such.
pub(crate) fn check(spec: &Spec, arguments: &[Bytes]) -> Result<(), Fault> {
    let family = FAMILIES.iter().find(|(command, _)| *command == spec.name);
    let (Some((command, known)), Some(given)) = (family, arguments.get(1)) else {
        return Ok(());
    };
    let found = known
        .iter()
        .find(|(name, _)| given.eq_ignore_ascii_case(name.as_bytes()));
    match found {
        None => Err(Fault::unknown_subcommand(command, given)),
        Some((name, arity)) if !takes(*arity, arguments.len()) => {
            Err(Fault::arity(&format!("{command}|{name}")))
        }
        Some(_) => Ok(()),
    }
}
