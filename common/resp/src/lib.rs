//! The Redis protocol (RESP2 and RESP3), as a server speaks it: requests are read from bytes, replies
//! are written to bytes. Nothing here knows a command, a socket or a clock.
//!
//! | file | what it holds |
//! |---|---|
//! | `request` | a resumable reader of requests, with limits |
//! | `inline` | requests as people type them |
//! | `value` | replies and how they are written |
//! | `number` | whole numbers in exactly the form that the protocol takes |

mod inline;
mod number;
mod request;
mod value;

pub use number::{integer, unsigned};
pub use request::{Limits, ProtocolError, RequestReader, Taken};
pub use value::{Protocol, Value};
