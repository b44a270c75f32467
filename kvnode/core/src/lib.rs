//! The decisions of a node, as values.
//!
//! | file | what it decides |
//! |---|---|
//! | [`replica`] | the doors: inputs in, effects out |
//! | `primary`, `primary/*` | executing, committing, answering, and whom to propose |
//! | `following` | taking entries from a primary, and promising it a lease |
//! | `local`, `log_positions`, `tail` | what a replica has in every role |
//! | [`promise`] | what outlives the process, and how long leases given to primaries run |
//! | [`refused_messages`] | what others said and nothing was done about, counted |
//! | [`state`] | the applied state, and what commands come down to |
//!
//! A [`replica::Replica`] is told what happened ([`input::Input`]) and hands out what is to be done
//! ([`effect::Effect`]). It reads no clock and touches no disk: time comes with each input, and
//! durability is an input of its own.

pub mod effect;
mod following;
pub mod input;
mod local;
mod log_positions;
mod primary;
pub mod promise;
pub mod refused_messages;
pub mod replica;
pub mod state;
mod tail;
