//! The core of a node that is primary and has no backups: what it does for an operation is the core's
//! own part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_common::command::Command;
use kv_common::history::{BaseId, History};
use kv_common::id::{ClusterId, Epoch, Incarnation, NodeId, Seq, ShardId};
use kv_common::message::control::FsyncMode;
use kv_common::time::Now;
use kv_common::view::{ClusterMap, PrimarySeat, View, ViewSettings};
use kvnode_core::effect::Effect;
use kvnode_core::input::{ClientToken, Identity, Input, Recovered, Start};
use kvnode_core::promise::Promises;
use kvnode_core::replica::Replica;
use kvnode_core::state::State;

const NODE: NodeId = NodeId(1);
/// Longer than any lease, at which a new primary waits.
const SETTLING: Duration = Duration::from_secs(60);

/// A primary without backups. Its disk is as quick as a call.
#[derive(Debug)]
pub struct PrimaryAlone {
    replica: Replica,
    now: Now,
    answered: u64,
}

impl PrimaryAlone {
    /// One that serves.
    #[must_use]
    pub fn new() -> Self {
        let seat = PrimarySeat {
            node: NODE,
            incarnation: Incarnation(1),
        };
        let start = Start {
            identity: Identity {
                shard: ShardId(0),
                seat,
                fsync: FsyncMode::Always,
            },
            promises: Promises::default(),
            recovered: Recovered {
                state: State::new(1),
                history: History::on_base(BaseId(0)),
                tail: Vec::new(),
                log_from: Seq(1),
                tail_certain: true,
                unfit: None,
            },
        };
        let mut alone = Self {
            replica: Replica::start(Now::default(), start),
            now: Now::default(),
            answered: 0,
        };
        alone.replica.handle(alone.now, Input::Map(map_with(seat)));
        alone.carry_out();
        alone.now.monotonic = alone.now.monotonic.after(SETTLING);
        alone.replica.handle_timeout(alone.now);
        alone.carry_out();
        alone
    }

    /// Puts requests in that arrived together, and carries out what follows. Says how many answers there
    /// are since the start.
    pub fn turn(&mut self, commands: impl Iterator<Item = Command>) -> u64 {
        for command in commands {
            let input = Input::Request {
                client: ClientToken(0),
                stamp: None,
                command,
            };
            self.replica.handle(self.now, input);
        }
        self.carry_out();
        self.answered
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.replica.poll_effect() {
            match effect {
                Effect::StorePromises { ticket, .. } => {
                    self.replica
                        .handle(self.now, Input::PromisesStored { ticket });
                }
                Effect::Append(batch) => {
                    let through = batch.last();
                    self.replica.handle(self.now, Input::Flushed { through });
                }
                Effect::Reply { result, .. } => self.answered += u64::from(result.is_ok()),
                _ => {}
            }
        }
    }
}

impl Default for PrimaryAlone {
    fn default() -> Self {
        Self::new()
    }
}

fn map_with(seat: PrimarySeat) -> ClusterMap {
    ClusterMap {
        cluster: ClusterId(1),
        version: 1,
        view: Some(View {
            shard: ShardId(0),
            epoch: Epoch(1),
            primary: seat,
            backups: Vec::new(),
            release: None,
            settings: ViewSettings {
                copies: 1,
                min_in_sync: 1,
                heartbeat_interval_ms: 100,
            },
        }),
        joiners: Vec::new(),
        nodes: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::PrimaryAlone;
    use crate::{get, put};

    #[test]
    fn every_request_is_answered() {
        let mut primary = PrimaryAlone::new();
        let answered = primary.turn((0..10).map(put));
        assert_eq!(primary.turn((0..10).map(get)), answered + 10);
        assert_eq!(answered, 10);
    }
}
