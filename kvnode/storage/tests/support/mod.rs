//! Batches and folders for the tests of storage.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

pub(crate) mod node;
pub(crate) mod numbers;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody, RequestRecord};
use kv_common::id::{Epoch, Position, RequestId, Seq, SessionId};
use kv_common::time::UnixMs;
use kvnode_storage::StorageOptions;

/// How long a test waits for a thread before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn at(epoch: u64, seq: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        seq: Seq(seq),
    }
}

/// Small segments, so that a test has several.
pub(crate) fn options() -> StorageOptions {
    StorageOptions {
        segment_bytes: 64 << 10,
        retention_bytes: 0,
        checkpoint_cache_bytes: 8 << 20,
        ..StorageOptions::default()
    }
}

/// The segments of the log in `dir`, in order.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}

pub(crate) fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.write_all_at(bytes, offset).expect("writes");
}

pub(crate) fn put(key: &str, value: &[u8]) -> Change {
    Change::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value),
        expires_at: None,
    }
}

pub(crate) fn put_expiring(key: &str, value: &str, at: u64) -> Change {
    Change::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expires_at: Some(UnixMs(at)),
    }
}

pub(crate) fn delete(key: &str) -> Change {
    Change::Delete {
        key: Bytes::copy_from_slice(key.as_bytes()),
    }
}

pub(crate) fn changes(changes: Vec<Change>) -> EntryBody {
    EntryBody::Changes {
        request: None,
        changes,
    }
}

pub(crate) fn request(session: Position, number: u64, changes: Vec<Change>) -> EntryBody {
    EntryBody::Changes {
        request: Some(RequestRecord {
            id: RequestId {
                session: SessionId(session),
                number,
            },
            floor: number.saturating_sub(3),
            reply: Bytes::from(format!("reply {number}")),
        }),
        changes,
    }
}

/// A batch of these entries.
pub(crate) fn batch_of(epoch: u64, first: u64, committed: u64, bodies: &[EntryBody]) -> Batch {
    let mut builder = BatchBuilder::new(Epoch(epoch), Seq(first));
    for body in bodies {
        builder.push(body);
    }
    builder.close(Seq(committed))
}

/// A batch of one entry that puts a value of `bytes` bytes under a key of its own.
pub(crate) fn batch(epoch: u64, seq: u64, bytes: usize) -> Batch {
    let fill = u8::try_from(seq % 251).expect("is small");
    let body = changes(vec![put(&format!("key-{seq}"), &vec![fill; bytes])]);
    batch_of(epoch, seq, seq.saturating_sub(1), &[body])
}

/// Copies a folder with everything in it, as a crash would leave it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("has a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
