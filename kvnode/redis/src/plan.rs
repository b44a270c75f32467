//! What a request comes to.

use bytes::Bytes;
use kv_common::command::Command;
use kv_resp::Value;

use crate::shape::Shape;

/// What a request comes to.
#[derive(Debug)]
pub enum Plan {
    /// It is answered.
    Answer(Value),
    /// It is answered with several replies.
    AnswerAll(Vec<Value>),
    /// It is answered with the number of clients that hear it.
    Publish {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// It is answered with the number of connections that are closed for it.
    Kill(Victims),
    /// The core is to execute a command; its answer takes this shape.
    Ask(Command, Shape),
    /// Something that takes its time; no later request of the connection is looked at before it is
    /// answered.
    Start(Task),
    /// It is answered, and the connection is closed.
    Close(Value),
}

/// Which connections of the node are to be closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Victims {
    /// Only the one with this number.
    pub id: Option<u64>,
    /// Only those from this address.
    pub peer: Option<Bytes>,
    /// Whether the one that asks is left out.
    pub skips_self: bool,
    /// Whether one has to be found, and the answer is no number: the form of old.
    pub must_exist: bool,
}

/// Something that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write `db.txt`, and answer when it is written.
    Save,
    /// Answer at once, and write `db.txt`.
    SaveInBackground,
}
