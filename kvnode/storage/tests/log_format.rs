//! The bytes of a log's files, as ARCHITECTURE.md lays them out: other versions have to read them.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;

use bytes::{BufMut, Bytes};
use kv_common::batch::BatchBuilder;
use kv_common::entry::{Change, EntryBody, RequestRecord};
use kv_common::history::BaseId;
use kv_common::id::{Epoch, Position, RequestId, Seq, SessionId};
use kv_common::time::UnixMs;
use kvnode_storage::Log;

const SEGMENT_BYTES: u64 = 8192;
const HEADER_BYTES: usize = 4096;

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u32_le(u32::try_from(text.len()).expect("short"));
    out.put_slice(text.as_bytes());
}

/// What the entries below come to.
fn entries_by_hand() -> Vec<u8> {
    let mut changes = vec![0x01];
    // The request.
    changes.put_u8(0x01);
    for number in [1, 5, 9, 8] {
        changes.put_u64_le(number);
    }
    put_text(&mut changes, "ok");
    changes.put_u32_le(5);
    changes.put_u8(0x01);
    put_text(&mut changes, "k");
    put_text(&mut changes, "v");
    changes.put_u8(0x02);
    put_text(&mut changes, "e");
    put_text(&mut changes, "w");
    changes.put_u64_le(77);
    changes.put_u8(0x03);
    put_text(&mut changes, "d");
    changes.put_u8(0x04);
    put_text(&mut changes, "x");
    changes.put_u64_le(78);
    changes.put_u8(0x05);
    let mut ends = vec![0x03];
    ends.put_u32_le(1);
    ends.put_u64_le(1);
    ends.put_u64_le(5);
    let mut out = Vec::new();
    for body in [changes, vec![0x02], ends, vec![0x04]] {
        out.put_u32_le(u32::try_from(body.len()).expect("short"));
        out.put_slice(&body);
    }
    out
}

fn entries() -> [EntryBody; 4] {
    let session = SessionId(Position {
        epoch: Epoch(1),
        seq: Seq(5),
    });
    let request = RequestRecord {
        id: RequestId { session, number: 9 },
        floor: 8,
        reply: Bytes::from_static(b"ok"),
    };
    let put = |key: &'static str, value: &'static str, expires_at| Change::Put {
        key: key.into(),
        value: value.into(),
        expires_at,
    };
    let changes = vec![
        put("k", "v", None),
        put("e", "w", Some(UnixMs(77))),
        Change::Delete { key: "d".into() },
        Change::Expire {
            key: "x".into(),
            expires_at: UnixMs(78),
        },
        Change::Clear,
    ];
    [
        EntryBody::Changes {
            request: Some(request),
            changes,
        },
        EntryBody::OpenSession,
        EntryBody::EndSessions(vec![session]),
        EntryBody::Mark,
    ]
}

/// The whole segment. Only the salt is taken from the file, for it is random.
fn file_by_hand(salt: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.put_u32_le(2);
    header.put_u128_le(0xabc);
    header.put_u64_le(11);
    header.put_u64_le(2);
    header.put_u64_le(SEGMENT_BYTES);
    header.put_slice(salt);
    let entries = entries_by_hand();
    let mut checked = Vec::new();
    checked.put_u32_le(4);
    checked.put_u64_le(3);
    checked.put_u64_le(11);
    checked.put_u64_le(10);
    checked.put_slice(&entries);
    let mut batch = b"KVB1".to_vec();
    batch.put_u32_le(u32::try_from(entries.len()).expect("short"));
    batch.put_u32_le(crc32c::crc32c(&checked));
    batch.put_slice(&checked);
    let mut front = salt.to_vec();
    front.put_u64_le(10);
    front.put_slice(&batch[..40]);
    let mut file = b"KVSEG001".to_vec();
    file.put_u32_le(crc32c::crc32c(&header));
    file.put_slice(&header);
    file.resize(HEADER_BYTES, 0);
    file.put_slice(b"KVR1");
    file.put_u32_le(crc32c::crc32c(&front));
    file.put_u64_le(10);
    file.put_slice(&batch);
    file.resize(usize::try_from(SEGMENT_BYTES).expect("short"), 0);
    file
}

#[test]
fn a_segment_has_the_bytes_that_the_format_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let before = Position {
        epoch: Epoch(2),
        seq: Seq(10),
    };
    let mut log = Log::create(dir.path(), BaseId(0xabc), before, SEGMENT_BYTES).expect("creates");
    let mut builder = BatchBuilder::new(Epoch(3), Seq(11));
    for body in entries() {
        builder.push(&body);
    }
    log.append(&[builder.close(Seq(10))]).expect("appends");
    let file = fs::read(dir.path().join("00000000000000000011.seg")).expect("reads");
    let salt = &file[56..64];
    assert_ne!(salt, [0; 8], "the salt is random");
    assert!(
        file == file_by_hand(salt),
        "{:x?}",
        &file[HEADER_BYTES..HEADER_BYTES + 256]
    );
}
