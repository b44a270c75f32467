//! Keyspace notifications: which events of keys are published, and as what.

use std::fmt;

use bytes::Bytes;
use kv_common::key_event::{KeyEvent, KeyEventKind};

/// Which events are published: the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notifications(u16);

/// The classes of events, in the order in which Redis tells them. Those of other types than strings, of
/// eviction and of modules can be asked for, and nothing ever happens in them.
const CLASSES: [u8; 10] = *b"g$lshzxetd";
const KEYSPACE: u16 = 1 << 14;
const KEYEVENT: u16 = 1 << 15;
const ALL: u16 = (1 << CLASSES.len()) - 1;

impl Notifications {
    /// What letters say; none: one of them means nothing.
    pub(crate) fn parse(letters: &[u8]) -> Option<Self> {
        let mut bits = 0;
        for letter in letters {
            bits |= match letter {
                b'A' => ALL,
                b'K' => KEYSPACE,
                b'E' => KEYEVENT,
                letter => class(*letter)?,
            };
        }
        Some(Self(bits))
    }

    /// Whether any event is published at all.
    #[must_use]
    pub fn are_on(self) -> bool {
        self.0 & (KEYSPACE | KEYEVENT) != 0 && self.0 & ALL != 0
    }

    /// What is published of an event: channels and payloads.
    pub fn messages(self, event: &KeyEvent) -> impl Iterator<Item = (Bytes, Bytes)> {
        let (letter, name) = named(event.kind);
        let is_wanted = class(letter).is_some_and(|class| self.0 & class != 0);
        let wanted = |bit: u16| is_wanted && self.0 & bit != 0;
        let keyspace = wanted(KEYSPACE).then(|| {
            let mut channel = b"__keyspace@0__:".to_vec();
            channel.extend_from_slice(&event.key);
            (Bytes::from(channel), Bytes::from_static(name.as_bytes()))
        });
        let keyevent = wanted(KEYEVENT).then(|| {
            let channel = format!("__keyevent@0__:{name}");
            (Bytes::from(channel), event.key.clone())
        });
        keyspace.into_iter().chain(keyevent)
    }
}

fn class(letter: u8) -> Option<u16> {
    let place = CLASSES.iter().position(|class| *class == letter)?;
    Some(1 << place)
}

/// The class of an event and its name, as Redis has them.
fn named(kind: KeyEventKind) -> (u8, &'static str) {
    match kind {
        KeyEventKind::Set => (b'$', "set"),
        KeyEventKind::Append => (b'$', "append"),
        KeyEventKind::SetRange => (b'$', "setrange"),
        KeyEventKind::Increment => (b'$', "incrby"),
        KeyEventKind::IncrementDecimal => (b'$', "incrbyfloat"),
        KeyEventKind::SetBit => (b'$', "setbit"),
        KeyEventKind::Delete => (b'g', "del"),
        KeyEventKind::Expire => (b'g', "expire"),
        KeyEventKind::Persist => (b'g', "persist"),
        KeyEventKind::Expired => (b'x', "expired"),
        KeyEventKind::RenameFrom => (b'g', "rename_from"),
        KeyEventKind::RenameTo => (b'g', "rename_to"),
        KeyEventKind::CopyTo => (b'g', "copy_to"),
    }
}

impl fmt::Display for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & ALL == ALL {
            f.write_str("A")?;
        } else {
            for letter in CLASSES {
                if class(letter).is_some_and(|class| self.0 & class != 0) {
                    write!(f, "{}", char::from(letter))?;
                }
            }
        }
        for (bit, letter) in [(KEYSPACE, 'K'), (KEYEVENT, 'E')] {
            if self.0 & bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Notifications;
    use bytes::Bytes;
    use kv_common::key_event::{KeyEvent, KeyEventKind};

    fn published(letters: &str, kind: KeyEventKind) -> Vec<(Bytes, Bytes)> {
        let notifications = Notifications::parse(letters.as_bytes()).expect("letters");
        let key = Bytes::from("k");
        notifications.messages(&KeyEvent { kind, key }).collect()
    }

    #[test]
    fn only_what_was_asked_for_is_published() {
        let keyspace = (Bytes::from("__keyspace@0__:k"), Bytes::from("del"));
        let keyevent = (Bytes::from("__keyevent@0__:del"), Bytes::from("k"));
        for (letters, expected) in [
            ("", vec![]),
            ("A", vec![]),
            ("KE", vec![]),
            ("KE$x", vec![]),
            ("Kg", vec![keyspace.clone()]),
            ("Eg", vec![keyevent.clone()]),
            ("AKE", vec![keyspace, keyevent]),
        ] {
            assert_eq!(
                published(letters, KeyEventKind::Delete),
                expected,
                "{letters}"
            );
        }
    }

    #[test]
    fn letters_that_mean_nothing_are_refused() {
        for letters in ["q", "KEAm", "AKEn", "K E"] {
            assert_eq!(Notifications::parse(letters.as_bytes()), None, "{letters}");
        }
        assert!(!Notifications::default().are_on());
    }
}
