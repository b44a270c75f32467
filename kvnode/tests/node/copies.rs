//! Full copies, given and fetched.

use std::time::Duration;

use kv_common::history::{BaseId, History};
use kv_common::id::{Address, Epoch, Incarnation, NodeId, Seq, ShardId};
use kv_common::message::control::{CoordinatorToNode, HeldRole};
use kv_common::message::copy::{JoinerToPrimary, PrimaryToJoiner};
use kv_common::message::hello::Caller;
use kv_common::message::replication::{PrimaryStamp, PrimaryToFollower};
use kv_common::time::Monotonic;
use kv_common::view::PrimarySeat;
use kv_net::{Accepted, Connection, Limits, dial};
use tokio::time::interval;

use super::support::{
    CLUSTER, CoordinatorSide, Door, Node, Single, hello, map, receive, send, within,
};

const PEER: NodeId = NodeId(0xf0);
const KEYS: u32 = 3000;

fn limits() -> Limits {
    Limits {
        frame_max_bytes: 256 << 20,
        ..Limits::peer()
    }
}

async fn begin(address: &Address) -> Connection {
    let caller = Caller::Joiner {
        node: PEER,
        incarnation: Incarnation(1),
    };
    let dialled = dial(address, &hello(Some(CLUSTER), caller), limits()).await;
    let (mut connection, _) = dialled.expect("is welcome");
    let begin = JoinerToPrimary::Begin {
        shard: ShardId(0),
        epoch: Epoch(1),
    };
    send(&mut connection, &begin).await;
    connection
}

/// Everything that a copy sends.
async fn fetch(address: &Address) -> Vec<PrimaryToJoiner> {
    let mut connection = begin(address).await;
    let mut messages = Vec::new();
    let mut parts = 0;
    loop {
        let message = receive(&mut connection).await;
        let is_over = matches!(
            message,
            PrimaryToJoiner::Ends { .. } | PrimaryToJoiner::Refused { .. }
        );
        messages.push(message);
        if is_over {
            return messages;
        }
        if !matches!(messages.last(), Some(PrimaryToJoiner::Begins { .. })) {
            parts += 1;
            send(&mut connection, &JoinerToPrimary::Taken { parts }).await;
        }
    }
}

async fn full_primary() -> Single {
    let mut single = Single::start(&[]).await;
    for key in 0..KEYS {
        single.client.put(&format!("k{key}"), &[b'v'; 100]).await;
    }
    single.client.put("large", &vec![b'x'; 3 << 20]).await;
    single
}

#[tokio::test]
async fn a_node_that_is_no_primary_gives_no_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let mut node = Node::start(&folder.path().join("node"), &door.address, &[]);
    let address = node.address().await;
    door.node().await.report(|_| true).await;
    let messages = fetch(&address).await;
    assert!(
        matches!(messages.as_slice(), [PrimaryToJoiner::Refused { .. }]),
        "{messages:?}"
    );
}

/// Plays a primary whose history the node does not share, and gives it `copy` when it asks.
struct PlayedPrimary {
    door: Door,
    seat: PrimarySeat,
    history: History,
}

impl PlayedPrimary {
    async fn new(history: History) -> Self {
        Self {
            door: Door::open().await,
            seat: PrimarySeat {
                node: PEER,
                incarnation: Incarnation(1),
            },
            history,
        }
    }

    /// Makes it primary of a view that the node is to join, and calls the node.
    async fn call(&self, coordinator: &mut CoordinatorSide, node: &Address) -> Connection {
        let joiners = [(coordinator.seat.node, node.clone())];
        let map = map(9, (self.seat, self.door.address.clone()), &joiners);
        let view = map.view.clone().expect("a view");
        coordinator.say(&CoordinatorToNode::Map(map)).await;
        let caller = Caller::Primary {
            node: self.seat.node,
            incarnation: self.seat.incarnation,
        };
        let dialled = dial(node, &hello(Some(CLUSTER), caller), Limits::peer()).await;
        let (mut link, _) = dialled.expect("is welcome");
        let request = PrimaryToFollower::Match {
            stamp: stamp(1),
            view,
            history: self.history.clone(),
            log_from: self.history.last().seq.next(),
        };
        send(&mut link, &request).await;
        link
    }

