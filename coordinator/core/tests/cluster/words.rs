//! Words of commands, maps in words, and what a node that works as it should reports.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::coordinator::Settings;
use coordinator_core::effect::Effect;
use coordinator_core::refused_messages::MessageRefusal;
use kv_common::id::{Epoch, NodeId};
use kv_common::message::control::HeldRole;
use kv_common::message::registry::Order;
use kv_common::tally::Tally;
use kv_common::view::{ClusterMap, View};

use super::{Cluster, Played};

impl Cluster {
    /// What the cluster suffers from, in words.
    pub(super) fn tell_conditions(&mut self) {
        let now = self.now();
        let status = self.core.as_ref().map(|core| core.status(now));
        for condition in status.map_or_else(Vec::new, |status| status.conditions) {
            let line = format!("condition: {condition}");
            self.note(Effect::Log { line });
        }
    }
}

pub(crate) fn describe(map: &ClusterMap) -> String {
    let list = |nodes: &[NodeId]| {
        let names: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
        names.join(",")
    };
    let view = map.view.as_ref().map_or("no view".to_owned(), |view| {
        let released = view.release.map_or("", |_| ", released");
        format!(
            "epoch {}, primary {}, backups [{}]{released}",
            view.epoch,
            view.primary.node.0,
            list(&view.backups)
        )
    });
    format!("{view}, joiners [{}]", list(&map.joiners))
}

/// Whether those who have the newest map so far would take this one for an older one.
pub(crate) fn age(map: &ClusterMap, newest_version: &mut u64) -> &'static str {
    if map.version <= *newest_version {
        return ", not numbered above those before";
    }
    *newest_version = map.version;
    ""
}

/// `copies=3 min-in-sync=2 expect=3 interval-ms=50`, or some of these.
pub(crate) fn settings_of(words: &[&str]) -> Settings {
    let setting = |name: &str, default: u8| {
        let mut words = words.iter().filter_map(|word| word.split_once('='));
        let found = words.find(|(known, _)| *known == name);
        found.map_or(default, |(_, value)| value.parse().expect("a number"))
    };
    Settings {
        copies: setting("copies", 3),
        min_in_sync: setting("min-in-sync", 2),
        expect: setting("expect", 3),
        heartbeat_interval_ms: setting("interval-ms", 50).into(),
    }
}

/// What an operator orders.
pub(crate) fn order_of(kind: &str, words: &[&str]) -> Order {
    let name = words.first().map(|name| (*name).to_owned());
    let confirmed = words.iter().find_map(|word| word.strip_prefix("epoch="));
    match kind {
        "switchover" => Order::Switchover { to: name },
        "forget" => Order::Forget {
            node: name.expect("a node"),
        },
        "drain" => Order::Drain {
            node: name.expect("a node"),
        },
        "undrain" => Order::Undrain {
            node: name.expect("a node"),
        },
        "form" => Order::Form { from: name },
        "force-primary" => Order::ForcePrimary {
            node: name.expect("a node"),
            confirmed_epoch: confirmed.map(|epoch| Epoch(number(epoch))),
        },
        "adopt-views" => Order::AdoptViews {
            nodes: words
                .iter()
                .find_map(|word| word.strip_prefix("nodes="))
                .map_or(3, |nodes| nodes.parse().expect("a number")),
            accepts_loss: words.contains(&"accept-loss"),
        },
        _ => panic!("'{kind}' is no order"),
    }
}

pub(crate) fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("'{word}' is no number"))
}

pub(crate) fn duration(word: &str) -> Duration {
    match word.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(number(ms)),
        None => Duration::from_secs(number(word.strip_suffix('s').expect("a time"))),
    }
}

/// What a well-behaved node holds and hears in `view`.
pub(super) fn role_in(
    view: &View,
    node: u64,
    nodes: &BTreeMap<u64, Played>,
) -> (HeldRole, Vec<NodeId>) {
    let epoch = view.epoch;
    let loses = &nodes[&node].loses;
    let heard = |peer: &NodeId| peer.0 != node && !loses.contains(&peer.0);
    if view.primary.node.0 == node {
        let hears = view.members().filter(heard).collect();
        (HeldRole::Primary { epoch }, hears)
    } else if view.has_member(NodeId(node)) {
        let hears = std::iter::once(view.primary.node).filter(heard).collect();
        (HeldRole::Follower { epoch }, hears)
    } else {
        (HeldRole::None, Vec::new())
    }
}

/// What was not acted upon since `before`, a line each.
pub(super) fn not_acted_upon(
    before: &mut Tally<MessageRefusal>,
    now: Option<&Tally<MessageRefusal>>,
) -> String {
    let Some(now) = now else { return String::new() };
    let mut lines = String::new();
    for kind in MessageRefusal::ALL {
        // A run that has just begun counts from nothing.
        let since = now.of(kind).saturating_sub(before.of(kind));
        if since > 0 {
            lines += &format!("not acted upon: {} ({since})\n", kind.name());
        }
    }
    *before = now.clone();
    lines
}
