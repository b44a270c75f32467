//! Errors in the words of Redis: clients look for them.

use std::borrow::Cow;

use bytes::Bytes;
use kv_common::refusal::Refusal;
use kv_resp::{AuthError, Value, unknown_command};

/// How much of a request an error shows.
const SHOWN_BYTES: usize = 128;

/// Why a node that is not primary does not do something, by what that is.
const READ_ONLY: &str = "READONLY You can't write against a read only replica.";
const MASTER_DOWN: &str =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// Why a request comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(Cow<'static, str>);

impl Fault {
    pub(crate) const SYNTAX: Self = Self(Cow::Borrowed("ERR syntax error"));
    pub(crate) const NO_INTEGER: Self =
        Self(Cow::Borrowed("ERR value is not an integer or out of range"));

    pub(crate) const READ_ONLY: Self = Self(Cow::Borrowed(READ_ONLY));
    pub(crate) const MASTER_DOWN: Self = Self(Cow::Borrowed(MASTER_DOWN));
    pub(crate) const LOADING: Self = Self(Cow::Borrowed(LOADING));

    pub(crate) const fn text(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    pub(crate) fn with(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// What EXEC answers when it is refused for this reason.
    pub(crate) fn ends_transaction(&self) -> Self {
        let why = self.0.strip_prefix("ERR ").unwrap_or(&self.0);
        Self::with(format!("EXECABORT Transaction discarded because of: {why}"))
    }

    pub(crate) fn arity(name: &str) -> Self {
        Self::with(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    pub(crate) fn expiry(name: &str) -> Self {
        Self::with(format!("ERR invalid expire time in '{name}' command"))
    }

    pub(crate) fn unknown_command(arguments: &[Bytes]) -> Self {
        Self::with(unknown_command(arguments))
    }

    pub(crate) fn unknown_subcommand(command: &str, subcommand: &[u8]) -> Self {
        let upper = command.to_ascii_uppercase();
        let subcommand = shown(subcommand);
        Self::with(format!(
            "ERR unknown subcommand '{subcommand}'. Try {upper} HELP."
        ))
    }

    /// There is such a subcommand, and it takes other arguments.
    pub(crate) fn wrong_subcommand(command: &str, subcommand: &[u8]) -> Self {
        let upper = command.to_ascii_uppercase();
        let subcommand = shown(subcommand);
        Self::with(format!(
            "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try {upper} HELP."
        ))
    }
}

/// A word of a request as errors show it: up to a zero byte, and not too much of it.
pub(crate) fn shown(word: &[u8]) -> String {
    let word = word.split(|byte| *byte == 0).next().unwrap_or(word);
    String::from_utf8_lossy(&word[..word.len().min(SHOWN_BYTES)]).into_owned()
}

impl From<AuthError> for Fault {
    fn from(error: AuthError) -> Self {
        Self::with(error.to_string())
    }
}

impl From<Fault> for Value {
    fn from(fault: Fault) -> Self {
        Self::Error(fault.0)
    }
}

/// What a client is told when the core refused. Whether the command may write decides between two
/// answers of a node that is not primary, as in Redis.
#[must_use]
pub fn refused(refusal: &Refusal, writes: bool) -> Value {
    let text = match refusal {
        Refusal::NotPrimary { .. } if writes => READ_ONLY,
        Refusal::NotPrimary { .. } | Refusal::LeaseLost => MASTER_DOWN,
        Refusal::TakingOver { .. } => LOADING,
        Refusal::TooFewInSync { .. } => "NOREPLICAS Not enough good replicas to write.",
        Refusal::NotANumber => "ERR value is not an integer or out of range",
        Refusal::Overflow => "ERR increment or decrement would overflow",
        Refusal::NotADecimal => "ERR value is not a valid float",
        Refusal::DecimalOverflow => "ERR increment would produce NaN or Infinity",
        Refusal::ValueTooLong { .. } => {
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        }
        Refusal::DiskFailed { cause } => {
            return Value::error(format!(
                "MISCONF the node's disk fails, so it takes no writes: {cause}"
            ));
        }
        Refusal::Overloaded { .. } => return Value::error(format!("BUSY {refusal}")),
        other => return Value::error(format!("ERR {other}")),
    };
    Value::error(text)
}
