//! What a command does to the node, beside the key space.

use bytes::Bytes;

use crate::settings::Setting;

/// What a command does to the node. Within a transaction it is done when the transaction is, in its
/// place among the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the clients that listen; answered with how many that are.
    Publish {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// Close connections; answered with how many that are.
    Kill(Victims),
    /// Write `db.txt`; answered at once.
    SaveInBackground {
        /// Whether a transaction asked for it, which Redis answers with another word.
        in_transaction: bool,
    },
    /// Answered with how many copies hold all that is applied, as [`copies`](crate::copies) says.
    CountCopies {
        /// Whether the disks are asked about, this node's among them.
        on_disk: bool,
    },
    /// Change settings.
    Configure(Vec<Setting>),
    /// Forget the slow requests.
    ForgetSlow,
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
