//! Connections between the programs: length-prefixed MessagePack frames, a hello that opens each
//! connection, and the bounds that keep a broken or hostile other side cheap.
//!
//! A frame is a 4-byte big-endian length (`tokio_util::codec::LengthDelimitedCodec`) and one message
//! of `kv_common::message`. Nothing is decided here: who is welcome is the caller's word.

mod connection;
mod frame;
mod handshake;
mod refused_connections;
mod socket;

pub use connection::{Connection, FrameReceiver, FrameSender, LinkError};
pub use frame::{encode_frame, take_frame};
pub use handshake::{AcceptError, Accepted, DialError, Limits, accept, dial};
pub use refused_connections::RefusedConnections;
pub use socket::{ListenError, listen, prepare_socket};
