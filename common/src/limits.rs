//! The bounds that every program keeps, so that bad input costs a stated amount and no more.

/// The longest key, in bytes.
pub const KEY_MAX_BYTES: usize = 64 << 10;
/// The longest value, in bytes.
pub const VALUE_MAX_BYTES: usize = 64 << 20;
/// The largest frame between a client and a node: one key, one value, and their wrapping.
pub const CLIENT_FRAME_MAX_BYTES: usize = VALUE_MAX_BYTES + KEY_MAX_BYTES + (64 << 10);
/// The largest frame before the hello is through.
pub const HELLO_FRAME_MAX_BYTES: usize = 4 << 10;
/// The largest frame between peers. A larger batch travels in pieces, so that no value holds up
/// acks and beats.
pub const PEER_FRAME_MAX_BYTES: usize = (1 << 20) + (4 << 10);
/// The payload of one piece of a batch that is larger than a peer frame.
pub const PIECE_BYTES: usize = 1 << 20;
/// The size at which a batch is closed. A single entry may be larger.
pub const BATCH_TARGET_BYTES: usize = 1 << 20;
/// The largest batch: one entry with the longest key and value and a reply that holds as much.
pub const BATCH_MAX_BYTES: usize = 2 * (VALUE_MAX_BYTES + KEY_MAX_BYTES) + (64 << 10);
/// The largest frame between a node or a client and the coordinator.
pub const CONTROL_FRAME_MAX_BYTES: usize = 4 << 20;
/// Keys in one request that names several.
pub const KEYS_PER_REQUEST_MAX: usize = 65_536;
/// Keys and values that one command may write, and bytes that it may answer: several keys together
/// come to no more than one may.
pub const COMMAND_MAX_BYTES: usize = VALUE_MAX_BYTES + KEY_MAX_BYTES;
/// Nodes that a coordinator knows, those that are away included; a further one is refused.
pub const NODES_MAX: usize = 256;
/// Numbers that a session may have above its floor.
pub const SESSION_WINDOW: u64 = 1024;
/// What the recorded replies of one session may take of the memory; one that would exceed it waits for the
/// client's floor. A single reply is kept however long it is.
pub const SESSION_REPLIES_MAX_BYTES: u64 = VALUE_MAX_BYTES as u64;
/// What the recorded replies of all sessions may take; a request that would exceed it is refused.
pub const SHARD_REPLIES_MAX_BYTES: u64 = 1 << 30;
/// Sessions that a shard keeps; a further one is refused.
pub const SESSIONS_MAX: usize = 100_000;
/// Epochs that a node's history reaches back.
pub const HISTORY_MAX_EPOCHS: usize = 4096;

const _: () = {
    assert!(PIECE_BYTES < PEER_FRAME_MAX_BYTES);
    assert!(CLIENT_FRAME_MAX_BYTES < BATCH_MAX_BYTES);
    assert!(HELLO_FRAME_MAX_BYTES < CONTROL_FRAME_MAX_BYTES);
};
