use kv_common::id::{Address, ClusterId, Epoch, Incarnation, NodeId, ShardId};
use kv_common::message::registry::{ClusterStatus, NodeStatus};
use kv_common::timing::Timing;
use kv_common::view::{ClusterMap, NodeInfo, PrimarySeat, View, ViewSettings};
use kv_resp::Value;

use super::Answers;
use crate::Settings;

/// Node 1 is primary and the others are there, those of `in_sync` in the view; doors by node.
fn status(doors: &[&str], in_sync: &[u64]) -> ClusterStatus {
    let nodes = (1..).zip(doors).map(|(node, door)| {
        let info = NodeInfo {
            name: format!("node-{node}"),
            address: Address(format!("h:{}", 7000 + node)),
            redis_address: Some(Address((*door).to_owned())),
        };
        (NodeId(node), info)
    });
    let view = View {
        shard: ShardId::default(),
        epoch: Epoch(2),
        primary: PrimarySeat {
            node: NodeId(1),
            incarnation: Incarnation(1),
        },
        backups: in_sync.iter().map(|node| NodeId(*node)).collect(),
        release: None,
        settings: ViewSettings {
            copies: 3,
            min_in_sync: 1,
            heartbeat_interval_ms: 50,
        },
    };
    let map = ClusterMap {
        cluster: ClusterId(1),
        version: 1,
        view: Some(view),
        joiners: Vec::new(),
        nodes: nodes.collect(),
    };
    let heard = |node: &NodeId| NodeStatus {
        node: *node,
        connected: true,
        silent_ms: Some(1),
        report: None,
        drained: false,
    };
    ClusterStatus {
        conditions: Vec::new(),
        nodes: map.nodes.keys().map(heard).collect(),
        map,
    }
}

/// The replicas that a Sentinel tells, and whether a failover could be done.
fn told(status: &ClusterStatus) -> (Vec<u64>, bool) {
    let settings = Settings {
        master_name: "mymaster".to_owned(),
        port: 26379,
        others: vec![Address("h:26380".to_owned())],
        cluster: ClusterId(1),
        timing: Timing::from_ms(50),
    };
    let answers = Answers {
        settings: &settings,
        status,
    };
    let replicas = answers.replicas();
    let nodes = replicas.iter().map(|replica| replica.node.0).collect();
    let ok = Value::Status(
        "OK 1 usable Sentinels. Quorum and failover authorization can be reached".into(),
    );
    (nodes, answers.quorum() == ok)
}

#[test]
fn one_address_is_one_replica() {
    for (doors, in_sync, replicas) in [
        (["a:1", "a:2", "a:3"], &[2, 3][..], &[2, 3][..]),
        (["a:1", "a:2", "a:2"], &[2, 3], &[2]),
        (["a:1", "a:2", "a:2"], &[3], &[3]),
        (["a:1", "a:1", "a:3"], &[2, 3], &[3]),
    ] {
        let (told, _) = told(&status(&doors, in_sync));
        assert_eq!(told, replicas, "{doors:?} {in_sync:?}");
    }
}

#[test]
fn a_failover_needs_a_replica_that_is_in_sync_and_here() {
    let doors = ["a:1", "a:2", "a:3"];
    assert!(told(&status(&doors, &[3])).1);
    assert!(!told(&status(&doors, &[])).1);
    let mut away = status(&doors, &[3]);
    away.nodes[2].connected = false;
    assert!(!told(&away).1);
}
