//! What Redis commands ask about the node.

use std::collections::BTreeSet;

use kv_common::id::Address;
use kv_common::message::control::{FsyncMode, HeldRole};
use kv_common::time::{Now, UnixMs};
use kv_daemon::{VERSION, clock};
use kvnode_redis::{ClientLine, Heard, Host, NodeFacts, ReplicaFacts, Role, ServerState};
use rand::TryRng;
use rand::rngs::SysRng;

use super::leaving::Leaving;
use super::shard::Shard;

/// The node in one turn.
pub(super) struct RedisHost<'a> {
    shard: &'a Shard,
    now: Now,
}

impl<'a> RedisHost<'a> {
    pub(super) fn new(shard: &'a Shard, now: Now) -> Self {
        Self { shard, now }
    }

    fn role(&self) -> Role {
        let replica = &self.shard.replica;
        match replica.role() {
            HeldRole::Primary { .. } => Role::Primary,
            held => Role::Replica {
                primary: self.primary(),
                in_step: matches!(held, HeldRole::Follower { .. }),
            },
        }
    }

    /// Where the primary's Redis door is.
    fn primary(&self) -> Option<Address> {
        let map = self.shard.replica.map()?;
        let node = map.view.as_ref()?.primary.node;
        map.nodes.get(&node)?.redis_address.clone()
    }

    fn replicas(&self) -> Vec<ReplicaFacts> {
        let replica = &self.shard.replica;
        let Some(map) = replica.map() else {
            return Vec::new();
        };
        let followers = replica.report(self.now).followers;
        // Nodes that advertise one address by mistake are one to clients.
        let own = map.nodes.get(&self.shard.identity.seat.node);
        let own = own.and_then(|own| own.redis_address.clone());
        let mut seen: BTreeSet<Address> = own.into_iter().collect();
        let known = followers.into_iter().filter_map(|follower| {
            let address = map.nodes.get(&follower.node)?.redis_address.clone()?;
            let view = map.view.as_ref();
            Some(ReplicaFacts {
                address,
                held: follower.held.map_or(0, |held| held.0),
                in_sync: view.is_some_and(|view| view.has_member(follower.node)),
            })
        });
        known
            .filter(|replica| seen.insert(replica.address.clone()))
            .collect()
    }
}

impl Host for RedisHost<'_> {
    fn facts(&self) -> NodeFacts {
        let shard = self.shard;
        let state = shard.replica.state();
        let seat = shard.identity.seat;
        let report = shard.replica.report(self.now);
        let positions = report.positions;
        NodeFacts {
            run_id: format!("{:016x}{:024x}", seat.node.0, seat.incarnation.0),
            version: VERSION,
            process_id: std::process::id(),
            port: shard.redis_port,
            uptime_ms: u64::try_from(self.now.monotonic.since(shard.started_at).as_millis())
                .unwrap_or(u64::MAX),
            role: self.role(),
            is_taking_over: matches!(shard.replica.role(), HeldRole::TakingOver { .. }),
            replicas: self.replicas(),
            copies_in_step: report
                .followers
                .iter()
                .filter(|follower| follower.held >= Some(positions.applied))
                .count() as u64,
            applied: positions.applied.0,
            appended: positions.appended.0,
            keys: state.keys(),
            expiring_keys: state.expiring_keys(),
            clients: shard.redis.count() as u64,
            connections_total: shard.redis.connections(),
            commands_total: shard.redis.requests,
            saved_at: shard.dumps.saved_at(),
            saves: shard.dumps.is_under_way(),
            fails_over: shard.redis.fails_over,
            is_leaving: shard.leaving != Leaving::No,
            flushes_always: shard.identity.fsync == FsyncMode::Always,
        }
    }

    fn is_primary(&self) -> bool {
        matches!(self.shard.replica.role(), HeldRole::Primary { .. })
    }

    fn memory_bytes(&self) -> u64 {
        resident_bytes().unwrap_or(0)
    }

    fn now(&self) -> UnixMs {
        self.now.unix
    }

    fn now_micros(&self) -> u64 {
        clock::unix_micros()
    }

    fn random(&self) -> u64 {
        // Any key will do; without randomness it is always the first.
        SysRng.try_next_u64().unwrap_or(0)
    }

    fn heard(&self) -> Heard {
        self.shard.redis.heard()
    }

    fn clients(&self) -> Vec<ClientLine> {
        self.shard.redis.describe(self.now.unix)
    }

    fn server(&self) -> &ServerState {
        &self.shard.redis.server
    }
}

/// What the process has in memory, as Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
