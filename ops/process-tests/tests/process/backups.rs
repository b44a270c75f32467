//! A backup taken while writes go on, and brought back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kvclient::{Client, ClientOptions};
use process_tests::{Cluster, User, wait_until};

use crate::rounds::TIMEOUT;

/// Puts `order-000000`, `order-000001` and so on, each after the one before was acknowledged, until
/// it is told to stop.
fn write_in_order(coordinator: &str, stop: Arc<AtomicBool>) -> thread::JoinHandle<u64> {
    let options = ClientOptions {
        coordinators: vec![coordinator.parse().expect("an address")],
        timeout: TIMEOUT,
        ..ClientOptions::default()
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("is built").block_on(async {
            let client = Client::connect(options).expect("a coordinator is named");
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let put = client.put(format!("order-{number:06}"), "x").await;
                put.expect("is put");
                number += 1;
            }
            client.close().await;
            number
        })
    })
}

/// The line of an export that says when the key `goes` goes.
fn expiry_of_goes(user: &User) -> String {
    let exported = user.run(&["export", "-"]).text();
    let mut lines = exported.lines();
    let line = lines.find(|line| line.starts_with("%expires=") && line.ends_with(",goes"));
    line.expect("it has an expiry").to_owned()
}

#[test]
fn a_backup_taken_under_load_is_one_moment_and_comes_back_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let file = file.to_str().expect("text");
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let put = user.run_with_input(&["put", "every byte\n", "-"], &every_byte);
    assert_eq!(put.code, 0, "{}", put.stderr);
    user.done(&["put", "", "the empty key"]);
    user.done(&["put", "%expires=1,k", "no expiry"]);
    user.done(&["put", "goes", "later", "--expires", "2000h"]);
    let goes_at = expiry_of_goes(&user);
    user.done(&["put", "brief", "x", "--expires", "1s"]);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_in_order(cluster.coordinator_address(), Arc::clone(&stop));
    cluster.wait_for_commits(200);
    user.done(&["backup", file]);
    cluster.wait_for_commits(20);
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().expect("the writer ends");
    drop(cluster);

    let cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["restore", file]);
    cluster.expect_equal_copies();
    let restored = user.done(&["scan", "--match", "order-*", "--limit", "1000000"]);
    let mut keys: Vec<&str> = restored.lines().collect();
    keys.sort_unstable();
    assert!(
        !keys.is_empty() && (keys.len() as u64) < written,
        "{} of {written}",
        keys.len()
    );
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(
            *key,
            format!("order-{number:06}"),
            "a write is there without one before it"
        );
    }
    assert!(
        user.run(&["get", "every byte\n"])
            .stdout
            .starts_with(&every_byte)
    );
    assert_eq!(user.done(&["get", ""]), "the empty key");
    assert_eq!(user.done(&["get", "%expires=1,k"]), "no expiry");
    assert_eq!(expiry_of_goes(&user), goes_at);
    wait_until("the brief key to go", Duration::from_secs(20), || {
        let got = user.run(&["get", "brief"]);
        if got.code == 1 {
            Ok(())
        } else {
            Err(got.text())
        }
    });
}
