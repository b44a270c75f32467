//! What one connection wants to hear of what is published.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_common::glob::Glob;

use crate::value::Value;

/// Channels and patterns of one connection.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// The longest name of a channel that can be subscribed to.
const NAME_MAX_BYTES: usize = 1024;
/// What the channels and patterns of one connection may take of the memory.
const ROOM_BYTES: usize = 16 << 20;
/// What a channel, or a pattern, takes beside its name.
const OVERHEAD_BYTES: usize = 128;
/// What a byte of a pattern takes at most: it is kept as it came and as what it means.
const PATTERN_BYTE_BYTES: usize = 32;
/// Steps that the patterns of one connection may take to match one channel: some 10 ms.
const MATCH_STEPS_MAX: u64 = 10_000_000;

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
    /// They are too large together.
    #[error("the subscriptions of a connection take at most {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The patterns take too long to match a channel.
    #[error("the patterns of a connection take more than {max} steps to match one channel")]
    TooCostly {
        /// The limit.
        max: u64,
    },
}

/// What one connection wants to hear.
#[derive(Debug)]
pub struct Subscriptions {
    channels: BTreeSet<Bytes>,
    patterns: BTreeMap<Bytes, Glob>,
    bytes: usize,
    room_bytes: usize,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::with_room(ROOM_BYTES)
    }
}

impl Subscriptions {
    /// None yet, and so many bytes of memory for them.
    #[must_use]
    pub fn with_room(room_bytes: usize) -> Self {
        Self {
            channels: BTreeSet::new(),
            patterns: BTreeMap::new(),
            bytes: 0,
            room_bytes,
        }
    }

    /// About how much memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

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
        self.check_room(channels, channel_bytes)?;
        let mut messages = Vec::with_capacity(channels.len());
        for channel in channels {
            if self.channels.insert(channel.clone()) {
                self.bytes += channel_bytes(channel);
            }
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
        self.check_room(patterns, pattern_bytes)?;
        let globs = patterns
            .iter()
            .map(|pattern| Glob::parse(pattern))
            .collect::<Result<Vec<Glob>, _>>()
            .map_err(|_| SubscriptionError::TooLong {
                max: NAME_MAX_BYTES,
            })?;
        let mut messages = Vec::with_capacity(patterns.len());
        for (pattern, glob) in patterns.iter().zip(globs) {
            if self.patterns.insert(pattern.clone(), glob).is_none() {
                self.bytes += pattern_bytes(pattern);
            }
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
            if self.channels.remove(channel) {
                self.bytes -= channel_bytes(channel);
            }
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
            if self.patterns.remove(pattern).is_some() {
                self.bytes -= pattern_bytes(pattern);
            }
            messages.push(self.message("punsubscribe", Some(pattern)));
        }
        if messages.is_empty() {
            messages.push(self.message("punsubscribe", None));
        }
        messages
    }

    /// The messages that a publication comes to for this connection.
    ///
    /// # Errors
    /// When it takes too long to find out.
    pub fn messages(
        &self,
        channel: &Bytes,
        payload: &Bytes,
    ) -> Result<Vec<Value>, SubscriptionError> {
        let (mut messages, mut steps) = (Vec::new(), 0);
        if self.channels.contains(channel) {
            messages.push(Value::Push(vec![
                Value::bulk("message"),
                Value::Bulk(channel.clone()),
                Value::Bulk(payload.clone()),
            ]));
        }
        for (pattern, glob) in &self.patterns {
            let max = MATCH_STEPS_MAX;
            if steps > max {
                return Err(SubscriptionError::TooCostly { max });
            }
            if glob.matches(channel, &mut steps) {
                messages.push(Value::Push(vec![
                    Value::bulk("pmessage"),
                    Value::Bulk(pattern.clone()),
                    Value::Bulk(channel.clone()),
                    Value::Bulk(payload.clone()),
                ]));
            }
        }
        Ok(messages)
    }

    fn check_room(
        &self,
        names: &[Bytes],
        cost: fn(&Bytes) -> usize,
    ) -> Result<(), SubscriptionError> {
        let max = NAME_MAX_BYTES;
        if names.iter().any(|name| name.len() > max) {
            return Err(SubscriptionError::TooLong { max });
        }
        let max = SUBSCRIPTIONS_MAX;
        if self.count() + names.len() > max {
            return Err(SubscriptionError::TooMany { max });
        }
        let max = self.room_bytes;
        if self.bytes + names.iter().map(cost).sum::<usize>() > max {
            return Err(SubscriptionError::TooLarge { max });
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

fn channel_bytes(channel: &Bytes) -> usize {
    channel.len() + OVERHEAD_BYTES
}

fn pattern_bytes(pattern: &Bytes) -> usize {
    pattern.len() * PATTERN_BYTE_BYTES + OVERHEAD_BYTES
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
        let told = |subscriptions: &Subscriptions| {
            let messages = subscriptions.messages(&channel, &payload);
            messages.expect("it takes no time").len()
        };
        assert_eq!(told(&subscriptions), 2);
        assert_eq!(subscriptions.unsubscribe(&[]).len(), 2);
        assert_eq!(told(&subscriptions), 1);
        assert_eq!(subscriptions.unsubscribe_patterns(&names(&["n*"])).len(), 1);
        assert_eq!(told(&subscriptions), 0);
        assert_eq!(subscriptions.unsubscribe(&[]).len(), 1, "there was none");
        assert_eq!(subscriptions.unsubscribe_patterns(&[]).len(), 1);
        assert_eq!(subscriptions.bytes(), 0);
    }

    #[test]
    fn the_memory_of_subscriptions_is_bounded() {
        let mut subscriptions = Subscriptions::with_room(2 * super::OVERHEAD_BYTES + 70);
        assert!(subscriptions.subscribe(&names(&["a", "bc"])).is_ok());
        assert!(subscriptions.subscribe(&names(&["d"])).is_err());
        assert!(subscriptions.subscribe_patterns(&names(&["d"])).is_err());
        subscriptions.unsubscribe(&names(&["a", "a"]));
        assert!(subscriptions.subscribe_patterns(&names(&["xyz"])).is_err());
        assert!(subscriptions.subscribe_patterns(&names(&["xy"])).is_ok());
        assert_eq!(subscriptions.count(), 2);
    }

    #[test]
    fn patterns_that_take_too_long_are_given_up() {
        let mut subscriptions = Subscriptions::default();
        let slow = |last: char| Bytes::from(format!("*{}{last}", "a".repeat(1000)));
        let patterns: Vec<Bytes> = ('b'..'z').map(slow).collect();
        subscriptions.subscribe_patterns(&patterns).expect("room");
        let payload = Bytes::new();
        let short = Bytes::from("a".repeat(100));
        assert_eq!(subscriptions.messages(&short, &payload), Ok(Vec::new()));
        let long = Bytes::from("a".repeat(64 << 10));
        assert!(subscriptions.messages(&long, &payload).is_err());
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
