//! Views, seals and leases as a model that is small enough to be explored in every order.
//!
//! The simulator runs the real cores through random schedules; this model leaves out what the rules do
//! not rest on, and is explored exhaustively: three nodes, two writes, two failures. What it has:
//!
//! - a coordinator that decides views, orders seals, and takes proposals; maps may come late;
//! - nodes that take a view over, replicate, acknowledge, commit, and restart with their log, view and
//!   seal, and without what they promised to whom;
//! - one message under way in each direction between any two nodes. It may come late, or be lost to a newer
//!   one. It carries the sender's whole log: comparing histories and appending are one step;
//! - failures: a crash, a primary that is taken for dead and is not, a backup that is.
//!
//! **Time** is left out. A lease is something that a primary holds from a follower, or that is on its way
//! to it. That the wait of a new primary is longer than any lease comes down to this: when the wait of a
//! node ends, nobody holds a lease from it any more. The reckoning with clocks that differ is the cores'
//! own, and the simulator's. A flush is left out too: what a node takes, it holds.
//!
//! Each of the [`Rules`] can be left out; the tests show that the claims fail then.

mod claims;
mod cluster;
mod coordinator;
mod node;
mod rules;
mod steps;

pub use claims::{
    members_hold_what_is_acknowledged, one_primary_commits_in_each_epoch, reads_are_not_stale,
};
pub use cluster::{Cluster, NODES, NodeIndex, WRITES};
pub use rules::Rules;
pub use steps::Step;
