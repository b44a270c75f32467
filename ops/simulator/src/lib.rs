//! A whole cluster from one seed: the daemons' own cores, and everything around them simulated.
//!
//! | file | what it simulates |
//! |---|---|
//! | `world` | time, the network, clocks that run at different rates |
//! | `node`, `node_links`, `node_registration` | the shell of a node, and its connections |
//! | `node_storage`, `disk` | its disk, which keeps only what was flushed |
//! | `registry` | the coordinator's shell |
//! | `client`, [`history`] | clients, and the judge of what they saw |
//! | `faults`, `fault_kinds` | what goes wrong, and what may |
//! | `trace` | what happened, for whoever follows it |
//! | [`invariants`] | what must hold in every state |
//! | [`breakages`] | deliberate mistakes in the cores, to see that they are found |
//! | [`scenario`] | clusters and faults that have a name |
//! | [`run`] | a run from beginning to end |

pub mod breakages;
mod client;
mod disk;
mod fault_kinds;
mod faults;
pub mod history;
pub mod invariants;
mod node;
mod node_links;
mod node_registration;
mod node_storage;
mod registry;
pub mod run;
pub mod scenario;
mod trace;
mod world;

pub use fault_kinds::{FaultKind, FaultKinds};
pub use trace::Tracing;
pub use world::Options;
