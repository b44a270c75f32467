//! Errors in the words of Redis: clients look for them.

use std::borrow::Cow;

use bytes::Bytes;
use kv_common::refusal::Refusal;
use kv_resp::Value;

/// How much of a request an error shows.
const SHOWN_BYTES: usize = 128;

/// Why a request comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(Cow<'static, str>);

impl Fault {
    pub(crate) const SYNTAX: Self = Self(Cow::Borrowed("ERR syntax error"));
    pub(crate) const NO_INTEGER: Self =
        Self(Cow::Borrowed("ERR value is not an integer or out of range"));

    pub(crate) const fn text(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    pub(crate) fn with(text: String) -> Self {
        Self(Cow::Owned(text))
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
        let name = arguments.first().map_or(&[][..], |name| &name[..]);
        let mut text = format!(
            "ERR unknown command '{}', with args beginning with: ",
            shown(name)
        );
        let begin = text.len();
        for argument in arguments.iter().skip(1) {
            if text.len() - begin >= SHOWN_BYTES {
                break;
            }
            let left = SHOWN_BYTES - (text.len() - begin);
            let argument = &argument[..argument.len().min(left)];
            text.push_str(&format!("'{}' ", String::from_utf8_lossy(argument)));
        }
        Self::with(text)
    }

    pub(crate) fn unknown_subcommand(command: &str, subcommand: &[u8]) -> Self {
        let upper = command.to_ascii_uppercase();
        let subcommand = shown(subcommand);
        Self::with(format!(
            "ERR unknown subcommand '{subcommand}'. Try {upper} HELP."
        ))
    }
}

fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(SHOWN_BYTES)]).into_owned()
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
        Refusal::NotPrimary { .. } if writes => {
            "READONLY You can't write against a read only replica."
        }
        Refusal::NotPrimary { .. } | Refusal::LeaseLost => {
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
        }
        Refusal::TakingOver { .. } => "LOADING Redis is loading the dataset in memory",
        Refusal::TooFewInSync { .. } => "NOREPLICAS Not enough good replicas to write.",
        Refusal::NotANumber => "ERR value is not an integer or out of range",
        Refusal::Overflow => "ERR increment or decrement would overflow",
        Refusal::NotADecimal => "ERR value is not a valid float",
        Refusal::DecimalOverflow => "ERR increment would produce NaN or Infinity",
        Refusal::NoSuchKey => "ERR no such key",
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
