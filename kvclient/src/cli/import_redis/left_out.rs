//! What an import leaves out: counted by reason, and the first of each by name.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::cli::output::Object;

/// Keys that are named for each reason.
const NAMED_MAX: usize = 10;
/// Reasons that are told apart; a Redis with modules may have types of any name.
const REASONS_MAX: usize = 32;
/// What is shown of a key.
const SHOWN_BYTES: usize = 64;

/// Keys that were left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<String, Keys>);

#[derive(Debug, Default)]
struct Keys {
    count: u64,
    named: Vec<String>,
}

impl LeftOut {
    /// Takes note of a key.
    pub(super) fn add(&mut self, reason: &str, key: &Bytes) {
        let known = self.0.contains_key(reason) || self.0.len() < REASONS_MAX;
        let reason = if known { reason } else { "other" };
        let keys = self.0.entry(reason.to_owned()).or_default();
        keys.count += 1;
        if keys.named.len() < NAMED_MAX {
            keys.named.push(shown(key));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As people read it: `3 keys are left out: 2 hash (a, b), 1 list (c)`.
    pub(super) fn text(&self) -> String {
        let total: u64 = self.0.values().map(|keys| keys.count).sum();
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(reason, keys)| {
                let more = keys.count > keys.named.len() as u64;
                let and_more = if more { ", …" } else { "" };
                format!(
                    "{} {reason} ({}{and_more})",
                    keys.count,
                    keys.named.join(", ")
                )
            })
            .collect();
        let are = if total == 1 { "key is" } else { "keys are" };
        format!("{total} {are} left out: {}", parts.join(", "))
    }

    /// The same as an object, by reason.
    pub(super) fn object(&self) -> Object {
        self.0.iter().fold(Object::new(), |object, (reason, keys)| {
            let of_reason = Object::new()
                .with("count", keys.count)
                .with("keys", keys.named.clone());
            object.with(reason, of_reason)
        })
    }
}

/// A key as it can be printed, cut where it is long.
pub(super) fn shown(key: &[u8]) -> String {
    let cut = &key[..key.len().min(SHOWN_BYTES)];
    let dots = if cut.len() < key.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::LeftOut;
    use bytes::Bytes;
    use serde_json::Value;

    #[test]
    fn keys_are_counted_and_the_first_of_them_named() {
        let mut left_out = LeftOut::default();
        for number in 0..12 {
            left_out.add("hash", &Bytes::from(format!("h{number}")));
        }
        left_out.add("list", &Bytes::from(vec![0xff; 100]));
        let text = left_out.text();
        let begin =
            "13 keys are left out: 12 hash (h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, …), 1 list (";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.ends_with("\\xff…)"), "{text}");
        let object = Value::from(left_out.object());
        assert_eq!(object["hash"]["count"], 12);
        assert_eq!(object["hash"]["keys"][9], "h9");
    }

    #[test]
    fn reasons_are_bounded() {
        let mut left_out = LeftOut::default();
        for number in 0..1_000 {
            left_out.add(&format!("type-{number}"), &Bytes::from_static(b"k"));
        }
        assert_eq!(left_out.0.len(), 33);
        assert!(
            left_out
                .text()
                .starts_with("1000 keys are left out: 968 other (")
        );
    }
}
