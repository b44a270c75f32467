//! Frames of any bytes, as each kind of message: decoding never panics, takes nothing before a frame
//! is whole, and what was decoded is the same after it was encoded and decoded again.
//!
//! The first byte of an input chooses the kind, the second where the input is cut in two.

#![no_main]

use std::fmt::Debug;

use bytes::BytesMut;
use kv_common::batch::Batch;
use kv_common::message::client::{ClientToNode, NodeToClient};
use kv_common::message::control::{CoordinatorToNode, NodeToCoordinator};
use kv_common::message::copy::{JoinerToPrimary, PrimaryToJoiner};
use kv_common::message::hello::{Hello, Welcome};
use kv_common::message::registry::{ClientToCoordinator, CoordinatorToClient};
use kv_common::message::replication::{FollowerToPrimary, PrimaryToFollower};
use kv_net::{encode_frame, take_frame};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

const FRAME_MAX_BYTES: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&[kind, cut], content)) = input.split_first_chunk() else {
        return;
    };
    let cut = usize::from(cut).min(content.len());
    match kind % 13 {
        0 => decode::<Hello>(content, cut),
        1 => decode::<Welcome>(content, cut),
        2 => decode::<ClientToNode>(content, cut),
        3 => decode::<NodeToClient>(content, cut),
        4 => decode::<ClientToCoordinator>(content, cut),
        5 => decode::<CoordinatorToClient>(content, cut),
        6 => decode::<NodeToCoordinator>(content, cut),
        7 => decode::<CoordinatorToNode>(content, cut),
        8 => decode::<PrimaryToFollower>(content, cut),
        9 => decode::<FollowerToPrimary>(content, cut),
        10 => decode::<JoinerToPrimary>(content, cut),
        11 => decode::<PrimaryToJoiner>(content, cut),
        _ => batch(content),
    }
});

fn decode<M: Serialize + DeserializeOwned + PartialEq + Debug>(content: &[u8], cut: usize) {
    let mut whole = BytesMut::from(content);
    let decoded = take_frame::<M>(&mut whole, FRAME_MAX_BYTES);
    let mut parts = BytesMut::from(&content[..cut]);
    let mut of_parts = take_frame::<M>(&mut parts, FRAME_MAX_BYTES);
    if matches!(of_parts, Ok(None)) {
        assert!(
            parts == content[..cut],
            "takes nothing of a frame that is not whole"
        );
        parts.extend_from_slice(&content[cut..]);
        of_parts = take_frame(&mut parts, FRAME_MAX_BYTES);
    }
    match (decoded, of_parts) {
        (Ok(Some(message)), Ok(Some(of_parts))) => {
            assert_eq!(message, of_parts);
            let mut encoded = BytesMut::new();
            if encode_frame(&message, FRAME_MAX_BYTES, &mut encoded).is_ok() {
                let again = take_frame::<M>(&mut encoded, FRAME_MAX_BYTES);
                assert_eq!(again.expect("our own frame").as_ref(), Some(&message));
                assert!(encoded.is_empty());
            }
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (one, other) => panic!("{one:?}, and in two parts {other:?}"),
    }
}

/// Batches travel inside frames, under a checksum of their own.
fn batch(content: &[u8]) {
    let mut content = content.to_vec();
    if content.len() >= 12 {
        let crc = crc32c::crc32c(&content[12..]);
        content[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    if let Ok(batch) = Batch::parse(content.into()) {
        let _ = batch.entries();
    }
}
