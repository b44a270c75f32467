//! How a record becomes cells of sled, each short enough to stay in sled's log.
//!
//! ```text
//! short key  = 'r' key                                     key of at most 1 KiB
//! long key   = 'r' first KiB of the key, hash u128, slot u16
//! head cell  = crc u32, 0x00, value                        short key, short value
//!            | crc u32, 0x01, key length u32, key, value   long key, both fit into the cell
//!            | crc u32, 0x02, key length u32, payload length u64, payload crc u32
//! piece key  = 'p' the head's key without its 'r', index u32
//! piece cell = crc u32, bytes of the payload
//! payload    = the key if it is a long one, value
//! ```
//!
//! Numbers in keys are big-endian, so that cells stand in order; in values they are
//! little-endian. A cell's checksum covers its key too, so a cell in the wrong place is found.
//! The slot keeps two long keys apart that have the same first KiB and the same hash.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest cell: key and value as sled gets them. A leaf holds up to 16 cells and has to stay
/// under a quarter of a segment.
pub const CELL_MAX_BYTES: usize = 16 << 10;
/// The longest key that is stored as it is. Longer ones are stored by hash, with the full key
/// beside the value.
pub const SHORT_KEY_MAX_BYTES: usize = 1 << 10;

/// What one piece holds of a payload: with its key and checksum it stays within a cell.
pub(crate) const PIECE_BYTES: usize = 15_000;
const HEAD: u8 = b'r';
const PIECE: u8 = b'p';
/// A hash and a slot behind the first KiB of a long key.
const LONG_TAIL_BYTES: usize = 18;
const HASH_BYTES: usize = 16;

const TAG_SHORT: u8 = 0;
const TAG_LONG: u8 = 1;
const TAG_PIECES: u8 = 2;

const _: () = {
    let longest_key = 1 + SHORT_KEY_MAX_BYTES + LONG_TAIL_BYTES + 4;
    assert!(longest_key + 4 + PIECE_BYTES <= CELL_MAX_BYTES);
};

/// Where the cells with keys begin; those of pieces are elsewhere.
pub(crate) const PIECE_PREFIX: [u8; 1] = [PIECE];

/// The head's key for a short key, and where keys that begin so are found.
pub(crate) fn head_key(start: &[u8]) -> Vec<u8> {
    let start = &start[..start.len().min(SHORT_KEY_MAX_BYTES)];
    let mut key = Vec::with_capacity(1 + start.len() + LONG_TAIL_BYTES);
    key.push(HEAD);
    key.extend_from_slice(start);
    key
}

/// What the heads' keys of all long keys with this first KiB and hash begin with.
pub(crate) fn long_head_prefix(key: &[u8], hash: u128) -> Vec<u8> {
    let mut prefix = head_key(key);
    prefix.extend_from_slice(&hash.to_be_bytes());
    prefix
}

/// The head's key of a long key in its slot.
pub(crate) fn long_head_key(prefix: &[u8], slot: u16) -> Vec<u8> {
    let mut key = prefix.to_vec();
    key.extend_from_slice(&slot.to_be_bytes());
    key
}

/// The slot in a head's key, and nothing if it is that of a short key.
pub(crate) fn slot_of(head_key: &[u8]) -> Option<u16> {
    let tail = head_key.get(1 + SHORT_KEY_MAX_BYTES + HASH_BYTES..)?;
    Some(u16::from_be_bytes(tail.try_into().ok()?))
}

/// The head's keys of all long keys with the same first KiB lie up to here.
pub(crate) fn group_end(head_key: &[u8]) -> Vec<u8> {
    let mut end = head_key[..=SHORT_KEY_MAX_BYTES].to_vec();
    end.extend_from_slice(&[0xff; LONG_TAIL_BYTES]);
    end
}

/// Whether a head's key is that of a short key.
pub(crate) fn is_short(head_key: &[u8]) -> bool {
    head_key.len() <= 1 + SHORT_KEY_MAX_BYTES
}

/// The key of one piece.
pub(crate) fn piece_key(head_key: &[u8], index: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(head_key.len() + 4);
    key.push(PIECE);
    key.extend_from_slice(&head_key[1..]);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// A head cell, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Key (empty for a short one) and value are in the cell.
    Whole { long_key: Bytes, value: Bytes },
    /// They are in pieces.
    Pieces(PieceList),
}

