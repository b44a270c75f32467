//! What the status of the cluster reads as, in Sentinel's terms.

use std::cmp::Reverse;

use kv_common::id::{Address, NodeId};
use kv_common::message::registry::{ClusterStatus, NodeStatus};
use kv_common::view::View;
use kv_resp::Value;

use crate::Settings;

/// Host and port, an IPv6 address without its brackets.
pub(crate) fn host_and_port(address: &Address) -> (&str, &str) {
    let (host, port) = address.0.rsplit_once(':').unwrap_or((&address.0, "0"));
    let host = host.strip_prefix('[').unwrap_or(host);
    (host.strip_suffix(']').unwrap_or(host), port)
}

/// The cluster, seen by a Sentinel.
pub(crate) struct Answers<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) status: &'a ClusterStatus,
}

/// One node with a Redis door.
#[derive(Clone, Copy)]
struct Member<'a> {
    node: NodeId,
    address: &'a Address,
    status: Option<&'a NodeStatus>,
}

impl Member<'_> {
    fn is_connected(&self) -> bool {
        self.status.is_some_and(|status| status.connected)
    }
}

type Fields = Vec<(&'static str, String)>;

impl<'a> Answers<'a> {
    fn view(&self) -> Option<&'a View> {
        self.status.map.view.as_ref()
    }

    fn member(&self, node: NodeId) -> Option<Member<'a>> {
        let address = self.status.map.nodes.get(&node)?.redis_address.as_ref()?;
        let status = self.status.nodes.iter().find(|status| status.node == node);
        Some(Member {
            node,
            address,
            status,
        })
    }

    fn primary(&self) -> Option<Member<'a>> {
        self.member(self.view()?.primary.node)
    }

    /// Every other node with a Redis door: the backups, and those that are away or being brought in. Of
    /// nodes that advertise one address by mistake, or one after the other, clients see one.
    fn replicas(&self) -> Vec<Member<'a>> {
        let primary = self.view().map(|view| view.primary.node);
        let nodes = self.status.map.nodes.keys();
        let members: Vec<Member<'a>> = nodes.filter_map(|node| self.member(*node)).collect();
        let rank = |member: &Member<'_>| {
            let node = member.node;
            let is_here = self.is_in_sync(node);
            (
                Some(node) == primary,
                is_here,
                member.is_connected(),
                Reverse(node),
            )
        };
        let is_seen = |member: &&Member<'a>| {
            let same = members
                .iter()
                .filter(|other| other.address == member.address);
            same.map(rank).max() == Some(rank(member))
        };
        let seen = members.iter().filter(is_seen);
        seen.filter(|member| Some(member.node) != primary)
            .copied()
            .collect()
    }

    fn is_in_sync(&self, node: NodeId) -> bool {
        self.view().is_some_and(|view| view.has_member(node))
    }

    pub(crate) fn address(&self) -> Value {
        self.primary().map_or(Value::NullArray, |primary| {
            let (host, port) = host_and_port(primary.address);
            Value::Array(vec![Value::bulk(host), Value::bulk(port)])
        })
    }

    pub(crate) fn masters(&self) -> Value {
        Value::Array(
            self.primary()
                .map(|primary| self.master_of(&primary))
                .into_iter()
                .collect(),
        )
    }

    pub(crate) fn master(&self) -> Value {
        self.primary()
            .map_or_else(no_primary, |primary| self.master_of(&primary))
    }

    fn master_of(&self, primary: &Member<'_>) -> Value {
        let mut fields = self.common(primary, &self.settings.master_name, "master");
        let period_ms = |period: std::time::Duration| period.as_millis().to_string();
        fields.extend([
            (
                "config-epoch",
                self.view().map_or(0, |view| view.epoch.0).to_string(),
            ),
            ("num-slaves", self.replicas().len().to_string()),
            (
                "num-other-sentinels",
                self.settings.others.len().to_string(),
            ),
            ("quorum", "1".to_owned()),
            (
                "failover-timeout",
                period_ms(self.settings.timing.down_alone()),
            ),
            ("parallel-syncs", "1".to_owned()),
        ]);
        map(fields)
    }

    pub(crate) fn all_replicas(&self) -> Value {
        let replicas = self.replicas();
        Value::Array(
            replicas
                .iter()
                .map(|replica| self.replica(replica))
                .collect(),
        )
    }

    fn replica(&self, replica: &Member<'_>) -> Value {
        let (host, port) = host_and_port(replica.address);
        let name = format!("{host}:{port}");
        let mut fields = self.common(replica, &name, "slave");
        let primary = self.primary();
        let (master_host, master_port) = primary
            .as_ref()
            .map_or(("?", "0"), |primary| host_and_port(primary.address));
        let in_sync = self.is_in_sync(replica.node);
        let applied = replica
            .status
            .and_then(|status| status.report.as_ref())
            .map_or(0, |report| report.positions.applied.0);
        let link = if in_sync { "ok" } else { "err" };
        fields.extend([
            ("master-link-down-time", "0".to_owned()),
            ("master-link-status", link.to_owned()),
            ("master-host", master_host.to_owned()),
            ("master-port", master_port.to_owned()),
            // Only a node in sync can be promoted; 0 says: never.
            (
                "slave-priority",
                if in_sync { "100" } else { "0" }.to_owned(),
            ),
            ("slave-repl-offset", applied.to_string()),
            ("replica-announced", "1".to_owned()),
        ]);
        map(fields)
    }

    /// What Sentinel tells of masters and replicas alike.
    fn common(&self, member: &Member<'_>, name: &str, role: &'static str) -> Fields {
        let (host, port) = host_and_port(member.address);
        let down_ms = self.settings.timing.down().as_millis();
        let silent_ms = member.status.and_then(|status| status.silent_ms);
        let connected = member.is_connected();
        let is_down = silent_ms.is_none_or(|silent_ms| u128::from(silent_ms) > down_ms);
        let mut flags = role.to_owned();
        if is_down {
            flags.push_str(if role == "master" {
                ",s_down,o_down"
            } else {
                ",s_down"
            });
        }
        if !connected {
            flags.push_str(",disconnected");
        }
        let incarnation = member
            .status
            .and_then(|status| status.report.as_ref())
            .map_or(0, |report| report.incarnation.0);
        let silent = silent_ms.unwrap_or(0).to_string();
        vec![
            ("name", name.to_owned()),
            ("ip", host.to_owned()),
            ("port", port.to_owned()),
            ("runid", format!("{:016x}{incarnation:024x}", member.node.0)),
            ("flags", flags),
            ("link-pending-commands", "0".to_owned()),
            ("link-refcount", "1".to_owned()),
            ("last-ping-sent", "0".to_owned()),
            ("last-ok-ping-reply", silent.clone()),
            ("last-ping-reply", silent.clone()),
            ("down-after-milliseconds", down_ms.to_string()),
            ("info-refresh", silent.clone()),
            ("role-reported", role.to_owned()),
            ("role-reported-time", silent),
        ]
    }

    pub(crate) fn sentinels(&self) -> Value {
        let others = self.settings.others.iter().map(|other| {
            let (host, port) = host_and_port(other);
            map(vec![
                ("name", format!("{host}:{port}")),
                ("ip", host.to_owned()),
                ("port", port.to_owned()),
                ("runid", String::new()),
                ("flags", "sentinel".to_owned()),
            ])
        });
        Value::Array(others.collect())
    }

    /// Whether a failover could be decided: a replica is in sync and here, and the coordinator's
    /// word alone decides. It has further addresses, but there is one of it.
    pub(crate) fn quorum(&self) -> Value {
        if self.primary().is_none() {
            return no_primary();
        }
        let replicas = self.replicas();
        let mut replicas = replicas.iter();
        if !replicas.any(|replica| self.is_in_sync(replica.node) && replica.is_connected()) {
            return Value::error(
                "NOQUORUM no replica is in sync and connected, so that none could be made master",
            );
        }
        Value::Status(
            "OK 1 usable Sentinels. Quorum and failover authorization can be reached".into(),
        )
    }

    pub(crate) fn is_master_down(&self, host: &[u8], port: &[u8]) -> Value {
        let is_down = self.primary().is_some_and(|primary| {
            let (own_host, own_port) = host_and_port(primary.address);
            let is_meant = own_host.as_bytes() == host && own_port.as_bytes() == port;
            is_meant && primary.status.is_none_or(|status| !status.connected)
        });
        Value::Array(vec![
            Value::Integer(is_down.into()),
            Value::bulk("*"),
            Value::Integer(0),
        ])
    }

    pub(crate) fn info(&self) -> Value {
        let mut text = format!(
            "# Server\r\nredis_version:{}\r\nredis_mode:sentinel\r\narch_bits:{}\r\n\
             tcp_port:{}\r\nrun_id:{}\r\n\r\n# Sentinel\r\nsentinel_masters:1\r\n\
             sentinel_tilt:0\r\nsentinel_running_scripts:0\r\n",
            crate::connection::REDIS_VERSION,
            usize::BITS,
            self.settings.port,
            self.settings.id(),
        );
        let name = &self.settings.master_name;
        let (slaves, sentinels) = (self.replicas().len(), 1 + self.settings.others.len());
        if let Some(primary) = self.primary() {
            let (host, port) = host_and_port(primary.address);
            let status = if primary.is_connected() {
                "ok"
            } else {
                "sdown"
            };
            text.push_str(&format!(
                "master0:name={name},status={status},address={host}:{port},slaves={slaves},\
                 sentinels={sentinels}\r\n"
            ));
        }
        Value::Text(text)
    }
}

fn no_primary() -> Value {
    Value::error("NOQUORUM no node with a Redis door is primary yet")
}

fn map(fields: Fields) -> Value {
    let fields = fields.into_iter();
    Value::Map(
        fields
            .map(|(name, value)| (Value::bulk(name), Value::bulk(value)))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
