//! INFO and ROLE: the fields that clients and tools read.

use std::fmt::Write;

use kv_common::id::Address;
use kv_resp::Value;

use crate::call::Call;
use crate::fault::Fault;
use crate::host::{Host, NodeFacts, ReplicaFacts, Role};
use crate::plan::Plan;

/// The version of Redis whose commands and texts these are; clients choose by it what they send.
pub(crate) const REDIS_VERSION: &str = "7.2.0";

/// A section with what writes it.
type Section = (
    &'static str,
    fn(&dyn Host, &NodeFacts) -> Vec<(&'static str, String)>,
);

const SECTIONS: [Section; 6] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Keyspace", keyspace),
];

pub(crate) fn info(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let facts = call.host.facts();
    let wanted: Vec<String> = (1..call.count()).map(|index| call.word(index)).collect();
    let all = wanted.is_empty()
        || wanted
            .iter()
            .any(|word| matches!(word.as_str(), "ALL" | "DEFAULT" | "EVERYTHING"));
    let is_wanted = |name: &str| {
        let name = name.to_ascii_uppercase();
        all || wanted.contains(&name)
    };
    let mut sections = Vec::new();
    for (name, fields) in SECTIONS {
        if name == "Keyspace" && is_wanted("Replication") {
            sections.push(written("Replication", &replication(&facts)));
        }
        if is_wanted(name) {
            let fields = fields(call.host, &facts);
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value));
            sections.push(written(name, &fields.collect::<Vec<_>>()));
        }
    }
    Ok(Plan::Answer(Value::Text(sections.join("\r\n"))))
}

fn written(name: &str, fields: &[(String, String)]) -> String {
    let mut text = format!("# {name}\r\n");
    for (name, value) in fields {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}:{value}\r\n");
    }
    text
}

fn server(_: &dyn Host, facts: &NodeFacts) -> Vec<(&'static str, String)> {
    vec![
        ("redis_version", REDIS_VERSION.to_owned()),
        ("kvnode_version", facts.version.to_owned()),
        ("redis_mode", "standalone".to_owned()),
        ("arch_bits", usize::BITS.to_string()),
        ("process_id", facts.process_id.to_string()),
        ("run_id", facts.run_id.clone()),
        ("tcp_port", facts.port.to_string()),
        ("uptime_in_seconds", (facts.uptime_ms / 1000).to_string()),
        ("uptime_in_days", (facts.uptime_ms / 86_400_000).to_string()),
        ("cluster_enabled", "0".to_owned()),
    ]
}

fn clients(_: &dyn Host, facts: &NodeFacts) -> Vec<(&'static str, String)> {
    vec![("connected_clients", facts.clients.to_string())]
}

fn memory(host: &dyn Host, _: &NodeFacts) -> Vec<(&'static str, String)> {
    let resident_bytes = host.memory_bytes();
    vec![
        ("used_memory", resident_bytes.to_string()),
        ("used_memory_rss", resident_bytes.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory_policy", "noeviction".to_owned()),
    ]
}

fn persistence(_: &dyn Host, facts: &NodeFacts) -> Vec<(&'static str, String)> {
    vec![
        ("loading", u8::from(facts.is_taking_over).to_string()),
        ("aof_enabled", "1".to_owned()),
        ("rdb_bgsave_in_progress", u8::from(facts.saves).to_string()),
        ("rdb_last_save_time", (facts.saved_at.0 / 1000).to_string()),
    ]
}

fn stats(_: &dyn Host, facts: &NodeFacts) -> Vec<(&'static str, String)> {
    vec![
        (
            "total_connections_received",
            facts.connections_total.to_string(),
        ),
        ("total_commands_processed", facts.commands_total.to_string()),
    ]
}

fn keyspace(_: &dyn Host, facts: &NodeFacts) -> Vec<(&'static str, String)> {
    if facts.keys == 0 {
        return Vec::new();
    }
    let (keys, expires) = (facts.keys, facts.expiring_keys);
    vec![("db0", format!("keys={keys},expires={expires},avg_ttl=0"))]
}

fn replication(facts: &NodeFacts) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    match &facts.role {
        Role::Primary => {
            add("role", "master".to_owned());
            add("connected_slaves", facts.replicas.len().to_string());
            for (index, replica) in facts.replicas.iter().enumerate() {
                add(&format!("slave{index}"), replica_line(replica));
            }
        }
        Role::Replica { primary, in_step } => {
            let (host, port) = primary.as_ref().map_or(("", 0), host_and_port);
            add("role", "slave".to_owned());
            add("master_host", host.to_owned());
            add("master_port", port.to_string());
            let status = if *in_step { "up" } else { "down" };
            add("master_link_status", status.to_owned());
            add("slave_repl_offset", facts.applied.to_string());
            add("slave_read_only", "1".to_owned());
            add("connected_slaves", "0".to_owned());
        }
    }
    add("master_replid", facts.run_id.clone());
    add("master_repl_offset", facts.appended.to_string());
    fields
}

fn replica_line(replica: &ReplicaFacts) -> String {
    let (host, port) = host_and_port(&replica.address);
    let state = if replica.in_sync {
        "online"
    } else {
        "wait_bgsave"
    };
    let offset = replica.held;
    format!("ip={host},port={port},state={state},offset={offset},lag=0")
}

pub(crate) fn role(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let facts = call.host.facts();
    Ok(Plan::Answer(match &facts.role {
        Role::Primary => {
            let replicas = facts.replicas.iter().map(|replica| {
                let (host, port) = host_and_port(&replica.address);
                let parts = [host.to_owned(), port.to_string(), replica.held.to_string()];
                Value::Array(parts.iter().map(Value::bulk).collect())
            });
            Value::Array(vec![
                Value::bulk("master"),
                Value::count(facts.appended),
                Value::Array(replicas.collect()),
            ])
        }
        Role::Replica { primary, in_step } => {
            let (host, port) = primary.as_ref().map_or(("", 0), host_and_port);
            Value::Array(vec![
                Value::bulk("slave"),
                Value::bulk(host),
                Value::Integer(port.into()),
                Value::bulk(if *in_step { "connected" } else { "connect" }),
                Value::count(facts.applied),
            ])
        }
    }))
}

/// The two parts of an address, an IPv6 address without its brackets.
pub(crate) fn host_and_port(address: &Address) -> (&str, u16) {
    let (host, port) = address.0.rsplit_once(':').unwrap_or((&address.0, "0"));
    let host = host.strip_prefix('[').unwrap_or(host);
    (
        host.strip_suffix(']').unwrap_or(host),
        port.parse().unwrap_or(0),
    )
}
