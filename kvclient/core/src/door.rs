//! What goes in and out of a [`crate::Dispatcher`].

use kv_common::command::{Command, Reply};
use kv_common::id::{Address, Epoch};
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kv_common::view::ClusterMap;

/// The shell's name for a request. The core only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// The core's name for a connection. Never used twice, so that what comes late from a connection
/// that was given up is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What a dispatcher is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Execute a command, and go on trying until `deadline`.
    Submit {
        /// To be handed back with the end.
        token: RequestToken,
        /// What to do.
        command: Command,
        /// When to give up.
        deadline: Monotonic,
    },
    /// A coordinator or a node sent a map.
    Map(ClusterMap),
    /// The connection that was asked for stands.
    LinkUp {
        /// Which.
        link: LinkId,
    },
    /// The connection did not come about, or broke.
    LinkDown {
        /// Which.
        link: LinkId,
        /// What went wrong, in words.
        why: String,
    },
    /// A node answered.
    Answer {
        /// Over which connection.
        link: LinkId,
        /// The exchange that is answered.
        exchange: u64,
        /// The reply, or why there is none.
        result: Result<Reply, Refusal>,
    },
    /// No more requests will come: end the session, if that can be done by `deadline`.
    Retire {
        /// When to give up.
        deadline: Monotonic,
    },
}

/// What a dispatcher asks its shell to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect to a node → [`Input::LinkUp`] or [`Input::LinkDown`].
    Connect {
        /// The name of the connection.
        link: LinkId,
        /// The node.
        address: Address,
    },
    /// Close the connection, or stop dialling.
    Disconnect {
        /// Which.
        link: LinkId,
    },
    /// Ask the node for its map → [`Input::Map`].
    AskMap {
        /// Over which connection.
        link: LinkId,
    },
    /// Send a request → [`Input::Answer`].
    Send {
        /// Over which connection.
        link: LinkId,
        /// The number of the exchange.
        exchange: u64,
        /// The session part.
        stamp: Option<SessionStamp>,
        /// The command.
        command: Command,
    },
    /// A request has its end.
    Finish {
        /// Which.
        token: RequestToken,
        /// The reply, or why there is none.
        result: Result<Reply, Failure>,
    },
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody who is primary was reached before the deadline. Nothing was done.
    #[error("no primary was reached{}", because(why.as_ref()))]
    NobodyToAsk {
        /// What went wrong last, if anything did.
        why: Option<String>,
    },
    /// A read was sent and not answered before the deadline; or a write waited for a session that was
    /// not opened before it, and was not sent.
    #[error("{address} did not answer in time")]
    NoAnswer {
        /// Who was asked.
        address: Address,
    },
    /// A write may have taken effect, or may yet.
    #[error("the outcome is unknown: it may or may not have taken effect")]
    OutcomeUnknown,
    /// The primary refused. Nothing was done.
    #[error(transparent)]
    Refused(Refusal),
}

impl Failure {
    /// What a request comes to whose last answer, at its deadline, was `refusal`.
    pub(crate) fn at_deadline(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotPrimary { .. } | Refusal::TakingOver { .. } => Self::NobodyToAsk {
                why: Some(refusal.to_string()),
            },
            refusal => Self::Refused(refusal),
        }
    }
}

fn because(why: Option<&String>) -> String {
    why.map_or_else(String::new, |why| format!(": {why}"))
}

/// The epoch that a refusal names a primary of, and that primary.
pub(crate) fn hint_of(refusal: &Refusal) -> Option<(Option<&Address>, Epoch)> {
    match refusal {
        Refusal::NotPrimary { primary, epoch } => Some((primary.as_ref(), *epoch)),
        _ => None,
    }
}