/// What the pieces come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PieceList {
    /// The length of the key at the front of the payload; 0 for a short key.
    pub(crate) key_bytes: usize,
    /// The length of the payload.
    pub(crate) payload_bytes: u64,
    /// The checksum of the payload.
    pub(crate) payload_crc: u32,
}

impl PieceList {
    /// How many pieces there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.payload_bytes.div_ceil(PIECE_BYTES as u64)).unwrap_or(u32::MAX)
    }
}

/// The cells of a record: the head, then the pieces in order.
pub(crate) struct Cells {
    pub(crate) head: Vec<u8>,
    pub(crate) pieces: Vec<Vec<u8>>,
}

/// Cuts a record into cells.
pub(crate) fn encode(head_key: &[u8], key: &[u8], value: &[u8]) -> Cells {
    let long_key: &[u8] = if is_short(head_key) { &[] } else { key };
    let mut head = Vec::new();
    head.put_u32_le(0);
    let whole = head_key.len() + 9 + long_key.len() + value.len() <= CELL_MAX_BYTES;
    let mut pieces = Vec::new();
    if whole {
        if long_key.is_empty() {
            head.put_u8(TAG_SHORT);
        } else {
            head.put_u8(TAG_LONG);
            head.put_u32_le(length(long_key.len()));
            head.put_slice(long_key);
        }
        head.put_slice(value);
    } else {
        let payload = [long_key, value].concat();
        head.put_u8(TAG_PIECES);
        head.put_u32_le(length(long_key.len()));
        head.put_u64_le(payload.len() as u64);
        head.put_u32_le(crc32c::crc32c(&payload));
        for (index, part) in payload.chunks(PIECE_BYTES).enumerate() {
            let mut cell = Vec::with_capacity(4 + part.len());
            cell.put_u32_le(0);
            cell.put_slice(part);
            seal(&piece_key(head_key, length(index)), &mut cell);
            pieces.push(cell);
        }
    }
    seal(head_key, &mut head);
    Cells { head, pieces }
}

/// Takes a head cell apart; nothing when it is damaged.
pub(crate) fn decode_head(head_key: &[u8], cell: &[u8]) -> Option<Head> {
    let mut body = checked(head_key, cell)?;
    let tag = body.try_get_u8().ok()?;
    match tag {
        TAG_SHORT => Some(Head::Whole {
            long_key: Bytes::new(),
            value: Bytes::copy_from_slice(body),
        }),
        TAG_LONG => {
            let key_bytes = body.try_get_u32_le().ok()? as usize;
            let (key, value) = body.split_at_checked(key_bytes)?;
            Some(Head::Whole {
                long_key: Bytes::copy_from_slice(key),
                value: Bytes::copy_from_slice(value),
            })
        }
        TAG_PIECES => {
            let list = PieceList {
                key_bytes: body.try_get_u32_le().ok()? as usize,
                payload_bytes: body.try_get_u64_le().ok()?,
                payload_crc: body.try_get_u32_le().ok()?,
            };
            (list.key_bytes as u64 <= list.payload_bytes).then_some(Head::Pieces(list))
        }
        _ => None,
    }
}

/// The payload in a piece cell; nothing when it is damaged.
pub(crate) fn decode_piece<'cell>(piece_key: &[u8], cell: &'cell [u8]) -> Option<&'cell [u8]> {
    checked(piece_key, cell)
}

/// Joins pieces to key and value; nothing when they do not make the payload.
pub(crate) fn join(list: &PieceList, payload: BytesMut) -> Option<(Bytes, Bytes)> {
    let whole =
        payload.len() as u64 == list.payload_bytes && crc32c::crc32c(&payload) == list.payload_crc;
    if !whole {
        return None;
    }
    let mut value = payload.freeze();
    let key = value.split_to(list.key_bytes);
    Some((key, value))
}

/// Writes the checksum into the first four bytes of a cell.
fn seal(key: &[u8], cell: &mut [u8]) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &cell[4..]);
    cell[..4].copy_from_slice(&crc.to_le_bytes());
}

fn checked<'cell>(key: &[u8], cell: &'cell [u8]) -> Option<&'cell [u8]> {
    let (crc, body) = cell.split_first_chunk::<4>()?;
    let right = crc32c::crc32c_append(crc32c::crc32c(key), body);
    (u32::from_le_bytes(*crc) == right).then_some(body)
}

/// A length or count that the limit on payloads keeps below 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
