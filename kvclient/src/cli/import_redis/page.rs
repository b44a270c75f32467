//! What one page of keys comes to: which are taken, in which portions, and when each goes by itself.

use bytes::Bytes;
use kv_common::limits::{KEY_MAX_BYTES, VALUE_MAX_BYTES};
use kv_common::time::UnixMs;

/// Keys and values that are asked for together: what a Redis holds for one that reads slowly.
const PORTION_BYTES: u64 = 4 << 20;

/// A string, and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sized {
    pub(super) key: Bytes,
    pub(super) value_bytes: u64,
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is asked for.
    Taken,
    /// It went since it was listed.
    Gone,
    /// It is left out, for this reason.
    LeftOut(String),
}

/// What becomes of a key of `kind` whose value, if it is a string, has `value_bytes`.
pub(super) fn fate(key: &Bytes, kind: &str, value_bytes: Option<u64>) -> Fate {
    match (kind, value_bytes) {
        ("none", _) => Fate::Gone,
        ("string", _) if key.len() > KEY_MAX_BYTES => Fate::LeftOut("key too long".to_owned()),
        ("string", Some(bytes)) if bytes > VALUE_MAX_BYTES as u64 => {
            Fate::LeftOut("value too long".to_owned())
        }
        ("string", Some(_)) => Fate::Taken,
        // It became another between the two questions.
        ("string", None) => Fate::LeftOut("changed type".to_owned()),
        (kind, _) => Fate::LeftOut(kind.to_owned()),
    }
}

/// Cuts keys into portions of about [`PORTION_BYTES`]; a longer value goes alone.
pub(super) fn portions(keys: &[Sized]) -> Vec<&[Sized]> {
    let weight = |sized: &Sized| sized.key.len() as u64 + sized.value_bytes;
    let mut portions = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (index, sized) in keys.iter().enumerate() {
        if index > first && bytes + weight(sized) > PORTION_BYTES {
            portions.push(&keys[first..index]);
            (first, bytes) = (index, 0);
        }
        bytes += weight(sized);
    }
    if first < keys.len() {
        portions.push(&keys[first..]);
    }
    portions
}

/// How a Redis is asked for expiries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiryQuestion {
    /// PEXPIRETIME, from Redis 7 on: the time itself.
    At,
    /// PTTL: how long it still is.
    Left,
}

impl ExpiryQuestion {
    pub(super) fn command(self) -> &'static [u8] {
        match self {
            Self::At => b"PEXPIRETIME",
            Self::Left => b"PTTL",
        }
    }

    /// What `answer` says: none, the key is gone; else when it goes, if it does. `asked_at` is when the
    /// question was sent.
    pub(super) fn expires_at(self, answer: i64, asked_at: UnixMs) -> Option<Option<UnixMs>> {
        match (u64::try_from(answer), self) {
            (Ok(at), Self::At) => Some(Some(UnixMs(at))),
            (Ok(left_ms), Self::Left) => Some(Some(UnixMs(asked_at.0.saturating_add(left_ms)))),
            (Err(_), _) => (answer == -1).then_some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpiryQuestion, Fate, PORTION_BYTES, Sized, fate, portions};
    use bytes::Bytes;
    use kv_common::limits::{KEY_MAX_BYTES, VALUE_MAX_BYTES};
    use kv_common::time::UnixMs;

    #[test]
    fn strings_within_the_limits_are_taken() {
        let key = Bytes::from_static(b"k");
        let longest = Bytes::from(vec![0; KEY_MAX_BYTES]);
        let too_long = Bytes::from(vec![0; KEY_MAX_BYTES + 1]);
        let max = VALUE_MAX_BYTES as u64;
        let left_out = |reason: &str| Fate::LeftOut(reason.to_owned());
        assert_eq!(fate(&key, "string", Some(max)), Fate::Taken);
        assert_eq!(fate(&longest, "string", Some(0)), Fate::Taken);
        assert_eq!(fate(&key, "none", Some(0)), Fate::Gone);
        for (key, kind, bytes, reason) in [
            (&key, "string", Some(max + 1), "value too long"),
            (&key, "string", None, "changed type"),
            (&too_long, "string", Some(1), "key too long"),
            (&key, "hash", None, "hash"),
        ] {
            assert_eq!(fate(key, kind, bytes), left_out(reason));
        }
    }

    #[test]
    fn portions_are_bounded_and_hold_every_key_once() {
        let sizes = [
            0,
            PORTION_BYTES,
            1,
            1,
            PORTION_BYTES - 4,
            PORTION_BYTES * 9,
            2,
        ];
        let keys: Vec<Sized> = sizes
            .iter()
            .map(|value_bytes| Sized {
                key: Bytes::from_static(b"k"),
                value_bytes: *value_bytes,
            })
            .collect();
        let lengths: Vec<usize> = portions(&keys)
            .iter()
            .map(|portion| portion.len())
            .collect();
        assert_eq!(lengths, [1, 1, 2, 1, 1, 1]);
        assert_eq!(portions(&keys).concat(), keys);
        assert!(portions(&[]).is_empty());
    }

    #[test]
    fn expiries_become_times() {
        let now = UnixMs(1_000);
        let at = |question: ExpiryQuestion, answer| question.expires_at(answer, now);
        assert_eq!(at(ExpiryQuestion::At, 5_000), Some(Some(UnixMs(5_000))));
        assert_eq!(at(ExpiryQuestion::Left, 5_000), Some(Some(UnixMs(6_000))));
        for question in [ExpiryQuestion::At, ExpiryQuestion::Left] {
            assert_eq!(at(question, -1), Some(None));
            assert_eq!(at(question, -2), None);
        }
    }
}
