//! What the benchmarks of the pieces share: keys, values, and a node's core that is primary and alone.
//!
//! The benchmarks themselves are in `benches`, one file for each piece that an operation goes through.

mod alone;

pub use alone::PrimaryAlone;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::command::{Command, PutCondition};
use kv_common::entry::{Change, EntryBody};
use kv_common::id::{Epoch, Seq};
use kv_common::message::client::ClientToNode;

/// Keys that the benchmarks use in turn: more than caches hold.
pub const KEYS: u64 = 1 << 18;
/// The value of a key.
pub const VALUE: [u8; 64] = [b'v'; 64];

/// A key of 16 bytes.
#[must_use]
pub fn key(number: u64) -> Bytes {
    Bytes::from(format!("key-{number:012}"))
}

/// Sets a key.
#[must_use]
pub fn put(number: u64) -> Command {
    Command::Put {
        key: key(number),
        value: Bytes::from_static(&VALUE),
        expiry: None,
        condition: PutCondition::Always,
    }
}

/// What a native client sends to set a key.
#[must_use]
pub fn put_request() -> ClientToNode {
    ClientToNode::Request {
        id: 1,
        stamp: None,
        command: put(1),
    }
}

/// A batch of so many entries, each of which sets a key.
#[must_use]
pub fn batch(entries: u64) -> Batch {
    let mut builder = BatchBuilder::new(Epoch(1), Seq(1));
    for number in 0..entries {
        builder.push(&EntryBody::Changes {
            request: None,
            changes: vec![Change::Put {
                key: key(number),
                value: Bytes::from_static(&VALUE),
                expires_at: None,
            }],
        });
    }
    builder.close(Seq(0))
}

/// What a Redis client sends to set a key.
#[must_use]
pub fn redis_set(number: u64) -> Vec<u8> {
    let key = key(number);
    let mut bytes = format!("*3\r\n$3\r\nSET\r\n${}\r\n", key.len()).into_bytes();
    bytes.extend_from_slice(&key);
    bytes.extend_from_slice(format!("\r\n${}\r\n", VALUE.len()).as_bytes());
    bytes.extend_from_slice(&VALUE);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Reads a key.
#[must_use]
pub fn get(number: u64) -> Command {
    Command::Get { key: key(number) }
}

/// Numbers below [`KEYS`] in an order that no cache foresees, the same each time.
#[derive(Debug, Default)]
pub struct Scattered(u64);

impl Iterator for Scattered {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        // An odd step goes through every residue of a power of two.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Some((self.0 >> 20) % KEYS)
    }
}
