//! A whole cluster from one seed: the daemons' own cores, and everything around them simulated.
//!
//! | file | what it simulates |
//! |---|---|
//! | `world` | time, the network, clocks that run at different rates |
//! | `node`, `node_links`, `node_registration` | the shell of a node, and its connections |
//! | `node_storage`, `disk` | its disk, which keeps only what was flushed |
//! | `registry` | the coordinator's shell |
//! | `client`, [`history`] | clients, and the judge of what they saw |
//! | `faults` | what goes wrong |
//! | [`invariants`] | what must hold in every state |
//! | [`breakages`] | deliberate mistakes in the cores, to see that they are found |
//! | [`run`] | a run from beginning to end |

pub mod breakages;
mod client;
mod disk;
mod faults;
pub mod history;
pub mod invariants;
mod node;
mod node_links;
mod node_registration;
mod node_storage;
mod registry;
pub mod run;
mod world;

pub use world::Options;
