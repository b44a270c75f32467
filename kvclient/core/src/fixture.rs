//! Maps for tests.

use std::collections::BTreeMap;

use kv_common::id::{Address, ClusterId, Epoch, Incarnation, NodeId, ShardId};
use kv_common::view::{ClusterMap, NodeInfo, PrimarySeat, View, ViewSettings};

pub(crate) fn address(number: u64) -> Address {
    Address(format!("node-{number}:1"))
}

/// The map of three nodes, in its first version under `epoch`.
pub(crate) fn map(epoch: u64, primary: u64) -> ClusterMap {
    map_of_version(epoch, epoch, primary)
}

pub(crate) fn map_of_version(version: u64, epoch: u64, primary: u64) -> ClusterMap {
    let info = |number| NodeInfo {
        name: format!("node-{number}"),
        address: address(number),
        redis_address: None,
    };
    ClusterMap {
        cluster: ClusterId(1),
        version,
        view: Some(View {
            shard: ShardId(0),
            epoch: Epoch(epoch),
            primary: PrimarySeat {
                node: NodeId(primary),
                incarnation: Incarnation(1),
            },
            backups: Vec::new(),
            release: None,
            settings: ViewSettings {
                copies: 3,
                min_in_sync: 2,
                heartbeat_interval_ms: 50,
            },
        }),
        joiners: Vec::new(),
        nodes: (1..=3)
            .map(|number| (NodeId(number), info(number)))
            .collect::<BTreeMap<_, _>>(),
    }
}
