//! The decisions of the coordinator, as values.
//!
//! | file | what it holds |
//! |---|---|
//! | [`coordinator`] | the doors: inputs in, effects out; registration; what waits to be durable |
//! | [`cluster_state`] | what is remembered, and the invariants of views |
//! | `liveness` | what is heard, never stored |
//! | [`rules`] | the ordered rule table |
//! | `failure_detector` | when a primary is failed over |
//! | `failover`, `sealing` | a seal, its answers, and the view that follows |
//! | `proposals` | what a primary asks for, and whom it is to bring in |
//! | `orders`, `forced_primary`, `drain` | what operators order |
//! | `lost_past` | that this coordinator has lost its state, and going on from what the nodes know |
//! | `redis_doors` | Redis addresses that nodes share by mistake |
//! | `conditions` | the state in sentences |

pub mod cluster_state;
mod conditions;
pub mod coordinator;
mod drain;
pub mod effect;
mod failover;
mod failure_detector;
mod forced_primary;
pub mod input;
mod liveness;
mod lost_past;
mod orders;
mod proposals;
mod redis_doors;
pub mod refused_messages;
pub mod rules;
mod sealing;
