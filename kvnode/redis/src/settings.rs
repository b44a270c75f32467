//! Settings that CONFIG SET changes while the node runs. They are the node's own and end with its run.

use bytes::Bytes;
use kv_resp::integer;

use crate::notifications::Notifications;

/// Slow requests that a node remembers at most, whatever it is told.
const SLOW_REQUESTS_MAX: i64 = 10_000;

/// One setting with its new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// From how many microseconds on a request is slow; negative: never.
    SlowFromMicros(i64),
    /// How many slow requests are remembered.
    SlowRequests(usize),
    /// Which events of keys are published.
    Notifications(Notifications),
}

/// What CONFIG SET changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    slow_from_micros: i64,
    /// How many slow requests are remembered.
    pub(crate) slow_requests: usize,
    /// Which events of keys are published.
    pub notifications: Notifications,
}

impl Default for Settings {
    /// As Redis has them.
    fn default() -> Self {
        Self {
            slow_from_micros: 10_000,
            slow_requests: 128,
            notifications: Notifications::default(),
        }
    }
}

impl Settings {
    /// Whether a request that took so long is slow.
    #[must_use]
    pub fn is_slow(&self, micros: u64) -> bool {
        u64::try_from(self.slow_from_micros).is_ok_and(|from| micros >= from)
    }

    pub(crate) fn change(&mut self, setting: Setting) {
        match setting {
            Setting::SlowFromMicros(micros) => self.slow_from_micros = micros,
            Setting::SlowRequests(count) => self.slow_requests = count,
            Setting::Notifications(notifications) => self.notifications = notifications,
        }
    }

    /// Names and values, as CONFIG GET tells them.
    pub(crate) fn shown(&self) -> [(&'static str, String); 3] {
        [
            (SLOWER_THAN, self.slow_from_micros.to_string()),
            (MAX_LEN, self.slow_requests.to_string()),
            (NOTIFY, self.notifications.to_string()),
        ]
    }
}

const SLOWER_THAN: &str = "slowlog-log-slower-than";
const NOTIFY: &str = "notify-keyspace-events";
const MAX_LEN: &str = "slowlog-max-len";

impl Setting {
    /// Whether a name, in lower case, is that of a setting.
    pub(crate) fn is_one(name: &str) -> bool {
        matches!(name, SLOWER_THAN | MAX_LEN | NOTIFY)
    }

    /// What a name, in lower case, and a value come to; none: no such setting can be changed.
    pub(crate) fn read(name: &str, value: &Bytes) -> Option<Result<Self, String>> {
        Some(match name {
            SLOWER_THAN => number(value, -1, i64::MAX).map(Self::SlowFromMicros),
            MAX_LEN => number(value, 0, SLOW_REQUESTS_MAX)
                .map(|count| Self::SlowRequests(usize::try_from(count).unwrap_or(0))),
            NOTIFY => Notifications::parse(value)
                .map(Self::Notifications)
                .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtd'.".to_owned()),
            _ => return None,
        })
    }
}

fn number(value: &Bytes, min: i64, max: i64) -> Result<i64, String> {
    let number = integer(value).ok_or("argument couldn't be parsed into an integer")?;
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(format!(
        "argument must be between {min} and {max} inclusive"
    ))
}
