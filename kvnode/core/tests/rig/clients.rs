//! Clients.

use bytes::Bytes;
use kv_common::command::{Command, Expiry, PutCondition};
use kv_common::edit::{Edit, ExpiryEdit};
use kv_common::id::{RequestId, SessionId};
use kv_common::message::client::SessionStamp;
use kvnode_core::input::{ClientToken, Input};

use super::Rig;
use super::words::{Words, duration, number, position};

impl Rig {
    /// A client asks. Its answer, whenever it comes, is noted under its name.
    pub(crate) fn ask(&mut self, client: &str, words: &Words<'_>) {
        let token = ClientToken(self.clients.len() as u64);
        self.clients.push(client.to_owned());
        let stamp = words.after("as").map(|session| SessionStamp {
            id: RequestId {
                session: SessionId(position(session)),
                number: words.number_after("number").expect("a number"),
            },
            floor: words.number_after("floor").unwrap_or(0),
        });
        let verb = if stamp.is_none() {
            2
        } else if words.has("floor") {
            8
        } else {
            6
        };
        let command = command_of(&words.as_slice()[verb..]);
        self.input(Input::Request {
            client: token,
            stamp,
            command,
        });
    }
}

fn command_of(words: &[&str]) -> Command {
    let bytes = |word: &str| Bytes::copy_from_slice(word.as_bytes());
    let put = |key: &str, value: &str, expiry, condition| Command::Put {
        key: bytes(key),
        value: bytes(value),
        expiry,
        condition,
    };
    match words {
        ["put", key, value] => put(key, value, None, PutCondition::Always),
        ["put", key, value, "for", time] => {
            let after_ms = u64::try_from(duration(time).as_millis()).expect("a short time");
            let expiry = Some(Expiry::AfterMs(after_ms));
            put(key, value, expiry, PutCondition::Always)
        }
        ["put-if-absent", key, value] => put(key, value, None, PutCondition::IfAbsent),
        ["get", key] => Command::Get { key: bytes(key) },
        ["delete", key] => Command::Delete {
            keys: vec![bytes(key)],
        },
        ["incr", key] => Command::Incr {
            key: bytes(key),
            by: 1,
        },
        ["swap", key, length] => swap(bytes(key), number(length)),
        ["clear"] => Command::Clear,
        ["open-session"] => Command::OpenSession,
        ["end-session", session] => Command::EndSession {
            session: SessionId(position(session)),
        },
        other => panic!("'{}' is no command of a client", other.join(" ")),
    }
}

/// Sets a value of so many bytes, and answers the old one.
fn swap(key: Bytes, length: u64) -> Command {
    let length = usize::try_from(length).expect("a length");
    Command::Edit {
        key,
        edit: Edit::Set {
            value: Bytes::from(vec![b'x'; length]),
            expiry: ExpiryEdit::Drop,
            condition: PutCondition::Always,
            returns_old: true,
        },
    }
}
