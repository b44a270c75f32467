//! Replies of a Redis of any bytes: reading them never panics, holds no more than it is told to, and comes
//! to the same whether they arrive at once or in pieces.
//!
//! The first byte of an input is the length of the pieces.

#![no_main]

use bytes::BytesMut;
use kv_resp::{Piece, ReplyError, ReplyReader};
use libfuzzer_sys::fuzz_target;

/// Bulk strings up to here are taken; longer ones are passed over.
const BULK_MAX_BYTES: usize = 1000;

/// The pieces of replies, and how it ended.
type Read = (Vec<Piece>, Option<ReplyError>);

fuzz_target!(|input: &[u8]| {
    let Some((&length, content)) = input.split_first() else {
        return;
    };
    let at_once = read(content.chunks(content.len().max(1)));
    let in_pieces = read(content.chunks(usize::from(length).max(1)));
    assert_eq!(at_once, in_pieces);
});

fn read<'input>(arrivals: impl Iterator<Item = &'input [u8]>) -> Read {
    let mut reader = ReplyReader::new(BULK_MAX_BYTES);
    let mut input = BytesMut::new();
    let mut pieces = Vec::new();
    for arrival in arrivals {
        input.extend_from_slice(arrival);
        loop {
            match reader.take(&mut input) {
                Ok(Some(piece)) => {
                    check(&piece);
                    pieces.push(piece);
                }
                Ok(None) => break,
                Err(error) => return (pieces, Some(error)),
            }
        }
    }
    (pieces, None)
}

fn check(piece: &Piece) {
    match piece {
        Piece::Bulk(bytes) => assert!(bytes.len() <= BULK_MAX_BYTES),
        Piece::TooLong { bytes, beginning } => {
            assert!(*bytes > BULK_MAX_BYTES as u64);
            assert!(beginning.len() <= BULK_MAX_BYTES);
        }
        Piece::Status(_) | Piece::Error(_) | Piece::Integer(_) | Piece::Null | Piece::Array(_) => {}
    }
}
