//! The Redis protocol (RESP2 and RESP3), as a server speaks it: requests are read from bytes, replies
//! are written to bytes; and RESP2 as a client reads it. Nothing here knows a command, a socket or a clock.
//!
//! | file | what it holds |
//! |---|---|
//! | `request` | a resumable reader of requests, with limits |
//! | `inline` | requests as people type them |
//! | `value` | replies and how they are written |
//! | `reply` | a resumable reader of replies, with limits |
//! | `subscriptions` | what one connection wants to hear |
//! | `unknown` | the answer to a command that there is not |
//! | `password` | the password of a door, and the errors about it |
//! | `number` | whole numbers in exactly the form that the protocol takes |

mod inline;
mod number;
mod password;
mod reply;
mod request;
mod subscriptions;
mod unknown;
mod value;

pub use number::{integer, unsigned};
pub use password::{AuthError, PASSWORD_MAX_BYTES, Password};
pub use reply::{Piece, ReplyError, ReplyReader};
pub use request::{Limits, ProtocolError, RequestReader, Taken};
pub use subscriptions::{SubscriptionError, Subscriptions};
pub use unknown::unknown_command;
pub use value::{Protocol, Value};
