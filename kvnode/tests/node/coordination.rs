//! A node and its coordinator.

use std::time::Duration;

use kv_common::id::{ClusterId, Epoch, NodeId, ShardId};
use kv_common::message::control::{
    CoordinatorToNode, DiskHealth, FsyncMode, HeldRole, NodeToCoordinator, RegistrationRefusal,
    Standing,
};
use kv_common::message::hello::HelloRefusal;

use super::support::{CLUSTER, Door, Node, Single};

#[tokio::test]
async fn a_new_node_registers_and_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let more = ["--fsync", "everysec"];
    let mut node = Node::start(&folder.path().join("node"), &door.address, &more);
    let address = node.address().await;
    let (mut coordinator, registration) = door.registration().await;
    assert_eq!(registration.name, address.to_string());
    assert_eq!(registration.fsync, FsyncMode::EverySec);
    assert_eq!(registration.standing, Standing::Fresh { data: None });
    coordinator.take().await;
    for _ in 0..3 {
        let report = coordinator.report(|_| true).await;
        assert_eq!(report.node, registration.node);
        assert_eq!(report.role, HeldRole::None);
        assert_eq!(report.disk, DiskHealth::Works);
    }
}

#[tokio::test]
async fn an_idle_node_shows_that_its_serving_thread_lives() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    // A serving thread that made no turns would grow older with each report.
    let far_too_old_ms = u64::try_from(Duration::from_secs(5).as_millis()).expect("fits");
    for _ in 0..20 {
        let report = single.coordinator.report(|_| true).await;
        assert!(report.serving_age_ms < far_too_old_ms, "{report:?}");
    }
    let report = single.coordinator.report(|report| report.keys == 1).await;
    assert_eq!(report.role, HeldRole::Primary { epoch: Epoch(1) });
}

#[tokio::test]
async fn a_seal_is_answered() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let seal = CoordinatorToNode::Seal {
        shard: ShardId(0),
        epoch: Epoch(2),
    };
    single.coordinator.say(&seal).await;
    let said = single.coordinator.said().await;
    let NodeToCoordinator::Sealed(answer) = said else {
        panic!("not a seal answer: {said:?}");
    };
    assert_eq!(answer.epoch, Epoch(2));
    assert_eq!(answer.view_epoch, Epoch(1));
    assert!(answer.position.is_some() && answer.healthy);
}

#[tokio::test]
async fn a_coordinator_that_comes_back_finds_the_node() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    drop(single.coordinator);
    single.client.put("k", b"w").await;
    let (mut coordinator, registration) = single.door.registration().await;
    assert!(matches!(registration.standing, Standing::Veteran { .. }));
    coordinator.take().await;
    let report = coordinator.report(|_| true).await;
    assert_eq!(report.role, HeldRole::Primary { epoch: Epoch(1) });
}

#[tokio::test]
async fn another_clusters_coordinator_is_named_once_and_the_own_one_is_still_found() {
    const ATTEMPTS: usize = 5;
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let data_dir = single.data_dir();
    drop(single.coordinator);
    for _ in 0..ATTEMPTS {
        let why = HelloRefusal::Cluster {
            ours: ClusterId(0xdd),
            theirs: CLUSTER,
        };
        single.door.refuse(why).await;
    }
    single.door.node().await;
    single.node.line("registered").await;
    let door = single.door;
    single.node.stop().await;

    // The next run still knows its cluster.
    let mut node = Node::start(&data_dir, &door.address, &[]);
    node.address().await;
    for _ in 0..ATTEMPTS {
        let why = HelloRefusal::Cluster {
            ours: ClusterId(0xdd),
            theirs: CLUSTER,
        };
        door.refuse(why).await;
    }
    door.node().await;
    let mut complaints = 0;
    loop {
        let line = node.line("").await;
        complaints += usize::from(line.contains("cluster 00000000000000dd"));
        if line.contains("registered") {
            break;
        }
    }
    assert_eq!(complaints, 1);
}

#[tokio::test]
async fn a_taken_address_is_asked_for_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let mut node = Node::start(&folder.path().join("node"), &door.address, &[]);
    let address = node.address().await;
    for _ in 0..2 {
        let (mut coordinator, _) = door.registration().await;
        let why = RegistrationRefusal::AddressTaken {
            address: address.clone(),
            holder: NodeId(7),
        };
        coordinator.refuse(why).await;
    }
    door.node().await.report(|_| true).await;
    assert!(node.runs());
}
