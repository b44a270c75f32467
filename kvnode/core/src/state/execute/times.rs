//! Commands on expiries: ttl, expire, persist.

use bytes::Bytes;
use kv_common::command::{ExpiresAt, Expiry, KeyExpiry, Reply};
use kv_common::edit::ExpiryCondition;
use kv_common::time::UnixMs;

use super::run::Run;

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

    pub(super) fn expires_at(&mut self, key: &Bytes) -> Reply {
        Reply::ExpiresAt(match self.find(key) {
            None => ExpiresAt::NoKey,
            Some(found) => found.expires_at().map_or(ExpiresAt::Never, ExpiresAt::At),
        })
    }

    /// An expiry that is already past deletes.
    pub(super) fn expire(
        &mut self,
        key: &Bytes,
        expiry: Expiry,
        condition: ExpiryCondition,
    ) -> Reply {
        let Some(found) = self.find(key) else {
            return Reply::Count(0);
        };
        let expires_at = self.resolve(expiry);
        let now = found.expires_at();
        let holds = match condition {
            ExpiryCondition::Always => true,
            ExpiryCondition::IfNone => now.is_none(),
            ExpiryCondition::IfSome => now.is_some(),
            ExpiryCondition::IfLater => now.is_some_and(|now| expires_at > now),
            ExpiryCondition::IfEarlier => now.is_none_or(|now| expires_at < now),
            ExpiryCondition::IfSomeAndEarlier => now.is_some_and(|now| expires_at < now),
        };
        if holds {
            self.write_value(key, found.value_bytes(), Some(expires_at));
        }
        Reply::Count(holds.into())
    }

    pub(super) fn persist(&mut self, key: &Bytes) -> Reply {
        match self.find(key) {
            Some(found) if found.expires_at().is_some() => {
                self.write_value(key, found.value_bytes(), None);
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
