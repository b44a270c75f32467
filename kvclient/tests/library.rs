//! The library against a cluster in this process.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use kv_common::refusal::Refusal;
use kvclient::load::{LoadOptions, Meter};
use kvclient::{Client, ClientError, ClientOptions, StatusSource};
use support::{FakeCluster, Fault, PATIENCE};

const SHORT: Duration = Duration::from_millis(300);
/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

fn options(cluster: &FakeCluster) -> ClientOptions {
    ClientOptions {
        coordinators: vec![cluster.coordinator.clone()],
        timeout: PATIENCE,
        ..ClientOptions::default()
    }
}

/// One that finds the primary by the nodes alone.
fn options_without_coordinator(cluster: &FakeCluster) -> ClientOptions {
    ClientOptions {
        coordinators: vec![NOWHERE.parse().unwrap()],
        nodes: vec![cluster.nodes[2].clone()],
        timeout: PATIENCE,
        ..ClientOptions::default()
    }
}

fn connect(options: ClientOptions) -> Client {
    Client::connect(options).expect("somebody is named")
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_sent_again_and_done_once() {
    let cluster = FakeCluster::start();
    cluster.world().faults.extend([
        Fault::CloseAfter,
        Fault::CloseBefore,
        Fault::Refuse(Refusal::OutcomeUnknown),
    ]);
    let client = connect(options(&cluster));
    assert_eq!(client.incr("n", 5).await, Ok(5));
    assert_eq!(client.get("n").await, Ok(Some(Bytes::from_static(b"5"))));
    let attempts = cluster.world().write_attempts();
    assert_eq!(attempts.len(), 4, "{attempts:?}");
    let ids: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.stamp.expect("stamped").id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn outside_a_session_a_lost_answer_is_an_unknown_outcome() {
    let cluster = FakeCluster::start();
    let client = connect(ClientOptions {
        with_session: false,
        ..options(&cluster)
    });
    client.put("a", "1").await.expect("done");
    cluster.world().faults.push_back(Fault::CloseAfter);
    assert_eq!(client.incr("a", 1).await, Err(ClientError::OutcomeUnknown));
    // A read is asked again, and shows that it was done.
    cluster.world().faults.push_back(Fault::CloseBefore);
    assert_eq!(client.get("a").await, Ok(Some(Bytes::from_static(b"2"))));
    assert_eq!(cluster.world().write_attempts().len(), 2);
}

#[tokio::test]
async fn a_refusal_leads_to_the_primary_and_a_map_too() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    client.put("a", "1").await.expect("done");
    // The nodes know before the coordinator says so.
    cluster.world().make_primary(2);
    client.put("a", "2").await.expect("done");
    // The connection to the primary of before stands, and says nothing.
    cluster.world().faults.push_back(Fault::Mute);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.incr("a", 1).await }
    });
    cluster
        .wait_until("the attempt", |world| world.faults.is_empty())
        .await;
    cluster.fail_over(1);
    assert_eq!(waiting.await.expect("no panic"), Ok(3));
    assert_eq!(
        client.where_is_primary().await.expect("found").address,
        cluster.nodes[1]
    );
}

#[tokio::test]
async fn without_a_coordinator_any_node_leads_to_the_primary() {
    let cluster = FakeCluster::start();
    for (hints, maps) in [(true, true), (true, false), (false, true)] {
        {
            let mut world = cluster.world();
            world.hints = hints;
            world.nodes_have_maps = maps;
        }
        let client = connect(options_without_coordinator(&cluster));
        client.put("a", "1").await.expect("done");
        assert_eq!(client.count().await, Ok(1));
    }
    let client = connect(options_without_coordinator(&cluster));
    let primary = client.where_is_primary().await.expect("a node tells");
    assert_eq!(primary.address, cluster.nodes[0]);
    let report = client.status().await.expect("the nodes tell");
    assert_eq!(report.source, StatusSource::Nodes);
    assert_eq!(report.status.nodes.len(), 3);
    assert!(report.status.nodes.iter().all(|node| node.connected));
    assert!(!report.status.conditions.is_empty());
}

#[tokio::test]
async fn nobody_to_ask_is_said_at_the_deadline() {
    let client = connect(ClientOptions {
        coordinators: vec![NOWHERE.parse().unwrap()],
        nodes: vec![NOWHERE.parse().unwrap()],
        timeout: SHORT,
        ..ClientOptions::default()
    });
    for error in [
        client.get("a").await.expect_err("nobody is there"),
        client.put("a", "b").await.expect_err("nobody is there"),
        client
            .where_is_primary()
            .await
            .expect_err("nobody is there"),
        client.status().await.expect_err("nobody is there"),
        client.events(0, 1).await.expect_err("nobody is there"),
    ] {
        let ClientError::NobodyToAsk { why } = &error else {
            panic!("{error}");
        };
        assert!(why.contains(NOWHERE), "{why}");
    }
    let nobody = Client::connect(ClientOptions::default());
    assert!(matches!(nobody, Err(ClientError::NobodyToAsk { .. })));
}

#[tokio::test]
async fn a_deadline_tells_a_doubt_from_a_refusal() {
    let cluster = FakeCluster::start();
    let client = connect(ClientOptions {
        timeout: SHORT,
        ..options(&cluster)
    });
    client.put("a", "1").await.expect("done");
    cluster.world().faults.push_back(Fault::Mute);
    assert_eq!(client.put("a", "2").await, Err(ClientError::OutcomeUnknown));
    cluster.world().faults.push_back(Fault::Mute);
    let unanswered = client.get("a").await;
    assert!(
        matches!(unanswered, Err(ClientError::DeadlinePassed { .. })),
        "{unanswered:?}"
    );
    let too_few = Refusal::TooFewInSync { have: 1, need: 2 };
    cluster.world().refusal = Some(too_few.clone());
    assert_eq!(
        client.put("a", "3").await,
        Err(ClientError::Refused(too_few))
    );
    cluster.world().refusal = Some(Refusal::TakingOver {
        epoch: kv_common::id::Epoch(1),
    });
    let not_ready = client.put("a", "4").await;
    assert!(
        matches!(not_ready, Err(ClientError::NobodyToAsk { .. })),
        "{not_ready:?}"
    );
    cluster.world().refusal = None;
    assert_eq!(client.get("a").await, Ok(Some(Bytes::from_static(b"2"))));
}

