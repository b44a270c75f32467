//! What a client decides, without I/O: whom to ask next, when to ask again, and under which request
//! id.
//!
//! [`Dispatcher`] holds every request that has no end yet. Its shell tells it what happens
//! ([`Input`]), carries out what it asks for ([`Effect`]), and calls it when a time that it named has
//! come. One connection to the node that is taken for the primary carries all requests, answered in
//! any order.
//!
//! What makes asking again safe is the session: a write is numbered in it once, and carries the same
//! number each time it is sent. A write that was sent outside a session is never sent twice.
//!
//! [`Rotation`] says which coordinator to try next, and after which pause.

mod back_off;
mod dispatcher;
mod door;
#[cfg(test)]
mod fixture;
mod request;
mod retry;
mod rotation;
mod routes;
mod sessions;

pub use back_off::BackOff;
pub use dispatcher::Dispatcher;
pub use door::{Effect, Failure, Input, LinkId, RequestToken};
pub use request::Protection;
pub use rotation::Rotation;
pub use routes::{Route, Routes};
pub use sessions::{SESSION_IN_FLIGHT_MAX, SessionNumbers};
