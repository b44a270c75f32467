//! The newest requests that took long, and SLOWLOG, which tells them.

use std::collections::VecDeque;

use bytes::Bytes;
use kv_common::time::UnixMs;
use kv_resp::{Value, integer};

use crate::action::Action;
use crate::call::Call;
use crate::fault::Fault;
use crate::help::help;
use crate::plan::Plan;
use crate::settings::Settings;

/// What is kept of a request: so many arguments, and so many bytes of each, as Redis keeps them.
const ARGUMENTS_KEPT: usize = 32;
const ARGUMENT_BYTES_KEPT: usize = 128;
/// Entries that SLOWLOG GET tells when it is not told how many.
const TOLD: usize = 10;
/// Requests that hold a password; nothing of them is kept.
const SECRET: [&[u8]; 2] = [b"auth", b"hello"];

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The command's name first.
    pub arguments: &'a [Bytes],
    /// How long it took.
    pub micros: u64,
    /// When it was answered.
    pub at: UnixMs,
    /// Where the client is.
    pub peer: &'a str,
    /// What the client calls itself.
    pub name: &'a Bytes,
}

/// The newest requests that took long.
#[derive(Debug, Default)]
pub struct SlowLog {
    /// The newest first.
    entries: VecDeque<Entry>,
    next_id: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    at: UnixMs,
    micros: u64,
    arguments: Vec<Bytes>,
    peer: String,
    name: Bytes,
}

impl SlowLog {
    /// Remembers a request if it was slow.
    pub fn note(&mut self, settings: &Settings, answered: &Answered<'_>) {
        let is_secret = answered.arguments.first().is_some_and(|name| {
            SECRET
                .iter()
                .any(|secret| name.eq_ignore_ascii_case(secret))
        });
        if is_secret || !settings.is_slow(answered.micros) {
            return;
        }
        self.entries.push_front(Entry {
            id: self.next_id,
            at: answered.at,
            micros: answered.micros,
            arguments: shortened(answered.arguments),
            peer: answered.peer.to_owned(),
            name: answered.name.clone(),
        });
        self.next_id += 1;
        self.entries.truncate(settings.slow_requests);
    }

    pub(crate) fn forget(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn keep(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    fn told(&self, count: usize) -> Value {
        Value::Array(self.entries.iter().take(count).map(Entry::told).collect())
    }
}

impl Entry {
    fn told(&self) -> Value {
        let arguments = self.arguments.iter().cloned().map(Value::Bulk);
        Value::Array(vec![
            Value::count(self.id),
            Value::count(self.at.0 / 1000),
            Value::count(self.micros),
            Value::Array(arguments.collect()),
            Value::bulk(&self.peer),
            Value::Bulk(self.name.clone()),
        ])
    }
}

/// The arguments, copied: a part of a large one would keep all of it.
fn shortened(arguments: &[Bytes]) -> Vec<Bytes> {
    let kept = match arguments.len() {
        count @ ..=ARGUMENTS_KEPT => count,
        _ => ARGUMENTS_KEPT - 1,
    };
    let mut kept: Vec<Bytes> = arguments.iter().take(kept).map(shortened_one).collect();
    let left = arguments.len() - kept.len();
    if left > 0 {
        kept.push(format!("... ({left} more arguments)").into());
    }
    kept
}

fn shortened_one(argument: &Bytes) -> Bytes {
    if argument.len() <= ARGUMENT_BYTES_KEPT {
        return Bytes::copy_from_slice(argument);
    }
    let left = argument.len() - ARGUMENT_BYTES_KEPT;
    let mut kept = argument[..ARGUMENT_BYTES_KEPT].to_vec();
    kept.extend_from_slice(format!("... ({left} more bytes)").as_bytes());
    kept.into()
}

const HELP: &[(&str, &str)] = &[
    (
        "GET [<count>]",
        "Tells the newest slow requests (10; -1: all): id, time in seconds, microseconds, arguments, \
         address and name of the client.",
    ),
    ("LEN", "Counts them."),
    ("RESET", "Forgets them."),
];

pub(crate) fn slow_log(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, HELP) {
        return Ok(plan);
    }
    let log = &call.host.server().slow_log;
    match (call.word(1).as_str(), call.count()) {
        ("GET", 2) => Ok(Plan::Answer(log.told(TOLD))),
        ("GET", 3) => {
            let count = integer(&call.bytes(2)?).filter(|count| *count >= -1);
            let count = count.ok_or(Fault::text(
                "ERR count should be greater than or equal to -1",
            ))?;
            Ok(Plan::Answer(
                log.told(usize::try_from(count).unwrap_or(usize::MAX)),
            ))
        }
        ("LEN", 2) => Ok(Plan::Answer(Value::count(log.entries.len() as u64))),
        ("RESET", 2) => Ok(Plan::Act(Action::ForgetSlow)),
        _ => Err(Fault::wrong_subcommand("slowlog", &call.bytes(1)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answered, SlowLog, shortened};
    use crate::settings::{Setting, Settings};
    use bytes::Bytes;
    use kv_common::time::UnixMs;

    fn note(log: &mut SlowLog, settings: &Settings, words: &[&'static str], micros: u64) {
        let arguments: Vec<Bytes> = words.iter().map(|word| Bytes::from(*word)).collect();
        let answered = Answered {
            arguments: &arguments,
            micros,
            at: UnixMs(0),
            peer: "h:1",
            name: &Bytes::new(),
        };
        log.note(settings, &answered);
    }

    fn ids(log: &SlowLog) -> Vec<u64> {
        log.entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn only_the_newest_slow_requests_are_kept() {
        let (mut log, mut settings) = (SlowLog::default(), Settings::default());
        settings.change(Setting::SlowRequests(2));
        for micros in [9_999, 10_000, 20_000, 10_001] {
            note(&mut log, &settings, &["get", "k"], micros);
        }
        assert_eq!(ids(&log), [2, 1]);
        settings.change(Setting::SlowFromMicros(-1));
        note(&mut log, &settings, &["get", "k"], u64::MAX);
        assert_eq!(ids(&log), [2, 1], "nothing is slow");
        settings.change(Setting::SlowFromMicros(0));
        note(&mut log, &settings, &["AUTH", "secret"], 1);
        assert_eq!(ids(&log), [2, 1], "nothing of a password is kept");
        log.forget();
        note(&mut log, &settings, &["get", "k"], 0);
        assert_eq!(ids(&log), [3], "ids go on");
    }

    #[test]
    fn an_entry_is_small_whatever_the_request() {
        let long = vec![Bytes::from(vec![b'x'; 1 << 20]); 100];
        let kept = shortened(&long);
        assert_eq!(kept.len(), 32);
        assert!(kept.iter().all(|argument| argument.len() < 200));
        assert!(kept[0].ends_with(b"x... (1048448 more bytes)"));
        assert_eq!(kept[31], "... (69 more arguments)");
        assert_eq!(shortened(&long[..32]).len(), 32);
        assert_eq!(shortened(&[Bytes::from("get")]), ["get"]);
    }
}