#[tokio::test]
async fn an_ended_session_is_replaced() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    client.put("a", "1").await.expect("done");
    cluster.world().table.sessions.clear();
    client.put("a", "2").await.expect("done in another session");
    cluster.world().faults.push_back(Fault::CloseAfter);
    let waiting = client.incr("a", 1);
    let forget = async {
        cluster
            .wait_until("the attempt", |world| world.faults.is_empty())
            .await;
        cluster.world().table.sessions.clear();
    };
    // Whether the retry or the forgetting comes first is chance; either end is true.
    match tokio::join!(waiting, forget).0 {
        Ok(3) | Err(ClientError::OutcomeUnknown) => {}
        other => panic!("{other:?}"),
    }
    let value = client.get("a").await.expect("read");
    assert_eq!(value, Some(Bytes::from_static(b"3")));
}

#[tokio::test]
async fn many_operations_at_once_share_one_session_which_is_ended() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        let client = client.clone();
        all.spawn(async move { client.incr("n", 1).await });
    }
    let mut seen: Vec<_> = all
        .join_all()
        .await
        .into_iter()
        .map(|result| result.expect("done"))
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=3_000));
    assert_eq!(cluster.world().table.sessions.len(), 1);
    client.close().await;
    assert!(cluster.world().table.sessions.is_empty());
    client.put("a", "b").await.expect("a new session is opened");
    drop(client);
    cluster
        .wait_until("the session's end", |world| world.table.sessions.is_empty())
        .await;
}

#[tokio::test]
async fn a_scan_walks_all_pages() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    for key in ["a", "b", "c", "d", "e"] {
        client.put(key, "v").await.expect("done");
    }
    let mut scan = client.scan(None);
    let mut keys = Vec::new();
    while let Some(key) = scan.next_key().await.expect("a page") {
        keys.push(key);
    }
    assert_eq!(keys, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn digests_are_compared_at_one_position() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    let report = client.digest().await.expect("all tell");
    assert_eq!(report.copies.len(), 3);
    assert!(report.all_equal() && report.silent_member().is_none());
    cluster.world().differs = Some(2);
    let report = client.digest().await.expect("all tell");
    assert!(!report.all_equal());
}

#[tokio::test]
async fn a_request_that_fits_in_no_frame_is_refused_and_others_go_on() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    let key = Bytes::from(vec![b'k'; kv_common::limits::KEY_MAX_BYTES]);
    let refused = client.delete(vec![key; 1_200]).await;
    assert!(
        matches!(
            refused,
            Err(ClientError::Refused(Refusal::NotAllowed { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(client.count().await, Ok(0));
}

fn load_options() -> LoadOptions {
    LoadOptions {
        clients: 4,
        pipeline: 2,
        keys: 40,
        read_share: 0.4,
        increment_share: 0.2,
        duration: Duration::from_millis(400),
        verify: true,
        ..LoadOptions::default()
    }
}

#[tokio::test]
async fn a_load_goes_on_through_failures_and_finds_everything() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    let meter = std::sync::Arc::new(Meter::new());
    let options = load_options();
    let load = kvclient::load::run(&client, &options, &meter);
    let trouble = async {
        cluster
            .wait_until("some load", |world| world.attempts.len() > 100)
            .await;
        cluster
            .world()
            .faults
            .extend([Fault::CloseAfter, Fault::CloseBefore]);
        cluster.fail_over(1);
    };
    let (report, ()) = tokio::join!(load, trouble);
    assert_eq!(report.errors, std::collections::BTreeMap::new());
    assert!(report.reads.operations > 0 && report.writes.operations > 0);
    let found = report.verification.expect("asked for");
    assert!(found.holds() && found.keys > 0, "{found:?}");
    assert_eq!(found.acknowledged, report.writes.operations);
}

#[tokio::test]
async fn a_load_finds_what_is_lost_and_what_nobody_wrote() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    // As if keys with an even last digit were back at their first value, and others overwritten.
    cluster.world().reads = Some(|key| match key.last() {
        Some(digit) if digit % 2 == 0 => Bytes::from_static(b"1"),
        _ => Bytes::from_static(b"text"),
    });
    let meter = std::sync::Arc::new(Meter::new());
    let report = kvclient::load::run(&client, &load_options(), &meter).await;
    let found = report.verification.expect("asked for");
    assert!(
        found.stale > 0 && found.unexpected > 0 && found.lost > 0,
        "{found:?}"
    );
    assert!(!found.holds());
}

#[tokio::test]
async fn a_load_finds_increments_that_count_twice() {
    let cluster = FakeCluster::start();
    let client = connect(options(&cluster));
    cluster.world().reads = Some(|_| Bytes::from_static(b"1000000"));
    let meter = std::sync::Arc::new(Meter::new());
    let options = LoadOptions {
        read_share: 0.0,
        increment_share: 1.0,
        ..load_options()
    };
    let report = kvclient::load::run(&client, &options, &meter).await;
    let found = report.verification.expect("asked for");
    assert!(found.doubled > 0 && found.lost == 0, "{found:?}");
    assert!(!found.holds());
}