    /// Speaks to the node as a primary does that has nothing new.
    async fn beat_for_ever(&self, link: &mut Connection) {
        let mut beats = interval(Duration::from_millis(50));
        for sent_at in 2.. {
            beats.tick().await;
            let stamp = stamp(sent_at);
            send(link, &PrimaryToFollower::Beat { stamp }).await;
        }
    }

    /// Takes the joiner's call and begins nothing yet.
    async fn asked(&self) -> Connection {
        let accepted = Accepted {
            cluster: Some(CLUSTER),
            node: Some(self.seat.node),
            incarnation: Some(self.seat.incarnation),
        };
        let (mut connection, hello) = self.door.caller(accepted, limits()).await;
        assert!(matches!(hello.caller, Caller::Joiner { .. }));
        let begin: JoinerToPrimary = receive(&mut connection).await;
        assert!(matches!(begin, JoinerToPrimary::Begin { .. }));
        connection
    }
}

fn stamp(sent_at: u64) -> PrimaryStamp {
    PrimaryStamp {
        shard: ShardId(0),
        epoch: Epoch(9),
        sent_at: Monotonic(sent_at),
        committed: Seq(0),
        assured: Seq(0),
    }
}

fn history_of(messages: &[PrimaryToJoiner]) -> History {
    match messages.last() {
        Some(PrimaryToJoiner::Ends { history }) => history.clone(),
        other => panic!("not whole: {other:?}"),
    }
}

#[tokio::test]
async fn a_copy_becomes_the_data_of_the_node_that_fetched_it() {
    let source = full_primary().await;
    let copy = fetch(&source.address).await;
    let primary = PlayedPrimary::new(history_of(&copy)).await;

    let mut joiner = Single::start(&[]).await;
    joiner.client.put("own", b"data").await;
    let link = primary.call(&mut joiner.coordinator, &joiner.address).await;
    let mut connection = primary.asked().await;
    let copying = |role| matches!(role, HeldRole::Copying { epoch } if epoch == Epoch(9));
    joiner
        .coordinator
        .report(|report| copying(report.role))
        .await;

    // The first attempt breaks off in the middle; the node asks again when it is matched again.
    send(&mut connection, &copy[0]).await;
    send(&mut connection, &copy[1]).await;
    drop(connection);
    joiner.node.line("came to nothing").await;
    drop(link);
    let mut link = primary.call(&mut joiner.coordinator, &joiner.address).await;
    // Not at once, and not by itself: when the primary speaks to it again.
    let mut connection = tokio::select! {
        connection = primary.asked() => connection,
        () = primary.beat_for_ever(&mut link) => unreachable!("it goes on for ever"),
    };
    for message in &copy {
        send(&mut connection, message).await;
    }
    let keys = u64::from(KEYS) + 1;
    let report = joiner.coordinator.report(|report| report.keys == keys);
    let report = report.await;
    assert_eq!(report.positions.applied, primary.history.last().seq);
    drop(connection);

    // It is on the disk, and the former data is gone.
    let data_dir = joiner.data_dir();
    let door = joiner.door;
    joiner.node.stop().await;
    let text = std::fs::read_to_string(data_dir.join("db.txt")).expect("was written");
    assert_eq!(
        text.lines().filter(|line| line.starts_with('k')).count(),
        KEYS as usize
    );
    assert!(text.contains("large xxx") && !text.contains("own data"));
    let mut node = Node::start(&data_dir, &door.address, &[]);
    node.address().await;
    let report = door.node().await.report(|_| true).await;
    assert_eq!(report.keys, keys);
}

#[tokio::test]
async fn a_node_that_fetches_a_copy_writes_no_db_txt_and_can_be_stopped() {
    let history = History::on_base(BaseId(7));
    let primary = PlayedPrimary::new(history).await;
    let mut joiner = Single::start(&[]).await;
    joiner.client.put("own", b"data").await;
    let _link = primary.call(&mut joiner.coordinator, &joiner.address).await;
    let mut connection = primary.asked().await;
    let begins = PrimaryToJoiner::Begins {
        from: Seq(0),
        bytes_total: 100,
    };
    send(&mut connection, &begins).await;
    let records = Vec::new();
    send(&mut connection, &PrimaryToJoiner::Records { records }).await;
    let taken: JoinerToPrimary = receive(&mut connection).await;
    assert_eq!(taken, JoinerToPrimary::Taken { parts: 1 });
    let data_dir = joiner.data_dir();
    within(joiner.node.stop()).await;
    assert!(!data_dir.join("db.txt").exists());
}
