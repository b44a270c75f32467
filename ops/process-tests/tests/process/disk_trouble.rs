//! Disks that are full, stand still or fail, under load: one of a backup, then one of the primary.

mod small_disk;

use bytes::Bytes;
use kv_common::message::control::{DiskHealth, DiskTrouble};
use kvclient::{Client, ClientOptions};
use process_tests::{Cluster, Status};
use std::os::unix::fs::symlink;
use std::process::Command;
use tokio::runtime::Runtime;

use self::small_disk::SmallDisk;
use crate::rounds::TIMEOUT;

const VALUE_BYTES: usize = 1 << 20;
/// More than the disk takes, by less than is freed in the end.
const WRITES: u64 = 130;
const KEYS: u64 = 8;

/// Who is on the small disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Backup,
    Primary,
}

/// A cluster with one node on a disk of its own.
struct Trouble {
    cluster: Cluster,
    disk: SmallDisk,
    /// The name of the node on it.
    node: String,
    runtime: Runtime,
    client: Client,
    written: u64,
}

impl Trouble {
    fn begin(disk: SmallDisk, victim: Victim) -> Self {
        let mut cluster = Cluster::of_three();
        let node = cluster.backup();
        cluster.stop_node(&node);
        let data_dir = cluster.data_dir(&node);
        let there = disk.folder().join("node");
        let moved = Command::new("mv").arg(&data_dir).arg(&there).status();
        assert!(moved.expect("mv runs").success());
        // A node makes durable what it writes itself, and not what was moved for it.
        let synced = Command::new("sync")
            .arg("--file-system")
            .arg(&there)
            .status();
        assert!(synced.expect("sync runs").success());
        symlink(there, data_dir).expect("is linked");
        cluster.start_node(&node);
        cluster.wait_for_in_sync(3);
        if victim == Victim::Primary {
            cluster.user().done(&["admin", "switchover", &node]);
            cluster.wait_for_status("the switchover", |status| {
                status.members_in_sync() == 3 && status.primary().as_ref() == Some(&node)
            });
        }
        let options = ClientOptions {
            coordinators: vec![cluster.coordinator_address().parse().expect("an address")],
            timeout: TIMEOUT,
            ..ClientOptions::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("is built");
        let client = runtime.block_on(async { Client::connect(options) });
        Self {
            cluster,
            disk,
            node,
            runtime,
            client: client.expect("a coordinator is named"),
            written: 0,
        }
    }

    /// Overwrites a few keys; every write must be acknowledged, whatever becomes of the disk.
    fn write(&mut self, count: u64) {
        self.runtime.block_on(async {
            for number in self.written..self.written + count {
                let put = self.client.put(key(number), value(number)).await;
                put.unwrap_or_else(|error| panic!("write {number}: {error}"));
            }
        });
        self.written += count;
    }

    fn expect_all_there(&self) {
        self.runtime.block_on(async {
            for number in self.written.saturating_sub(KEYS)..self.written {
                let got = self.client.get(key(number)).await.expect("is read");
                assert!(got == Some(value(number)), "write {number} is lost");
            }
        });
    }

    /// The cluster goes on without the node, and says what is wrong with it.
    fn expect_left_with(&self, expected: &[DiskTrouble]) {
        let status = self.cluster.wait_for_status("the node to leave", |status| {
            status.members_in_sync() == 2 && trouble_of(status, &self.node).is_some()
        });
        assert_ne!(status.primary().as_ref(), Some(&self.node));
        let trouble = trouble_of(&status, &self.node).expect("was waited for");
        assert!(expected.contains(&trouble), "{trouble:?}");
        let text = self.cluster.user().done(&["status"]);
        let line = text.lines().find(|line| line.contains(&self.node));
        let line = line.expect("every node has a line");
        assert!(line.contains(&format!("disk {trouble}: ")), "{text}");
    }

    fn expect_back(&self) {
        self.cluster.wait_for_in_sync(3);
        self.expect_all_there();
        self.cluster.expect_equal_copies();
    }
}

fn key(number: u64) -> String {
    format!("big-{}", number % KEYS)
}

/// Whole values that tell which write they are of.
fn value(number: u64) -> Bytes {
    Bytes::from(number.to_le_bytes().repeat(VALUE_BYTES / 8))
}

fn trouble_of(status: &Status, node: &str) -> Option<DiskTrouble> {
    match status.node(node)?.report?.disk {
        DiskHealth::Failed(failure) => Some(failure.trouble),
        DiskHealth::Works | DiskHealth::Slow { .. } => None,
    }
}

/// The disk fills up; when there is space again, the node comes back without being asked.
fn fill_the_disk_of(victim: Victim) {
    let mut trouble = Trouble::begin(SmallDisk::with_ballast(), victim);
    trouble.write(WRITES);
    trouble.expect_left_with(&[DiskTrouble::Full]);
    trouble.expect_all_there();
    trouble.disk.free_ballast();
    trouble.expect_back();
    let log = trouble.cluster.log_of(&trouble.node);
    let said = log.matches("the disk is full").count();
    assert_eq!(said, 1, "said once, and no restart in a loop:\n{log}");
}

/// Flushes stand still and then go on; the node comes back in the same run.
fn stall_the_disk_of(victim: Victim) {
    let mut trouble = Trouble::begin(SmallDisk::with_ballast(), victim);
    trouble.write(KEYS);
    let frozen = trouble.disk.freeze();
    trouble.write(KEYS);
    let status = trouble.cluster.wait_for_in_sync(2);
    assert_ne!(status.primary().as_ref(), Some(&trouble.node));
    let text = trouble.cluster.user().done(&["status"]);
    assert!(text.contains("disk slow: a flush takes "), "{text}");
    drop(frozen);
    trouble.expect_back();
    let log = trouble.cluster.log_of(&trouble.node);
    assert!(!log.contains("starting anew"), "{log}");
}

/// The device under the disk reports errors, and the file system gives up; an operator mends it.
fn break_the_disk_of(victim: Victim) {
    let mut trouble = Trouble::begin(SmallDisk::promising_more_than_there_is(), victim);
    trouble.write(WRITES);
    // Which of them the node meets first depends on what it writes first.
    trouble.expect_left_with(&[
        DiskTrouble::Full,
        DiskTrouble::Failing,
        DiskTrouble::ReadOnly,
    ]);
    trouble.expect_all_there();
    let node = trouble.node.clone();
    trouble.cluster.kill_node(&node);
    trouble.disk.mend();
    trouble.cluster.start_node(&node);
    trouble.expect_back();
}

/// The file system turns read-only under the node; an operator mends it.
fn turn_the_disk_read_only_of(victim: Victim) {
    let mut trouble = Trouble::begin(SmallDisk::with_ballast(), victim);
    trouble.write(KEYS);
    trouble.disk.turn_read_only();
    trouble.write(KEYS);
    trouble.expect_left_with(&[DiskTrouble::ReadOnly]);
    trouble.expect_all_there();
    let node = trouble.node.clone();
    trouble.cluster.kill_node(&node);
    trouble.disk.mend();
    trouble.cluster.start_node(&node);
    trouble.expect_back();
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_backup_whose_disk_is_full_leaves_and_comes_back_by_itself() {
    fill_the_disk_of(Victim::Backup);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_primary_whose_disk_is_full_hands_over_and_comes_back_by_itself() {
    fill_the_disk_of(Victim::Primary);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_backup_whose_flushes_stand_still_leaves_and_comes_back_by_itself() {
    stall_the_disk_of(Victim::Backup);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_primary_whose_flushes_stand_still_is_replaced_and_comes_back_by_itself() {
    stall_the_disk_of(Victim::Primary);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_backup_whose_device_fails_leaves_and_comes_back_when_it_is_mended() {
    break_the_disk_of(Victim::Backup);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_primary_whose_device_fails_hands_over_and_comes_back_when_it_is_mended() {
    break_the_disk_of(Victim::Primary);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_backup_whose_disk_turns_read_only_leaves_and_comes_back_when_it_is_mended() {
    turn_the_disk_read_only_of(Victim::Backup);
}

#[test]
#[ignore = "needs a small file system of its own; ops/disk-trouble gives it one"]
fn a_primary_whose_disk_turns_read_only_hands_over_and_comes_back_when_it_is_mended() {
    turn_the_disk_read_only_of(Victim::Primary);
}
