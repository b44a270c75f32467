//! What a request comes to.

use std::time::Duration;

use kv_common::command::Command;
use kv_common::id::Address;
use kv_resp::Value;

use crate::action::Action;
use crate::shape::{Piece, Shape};

/// What a request comes to.
#[derive(Debug)]
pub enum Plan {
    /// It is answered.
    Answer(Value),
    /// It is answered with several replies.
    AnswerAll(Vec<Value>),
    /// It does something to the node, which says what the answer is.
    Act(Action),
    /// It is a transaction that asks nothing of the core.
    Transact(Vec<Piece>),
    /// The core is to execute a command; its answer takes this shape.
    Ask(Command, Shape),
    /// Something that takes its time; no later request of the connection is looked at before it is
    /// answered.
    Start(Task),
    /// It is answered, and the connection is closed.
    Close(Value),
}

/// Something that takes its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write `db.txt`, and answer when it is written.
    Save,
    /// Have another node made primary, and answer when it is.
    FailOver {
        /// Where Redis clients reach it; none: any.
        to: Option<Address>,
        /// How long that may take.
        timeout_ms: Option<u64>,
    },
    /// Answer after this time.
    Sleep(Duration),
    /// Stop the node. There is no answer: the connection ends with it.
    Stop {
        /// Whether it writes `db.txt`, as at any clean stop.
        saves: bool,
    },
}
