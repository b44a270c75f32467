//! A node that cannot start says why in one line and ends.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use kv_common::id::{Address, Incarnation};
use kv_common::message::control::{FsyncMode, RegistrationRefusal, Standing};

use super::support::{Client, Door, Node, Single};

fn nowhere() -> Address {
    Address("127.0.0.1:1".to_owned())
}

/// The one complaint of a node that does not start.
async fn complaint(mut node: Node) -> String {
    let (status, lines) = node.end().await;
    assert_eq!(status.code(), Some(1), "{lines:?}");
    let complaints: Vec<String> = lines
        .into_iter()
        .filter(|line| !line.contains("INFO"))
        .collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.concat()
}

#[tokio::test]
async fn a_taken_port_is_named_before_anything_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("bound").to_string();
    let data_dir = folder.path().join("node");
    let node = Node::with(&[
        "--coordinator=127.0.0.1:1",
        "--listen",
        &taken,
        "--data-dir",
        data_dir.to_str().expect("text"),
    ]);
    let said = complaint(node).await;
    assert!(
        said.contains(&taken) && said.contains("another program"),
        "{said}"
    );
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_db_txt_that_could_not_be_written_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("node");
    let db_txt = folder.path().join("exprots/db.txt");
    let db_txt = db_txt.to_str().expect("text");
    let said = complaint(Node::start(&data_dir, &nowhere(), &["--db-txt", db_txt])).await;
    assert!(
        said.contains(db_txt) && said.contains("is not there"),
        "{said}"
    );
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_data_directory_in_use_is_named() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let data_dir = single.data_dir();
    let said = complaint(Node::start(&data_dir, &nowhere(), &[])).await;
    assert!(said.contains(data_dir.to_str().expect("text")), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert_eq!(single.client.get("k").await.as_deref(), Some(&b"v"[..]));
}

#[tokio::test]
async fn a_foreign_a_newer_and_an_impossible_data_directory_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = folder.path().join("foreign");
    let newer = folder.path().join("newer");
    let file = folder.path().join("file");
    fs::create_dir(&foreign).expect("makes");
    fs::write(foreign.join("thesis.tex"), "x").expect("writes");
    fs::create_dir(&newer).expect("makes");
    fs::write(newer.join("FORMAT"), "kvnode 999\n").expect("writes");
    fs::write(&file, "no folder").expect("writes");
    for (data_dir, words) in [(foreign, "thesis.tex"), (newer, "999"), (file, "file")] {
        let said = complaint(Node::start(&data_dir, &nowhere(), &[])).await;
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn an_address_that_nobody_can_reach_wants_another_to_advertise() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("node");
    let everywhere = ["--listen", "0.0.0.0:0"];
    let arguments = [
        "--coordinator=127.0.0.1:1",
        "--data-dir",
        data_dir.to_str().expect("text"),
    ];
    let said = complaint(Node::with(&[&arguments[..], &everywhere].concat())).await;
    assert!(said.contains("--advertise"), "{said}");
}

#[test]
fn usage_errors_have_an_exit_code_of_their_own() {
    for arguments in [
        &["--coordinator", "127.0.0.1:7100"][..],
        &["--data-dir", "d"],
        &["--data-dir", "d", "--coordinator", "127.0.0.1:99999"],
        &[
            "--data-dir",
            "d",
            "--coordinator",
            "a:1",
            "--colour",
            "blue",
        ],
        &[
            "--data-dir",
            "d",
            "--coordinator",
            "a:1",
            "--fsync",
            "perhaps",
        ],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kvnode"))
            .args(arguments)
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_version_names_the_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_kvnode"))
        .arg("--version")
        .output()
        .expect("runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let expected = format!("kvnode {} (", env!("CARGO_PKG_VERSION"));
    assert!(
        output.status.success() && said.starts_with(&expected),
        "{said}"
    );
}

#[tokio::test]
async fn a_first_start_brings_the_pairs_of_a_db_txt() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("node");
    fs::create_dir(&data_dir).expect("makes");
    fs::write(data_dir.join("db.txt"), "a n\nb m\n").expect("writes");
    let door = Door::open().await;
    let mut node = Node::start(&data_dir, &door.address, &["--name", "eve"]);
    let address = node.address().await;
    let (mut coordinator, registration) = door.registration().await;
    assert_eq!(registration.name, "eve");
    assert_eq!(registration.address, address);
    let Standing::Fresh { data: Some(data) } = registration.standing else {
        panic!("{:?}", registration.standing);
    };
    assert_eq!(data.keys, 2);
    assert!(!data_dir.join("db.txt").exists());
    assert!(data_dir.join("db.txt.imported").exists());
    coordinator.take().await;
    coordinator.make_primary(1).await;
    let mut client = Client::of(&address).await;
    assert_eq!(client.get("b").await.as_deref(), Some(&b"m"[..]));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let mut single = Single::start(&[]).await;
    single.client.put("a", b"n").await;
    let data_dir = single.data_dir();
    single.node.stop().await;
    let text = fs::read_to_string(data_dir.join("db.txt")).expect("was written");
    assert!(text.contains("a n\n"), "{text}");

    for run in 2..4 {
        let mut node = Node::start(&data_dir, &single.door.address, &[]);
        let address = node.address().await;
        let (mut coordinator, registration) = single.door.registration().await;
        assert_eq!(registration.incarnation, Incarnation(run));
        assert_eq!(registration.node, single.coordinator.seat.node);
        assert!(
            matches!(registration.standing, Standing::Veteran { view_epoch, .. } if view_epoch.0 == run - 1),
            "{:?}",
            registration.standing
        );
        coordinator.take().await;
        coordinator.make_primary(run).await;
        let mut client = Client::of(&address).await;
        assert_eq!(client.get("a").await.as_deref(), Some(&b"n"[..]));
        client.put("a", b"n").await;
        drop(node);
    }
}

#[tokio::test]
async fn a_node_that_will_never_be_taken_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let mut node = Node::start(&folder.path().join("node"), &door.address, &[]);
    let (mut coordinator, _) = door.registration().await;
    let refusal = RegistrationRefusal::Fsync {
        ours: FsyncMode::EverySec,
        theirs: FsyncMode::Always,
    };
    coordinator.refuse(refusal.clone()).await;
    let (status, lines) = node.end().await;
    assert_eq!(status.code(), Some(1), "{lines:?}");
    let last = lines.last().expect("a line");
    assert!(last.contains(&refusal.to_string()), "{last}");
}
