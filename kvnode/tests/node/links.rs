//! A node and its peers: as a primary it calls its followers, as a follower it is called.

use bytes::BytesMut;
use kv_common::batch::Batch;
use kv_common::entry::{Change, EntryBody};
use kv_common::id::{Epoch, Incarnation, NodeId, Position, Seq};
use kv_common::limits::PIECE_BYTES;
use kv_common::message::control::CoordinatorToNode;
use kv_common::message::hello::{Caller, HelloRefusal};
use kv_common::message::replication::{FollowerToPrimary, PrimaryStamp, PrimaryToFollower};
use kv_net::{Accepted, Connection, DialError, Limits, dial};

use super::support::{CLUSTER, Door, Single, hello, receive, send};

const FOLLOWER: NodeId = NodeId(0xf0);

fn follower() -> Accepted {
    Accepted {
        cluster: Some(CLUSTER),
        node: Some(FOLLOWER),
        incarnation: Some(Incarnation(1)),
    }
}

/// Answers the primary's match with an empty log.
async fn match_with_nothing(link: &mut Connection) {
    let stamp = loop {
        if let PrimaryToFollower::Match { stamp, .. } = receive(link).await {
            break stamp;
        }
    };
    answer_match(link, stamp).await;
}

async fn answer_match(link: &mut Connection, stamp: PrimaryStamp) {
    let matched = FollowerToPrimary::Matched {
        epoch: stamp.epoch,
        answers: stamp.sent_at,
        common: Position::ZERO,
        held: Seq::ZERO,
    };
    send(link, &matched).await;
}

/// The next batch, put together if it comes in pieces. Says in how many.
async fn next_batch(link: &mut Connection) -> (Batch, usize) {
    let mut whole = BytesMut::new();
    let mut pieces = 0;
    loop {
        match receive(link).await {
            PrimaryToFollower::Append { batch, .. } => {
                return (Batch::parse(batch).expect("sound"), 1);
            }
            PrimaryToFollower::AppendPiece {
                offset,
                bytes,
                stamp,
                ..
            } => {
                assert_eq!(offset as usize, whole.len());
                whole.extend_from_slice(&bytes);
                pieces += 1;
                if stamp.is_some() {
                    return (Batch::parse(whole.freeze()).expect("sound"), pieces);
                }
            }
            // It goes on in a newer view, and begins anew with everybody.
            PrimaryToFollower::Match { stamp, .. } => {
                answer_match(link, stamp).await;
                whole.clear();
                pieces = 0;
            }
            PrimaryToFollower::Beat { .. } => {}
        }
    }
}

fn values(batch: &Batch) -> Vec<(Vec<u8>, usize)> {
    let bodies = batch.entries().expect("decodes").into_iter();
    let changes = bodies.flat_map(|entry| match entry.body {
        EntryBody::Changes { changes, .. } => changes,
        EntryBody::OpenSession | EntryBody::EndSessions(_) | EntryBody::Mark => Vec::new(),
    });
    changes
        .filter_map(|change| match change {
            Change::Put { key, value, .. } => Some((key.to_vec(), value.len())),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_joiner_is_called_and_sent_everything_large_batches_in_pieces() {
    const LARGE: usize = 5 * PIECE_BYTES / 2;
    let mut single = Single::start(&[]).await;
    single.client.put("small", b"v").await;
    single.client.put("large", &vec![1; LARGE]).await;
    let door = Door::open().await;
    let joiners = [(FOLLOWER, door.address.clone())];
    let mut map = single.coordinator.map(1, &joiners);
    map.version = 2;
    single
        .coordinator
        .say(&CoordinatorToNode::Map(map.clone()))
        .await;
    map.version = 3;
    map.view.as_mut().expect("a view").epoch = Epoch(2);
    single.coordinator.say(&CoordinatorToNode::Map(map)).await;
    let (mut link, hello) = door.caller(follower(), Limits::peer()).await;
    let seat = single.coordinator.seat;
    assert_eq!(hello.cluster, Some(CLUSTER));
    assert_eq!(
        hello.caller,
        Caller::Primary {
            node: seat.node,
            incarnation: seat.incarnation
        }
    );
    match_with_nothing(&mut link).await;
    let mut came = Vec::new();
    let mut last = Seq::ZERO;
    let mut pieces = 0;
    while came.len() < 2 {
        let (batch, in_pieces) = next_batch(&mut link).await;
        if batch.first() > last {
            last = batch.last();
            came.extend(values(&batch));
        }
        pieces = pieces.max(in_pieces);
    }
    assert_eq!(came, [(b"small".to_vec(), 1), (b"large".to_vec(), LARGE)]);
    assert_eq!(pieces, 3);

    // A follower whose connection breaks is called again, one that is another node is not kept.
    drop(link);
    let another = Accepted {
        node: Some(NodeId(0xf1)),
        ..follower()
    };
    let (mut wrong, _) = door.caller(another, Limits::peer()).await;
    let closed: Option<PrimaryToFollower> = wrong.receive().await.expect("closes");
    assert_eq!(closed, None);
    let (mut link, _) = door.caller(follower(), Limits::peer()).await;
    match_with_nothing(&mut link).await;
}

#[tokio::test]
async fn only_nodes_of_the_cluster_are_taken_for_primaries() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let caller = Caller::Primary {
        node: FOLLOWER,
        incarnation: Incarnation(1),
    };
    let refused = dial(&single.address, &hello(None, caller), Limits::peer()).await;
    assert!(matches!(
        refused,
        Err(DialError::Refused {
            why: HelloRefusal::WrongDoor,
            ..
        })
    ));
}

#[tokio::test]
async fn pieces_that_make_no_sense_close_the_connection() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let caller = Caller::Primary {
        node: FOLLOWER,
        incarnation: Incarnation(1),
    };
    let hello = hello(Some(CLUSTER), caller);
    let dialled = dial(&single.address, &hello, Limits::peer()).await;
    let (mut link, _) = dialled.expect("is welcome");
    let piece = PrimaryToFollower::AppendPiece {
        epoch: Epoch(1),
        offset: 7,
        total: 10,
        bytes: vec![0; 3].into(),
        stamp: None,
    };
    send(&mut link, &piece).await;
    let closed: Option<FollowerToPrimary> = link.receive().await.expect("closes");
    assert_eq!(closed, None);
    assert_eq!(single.client.get("k").await.as_deref(), Some(&b"v"[..]));
}
