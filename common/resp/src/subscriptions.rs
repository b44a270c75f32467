//! What one connection wants to hear of what is published.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_common::glob::Glob;

use crate::value::Value;

/// Channels and patterns of one connection.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// The longest name of a channel that can be subscribed to.
const NAME_MAX_BYTES: usize = 1024;

/// Why nothing was subscribed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// The connection has too many already.
    #[error("a connection takes at most {max} subscriptions")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// A name or pattern is too long.
    #[error("the name of a channel has at most {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
}

/// What one connection wants to hear.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Bytes>,
    patterns: BTreeMap<Bytes, Glob>,
}

impl Subscriptions {
    /// Channels and patterns.
    #[must_use]
    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// The channels.
    pub fn channels(&self) -> impl Iterator<Item = &Bytes> {
        self.channels.iter()
    }

    /// The patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &Bytes> {
        self.patterns.keys()
    }

    /// Adds channels → one message for each.
    ///
    /// # Errors
    /// When that would be too many. Nothing is added then.
    pub fn subscribe(&mut self, channels: &[Bytes]) -> Result<Vec<Value>, SubscriptionError> {
        self.check_room(channels)?;
        let mut messages = Vec::with_capacity(channels.len());
        for channel in channels {
            self.channels.insert(channel.clone());
            messages.push(self.message("subscribe", Some(channel)));
        }
        Ok(messages)
    }

    /// Adds patterns → one message for each.
    ///
    /// # Errors
    /// When that would be too many, or one is too long. Nothing is added then.
    pub fn subscribe_patterns(
        &mut self,
        patterns: &[Bytes],
    ) -> Result<Vec<Value>, SubscriptionError> {
        self.check_room(patterns)?;
        let globs = patterns
            .iter()
            .map(|pattern| Glob::parse(pattern))
            .collect::<Result<Vec<Glob>, _>>()
            .map_err(|_| SubscriptionError::TooLong {
                max: NAME_MAX_BYTES,
            })?;
        let mut messages = Vec::with_capacity(patterns.len());
        for (pattern, glob) in patterns.iter().zip(globs) {
            self.patterns.insert(pattern.clone(), glob);
            messages.push(self.message("psubscribe", Some(pattern)));
        }
        Ok(messages)
    }

    /// Takes channels away, or all → one message for each, and one if there was none.
    pub fn unsubscribe(&mut self, channels: &[Bytes]) -> Vec<Value> {
        let gone = if channels.is_empty() {
            self.channels.iter().cloned().collect()
        } else {
            channels.to_vec()
        };
        let mut messages = Vec::with_capacity(gone.len().max(1));
        for channel in &gone {
            self.channels.remove(channel);
            messages.push(self.message("unsubscribe", Some(channel)));
        }
        if messages.is_empty() {
            messages.push(self.message("unsubscribe", None));
        }
        messages
    }

    /// Takes patterns away, or all → one message for each, and one if there was none.
    pub fn unsubscribe_patterns(&mut self, patterns: &[Bytes]) -> Vec<Value> {
        let gone = if patterns.is_empty() {
            self.patterns.keys().cloned().collect()
        } else {
            patterns.to_vec()
        };
        let mut messages = Vec::with_capacity(gone.len().max(1));
        for pattern in &gone {
            self.patterns.remove(pattern);
            messages.push(self.message("punsubscribe", Some(pattern)));
        }
        if messages.is_empty() {
            messages.push(self.message("punsubscribe", None));
        }
        messages
    }

    /// The messages that a publication comes to for this connection.
    #[must_use]
    pub fn messages(&self, channel: &Bytes, payload: &Bytes) -> Vec<Value> {
        let mut messages = Vec::new();
        if self.channels.contains(channel) {
            messages.push(Value::Push(vec![
                Value::bulk("message"),
                Value::Bulk(channel.clone()),
                Value::Bulk(payload.clone()),
            ]));
        }
        for (pattern, glob) in &self.patterns {
            if glob.matches(channel, &mut 0) {
                messages.push(Value::Push(vec![
                    Value::bulk("pmessage"),
                    Value::Bulk(pattern.clone()),
                    Value::Bulk(channel.clone()),
                    Value::Bulk(payload.clone()),
                ]));
            }
        }
        messages
    }

    fn check_room(&self, names: &[Bytes]) -> Result<(), SubscriptionError> {
        let max = NAME_MAX_BYTES;
        if names.iter().any(|name| name.len() > max) {
            return Err(SubscriptionError::TooLong { max });
        }
        let max = SUBSCRIPTIONS_MAX;
        if self.count() + names.len() > max {
            return Err(SubscriptionError::TooMany { max });
        }
        Ok(())
    }

    fn message(&self, kind: &'static str, name: Option<&Bytes>) -> Value {
        Value::Push(vec![
            Value::bulk(kind),
            Value::bulk_or_null(name.cloned()),
            Value::count(self.count() as u64),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::Subscriptions;
    use bytes::Bytes;

    fn names(names: &[&'static str]) -> Vec<Bytes> {
        names
            .iter()
            .map(|name| Bytes::from_static(name.as_bytes()))
            .collect()
    }

    #[test]
    fn what_is_published_comes_once_for_each_subscription_that_fits() {
        let mut subscriptions = Subscriptions::default();
        subscriptions
            .subscribe(&names(&["news", "news", "other"]))
            .expect("room");
        subscriptions
            .subscribe_patterns(&names(&["n*", "x*"]))
            .expect("room");
        assert_eq!(subscriptions.count(), 4);
        let (channel, payload) = (Bytes::from_static(b"news"), Bytes::from_static(b"hi"));
        assert_eq!(subscriptions.messages(&channel, &payload).len(), 2);
        assert_eq!(subscriptions.unsubscribe(&[]).len(), 2);
        assert_eq!(subscriptions.messages(&channel, &payload).len(), 1);
        assert_eq!(subscriptions.unsubscribe_patterns(&names(&["n*"])).len(), 1);
        assert!(subscriptions.messages(&channel, &payload).is_empty());
        assert_eq!(subscriptions.unsubscribe(&[]).len(), 1, "there was none");
    }

    #[test]
    fn subscriptions_are_bounded() {
        let mut subscriptions = Subscriptions::default();
        let many = vec![Bytes::new(); super::SUBSCRIPTIONS_MAX + 1];
        assert!(subscriptions.subscribe(&many).is_err());
        let long = Bytes::from(vec![b'x'; super::NAME_MAX_BYTES + 1]);
        assert!(subscriptions.subscribe(&[long]).is_err());
        assert_eq!(subscriptions.count(), 0);
    }
}
