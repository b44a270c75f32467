//! A whole cluster from one seed: the daemons' own cores, and everything around them simulated.
//!
//! | file | what it simulates |
//! |---|---|
//! | `world` | time, the network, clocks that run at different rates |
//! | `node`, `disk` | a node's shell, and a disk that keeps only what was flushed |
//! | `registry` | the coordinator's shell |
//! | `client`, [`history`] | clients, and the judge of what they saw |
//! | `faults` | what goes wrong |
//! | [`run`] | a run from beginning to end |

mod client;
mod disk;
mod faults;
pub mod history;
mod node;
mod registry;
pub mod run;
mod world;

pub use world::Options;
