//! What Sentinel publishes when the map of the cluster changes.

use kv_common::id::{Address, NodeId};
use kv_common::view::ClusterMap;

use crate::answers::host_and_port;

/// Something to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Under this name.
    pub channel: &'static str,
    /// This.
    pub payload: String,
}

/// What there is to be told between two maps, in order.
#[must_use]
pub fn notices(master_name: &str, before: &ClusterMap, after: &ClusterMap) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut tell = |channel, payload| notices.push(Notice { channel, payload });
    let Some(primary) = primary(after) else {
        return notices;
    };
    let (host, port) = host_and_port(primary);
    let named = |address: &Address| {
        let (own_host, own_port) = host_and_port(address);
        format!("slave {own_host}:{own_port} {own_host} {own_port} @ {master_name} {host} {port}")
    };
    for (node, info) in &after.nodes {
        let is_new = door(before, *node).is_none();
        if let Some(address) = &info.redis_address
            && is_new
            && address != primary
        {
            tell("+slave", named(address));
        }
    }
    if let Some(old) = self::primary(before)
        && old != primary
    {
        let (old_host, old_port) = host_and_port(old);
        tell(
            "+switch-master",
            format!("{master_name} {old_host} {old_port} {host} {port}"),
        );
    }
    for node in after.nodes.keys() {
        let (was_in, is_in) = (in_sync(before, *node), in_sync(after, *node));
        if let Some(address) = door(after, *node)
            && address != primary
        {
            match (was_in, is_in) {
                (true, false) => tell("+sdown", named(address)),
                (false, true) => tell("-sdown", named(address)),
                _ => {}
            }
        }
    }
    notices
}

fn door(map: &ClusterMap, node: NodeId) -> Option<&Address> {
    map.nodes.get(&node)?.redis_address.as_ref()
}

fn primary(map: &ClusterMap) -> Option<&Address> {
    door(map, map.view.as_ref()?.primary.node)
}

fn in_sync(map: &ClusterMap, node: NodeId) -> bool {
    map.view.as_ref().is_some_and(|view| view.has_member(node))
}

#[cfg(test)]
mod tests {
    use super::notices;
    use kv_common::id::{Address, ClusterId, Epoch, Incarnation, NodeId, ShardId};
    use kv_common::view::{ClusterMap, NodeInfo, PrimarySeat, View, ViewSettings};

    fn map(epoch: u64, members: &[u64]) -> ClusterMap {
        let info = |node: u64| NodeInfo {
            name: format!("node-{node}"),
            address: Address(format!("h:{}", 7000 + node)),
            redis_address: Some(Address(format!("h:{}", 6000 + node))),
        };
        ClusterMap {
            cluster: ClusterId(1),
            version: epoch,
            view: Some(View {
                shard: ShardId::default(),
                epoch: Epoch(epoch),
                primary: PrimarySeat {
                    node: NodeId(members[0]),
                    incarnation: Incarnation(1),
                },
                backups: members[1..].iter().map(|node| NodeId(*node)).collect(),
                release: None,
                settings: ViewSettings {
                    copies: 3,
                    min_in_sync: 2,
                    heartbeat_interval_ms: 50,
                },
            }),
            joiners: Vec::new(),
            nodes: (1..=3).map(|node| (NodeId(node), info(node))).collect(),
        }
    }

    #[test]
    fn a_new_primary_is_told_with_both_addresses() {
        let told = notices("mymaster", &map(1, &[1, 2, 3]), &map(2, &[2, 3]));
        let told: Vec<_> = told
            .iter()
            .map(|n| (n.channel, n.payload.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("+switch-master", "mymaster h 6001 h 6002"),
                ("+sdown", "slave h:6001 h 6001 @ mymaster h 6002"),
            ]
        );
    }

    #[test]
    fn the_same_primary_is_no_news_and_a_node_that_is_back_is() {
        assert!(notices("m", &map(2, &[2, 3]), &map(3, &[2, 3])).is_empty());
        let told = notices("m", &map(3, &[2, 3]), &map(4, &[2, 3, 1]));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].channel, "-sdown");
    }
}
