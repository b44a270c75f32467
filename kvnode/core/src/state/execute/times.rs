//! Commands on expiries: ttl, expire, persist.

use bytes::Bytes;
use kv_common::command::{Expiry, KeyExpiry, Reply};
use kv_common::entry::Change;
use kv_common::time::UnixMs;

use super::Run;

impl Run<'_> {
    pub(super) fn ttl(&mut self, key: &Bytes) -> Reply {
        let clock = self.clock;
        Reply::Expiry(match self.find(key) {
            None => KeyExpiry::NoKey,
            Some(found) => match found.expires_at() {
                None => KeyExpiry::Never,
                Some(at) => KeyExpiry::InMs(at.0.saturating_sub(clock.0)),
            },
        })
    }

    /// An expiry that is already past deletes.
    pub(super) fn expire(&mut self, key: &Bytes, expiry: Expiry) -> Reply {
        let Some(found) = self.find(key) else {
            return Reply::Count(0);
        };
        let expires_at = self.resolve(expiry);
        let key = key.clone();
        self.changes.push(if expires_at <= self.clock {
            Change::Delete { key }
        } else {
            Change::Put {
                key,
                value: found.value_bytes(),
                expires_at: Some(expires_at),
            }
        });
        Reply::Count(1)
    }

    pub(super) fn persist(&mut self, key: &Bytes) -> Reply {
        match self.find(key) {
            Some(found) if found.expires_at().is_some() => {
                self.changes.push(Change::Put {
                    key: key.clone(),
                    value: found.value_bytes(),
                    expires_at: None,
                });
                Reply::Count(1)
            }
            _ => Reply::Count(0),
        }
    }

    /// The point in time that an expiry means: replicas never reckon it again.
    pub(super) fn resolve(&self, expiry: Expiry) -> UnixMs {
        match expiry {
            Expiry::At(at) => at,
            Expiry::AfterMs(after_ms) => UnixMs(self.clock.0.saturating_add(after_ms)),
        }
    }
}
