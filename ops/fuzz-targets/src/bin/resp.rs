//! Redis requests of any bytes: reading them never panics, and they come to the same whether they
//! arrive at once or in pieces.
//!
//! The first byte of an input is the length of the pieces.

#![no_main]

use bytes::{Bytes, BytesMut};
use kv_resp::{Limits, ProtocolError, RequestReader, Taken};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    arguments_max: 1000,
    argument_max_bytes: 10_000,
    request_max_bytes: 100_000,
};

/// The requests, and how it ended.
type Read = (Vec<Vec<Bytes>>, Option<ProtocolError>);

fuzz_target!(|input: &[u8]| {
    let Some((&length, content)) = input.split_first() else {
        return;
    };
    let at_once = read(content.chunks(content.len().max(1)));
    let in_pieces = read(content.chunks(usize::from(length).max(1)));
    assert_eq!(at_once, in_pieces);
});

fn read<'input>(pieces: impl Iterator<Item = &'input [u8]>) -> Read {
    let mut reader = RequestReader::new(LIMITS);
    let mut input = BytesMut::new();
    let mut requests = Vec::new();
    let mut came_bytes = 0;
    for piece in pieces {
        input.extend_from_slice(piece);
        came_bytes += piece.len();
        loop {
            match reader.take(&mut input) {
                Ok(Some(Taken::Request(arguments))) => {
                    assert!(!arguments.is_empty() && arguments.len() <= LIMITS.arguments_max);
                    requests.push(arguments);
                }
                Ok(Some(Taken::Nothing)) => {}
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        // 32 for each argument, of which the shortest takes six bytes of input.
        assert!(reader.held_bytes() <= came_bytes * 6);
    }
    (requests, None)
}
