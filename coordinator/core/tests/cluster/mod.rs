//! A coordinator's core with nodes that are played.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator_core::cluster_state::ClusterState;
use coordinator_core::coordinator::Coordinator;
use coordinator_core::effect::Effect;
use coordinator_core::input::{ConnectionId, Input, OrderToken, Ticket};
use coordinator_core::refused_messages::MessageRefusal;
use kv_common::id::{Address, ClusterId, Epoch, Incarnation, NodeId, Position, Seq, ShardId};
use kv_common::message::control::{
    CoordinatorToNode, DiskFailure, DiskHealth, DiskTrouble, FsyncMode, HeldRole, NodeReport,
    NodeToCoordinator, Positions, Proposal, Registration, SealAnswer, Standing,
};
use kv_common::tally::Tally;
use kv_common::time::{Monotonic, Now, UnixMs};
use kv_common::view::{ClusterMap, PrimarySeat, Release, View};

use words::{age, describe, duration, not_acted_upon, number, order_of, role_in, settings_of};

const BEAT: Duration = Duration::from_millis(50);
const TURN: Duration = Duration::from_millis(25);
const SHARD: ShardId = ShardId(0);

/// A node as the coordinator sees it.
#[derive(Default)]
struct Played {
    run: u64,
    connection: Option<u64>,
    silent: bool,
    idle: bool,
    leaving: bool,
    disk_broken: bool,
    loses: BTreeSet<u64>,
    seal: u64,
    view_epoch: u64,
    /// The view that it adopted.
    view: Option<View>,
    /// Where its log ends: epoch and number.
    end: (u64, u64),
    release: Option<Release>,
}

/// A coordinator and its nodes.
#[derive(Default)]
pub(crate) struct Cluster {
    core: Option<Coordinator>,
    stored: Option<ClusterState>,
    pending: Vec<(Ticket, ClusterState)>,
    disk_stalls: bool,
    nodes: BTreeMap<u64, Played>,
    map: Option<ClusterMap>,
    newest_version: u64,
    elapsed: Duration,
    last_connection: u64,
    trace: String,
    /// As of the last command.
    refused: Tally<MessageRefusal>,
}

impl Cluster {
    /// Carries the commands out. Returns what the coordinator did.
    pub(crate) fn run(mut self, commands: &str) -> String {
        for line in commands.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                self.trace.push_str(&format!("> {line}\n"));
                self.command(line);
                let heard = self.core.as_ref().map(Coordinator::refused_messages);
                self.trace += &not_acted_upon(&mut self.refused, heard);
            }
        }
        self.trace
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if self.command_out_of_order(&words) {
            return;
        }
        match words.as_slice() {
            ["start", settings @ ..] => self.start(settings),
            ["wait", time] => self.wait(duration(time)),
            ["disk", "stalls"] => self.disk_stalls = true,
            ["disk", "writes"] => {
                self.disk_stalls = false;
                self.store();
            }
            ["disk", node, "broken"] => self.node(node).disk_broken = true,
            ["order", kind, words @ ..] => self.order(kind, words),
            ["lose-state"] => {
                self.stored = Some(ClusterState::with_past_missing(ClusterId(1)));
            }
            ["holds", node, epoch, seq] => {
                self.node(node).end = (number(epoch), number(seq));
            }
            ["connect-many", from, to] => self.connect_many(number(from), number(to)),
            ["connect", node, more @ ..] => self.connect(number(node), more),
            ["conditions"] => self.tell_conditions(),
            ["disconnect", node] => self.disconnect(number(node)),
            ["restart", node] => {
                let node = number(node);
                self.disconnect(node);
                let veteran = format!("veteran={}", self.node_by(node).view_epoch);
                self.connect(node, &[&veteran]);
            }
            ["reconnect", node] => {
                let node = number(node);
                self.disconnect(node);
                let played = self.node_by(node);
                played.run -= 1;
                let veteran = format!("veteran={}", played.view_epoch);
                self.connect(node, &[&veteran]);
            }
            ["silent", node] => self.node(node).silent = true,
            ["loud", node] => self.node(node).silent = false,
            ["idle", node] => self.node(node).idle = true,
            ["leaves", node] => self.node(node).leaving = true,
            ["loses", node, peer] => {
                let peer = number(peer);
                self.node(node).loses.insert(peer);
            }
            ["hears", node, peer] => {
                let peer = number(peer);
                self.node(node).loses.remove(&peer);
            }
            ["sealed", node, epoch, seq, more @ ..] => {
                self.sealed(number(node), number(epoch), number(seq), more);
            }
            ["propose", node, replaces, backups] => {
                let run = self.node(node).run;
                self.propose(number(node), replaces, backups, run);
            }
            ["handover-fails", node] => {
                let epoch = self.epoch();
                let why = "it does not want to".to_owned();
                let shard = SHARD;
                self.says(
                    number(node),
                    NodeToCoordinator::HandoverFailed { shard, epoch, why },
                );
            }
            _ => panic!("'{line}' is no command"),
        }
    }

    /// Carries a command out that no node gives cause for which works as it should, or that an operator's change of
    /// a file is. Returns whether it is one.
    fn command_out_of_order(&mut self, words: &[&str]) -> bool {
        match words {
            ["connect", node, "as-run", run] => {
                let node = number(node);
                self.node_by(node).run = number(run) - 1;
                self.connect(node, &["veteran=1"]);
            }
            ["propose", node, replaces, backups, run] => {
                let run = run.strip_prefix("run=").expect("a run");
                self.propose(number(node), replaces, backups, number(run));
            }
            ["reports-as", node, other] => self.reports_as(number(node), number(other)),
            ["stray", "heartbeat"] => self.stray(),
            ["settings", settings @ ..] => {
                self.input(Input::SettingsChanged(settings_of(settings)));
            }
            _ => return false,
        }
        true
    }

    fn start(&mut self, words: &[&str]) {
        let settings = settings_of(words);
        for node in self.nodes.values_mut() {
            node.connection = None;
        }
        self.pending.clear();
        let state = self.stored.clone();
        let state = state.unwrap_or_else(|| ClusterState::new(ClusterId(1)));
        self.core = Some(Coordinator::start(self.now(), settings, state));
        self.carry_out();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while self.elapsed < end {
            self.elapsed += TURN;
            let at_beat = self.elapsed.as_millis().is_multiple_of(BEAT.as_millis());
            let nodes: Vec<u64> = self.nodes.keys().copied().collect();
            for node in nodes.into_iter().filter(|_| at_beat) {
                let played = self.node_by(node);
                if played.connection.is_some() && !played.silent {
                    let report = self.report(node);
                    self.says(node, NodeToCoordinator::Heartbeat(report));
                }
            }
            let now = self.now();
            if let Some(core) = &mut self.core {
                core.handle_timeout(now);
            }
            self.carry_out();
        }
    }

    fn connect(&mut self, node: u64, words: &[&str]) {
        self.last_connection += 1;
        let id = self.last_connection;
        let veteran = words.iter().find_map(|word| word.strip_prefix("veteran="));
        let named = words.iter().find_map(|word| word.strip_prefix("name="));
        let door = words.iter().find_map(|word| word.strip_prefix("redis="));
        let played = self.nodes.entry(node).or_default();
        played.run += 1;
        played.connection = Some(id);
        played.silent = false;
        played.release = None;
        let standing = match veteran {
            None => Standing::Fresh { data: None },
            Some(epoch) => Standing::Veteran {
                view_epoch: Epoch(number(epoch)),
                seal: Epoch(played.seal),
            },
        };
        let incarnation = Incarnation(played.run);
        let connection = ConnectionId(id);
        self.input(Input::NodeConnected {
            connection,
            node: NodeId(node),
            incarnation,
        });
        self.says(
            node,
            NodeToCoordinator::Register(Registration {
                node: NodeId(node),
                incarnation,
                name: named.map_or_else(|| format!("node-{node}"), str::to_owned),
                address: Address(format!("10.0.{}.{}:7200", node / 256, node % 256)),
                redis_address: door.map(|door| Address(door.to_owned())),
                fsync: FsyncMode::Always,
                standing,
            }),
        );
    }

    /// Nodes that come and go, of which nothing is told.
    fn connect_many(&mut self, from: u64, to: u64) {
        let told = self.trace.len();
        for node in from..=to {
            self.connect(node, &[]);
            self.disconnect(node);
        }
        self.trace.truncate(told);
    }

    fn disconnect(&mut self, node: u64) {
        if let Some(id) = self.node_by(node).connection.take() {
            let connection = ConnectionId(id);
            self.input(Input::NodeDisconnected { connection });
        }
    }

    fn sealed(&mut self, node: u64, epoch: u64, seq: u64, words: &[&str]) {
        let view_epoch = self.epoch();
        let played = self.node_by(node);
        played.seal = epoch;
        let incarnation = Incarnation(played.run);
        if words.contains(&"releases") {
            played.release = Some(Release {
                epoch: view_epoch,
                seat: PrimarySeat {
                    node: NodeId(node),
                    incarnation,
                },
            });
        }
        let release = played.release;
        let of_epoch = words.iter().find_map(|word| word.strip_prefix("of="));
        let position = Position {
            epoch: of_epoch.map_or(view_epoch, |epoch| Epoch(number(epoch))),
            seq: Seq(seq),
        };
        self.says(
            node,
            NodeToCoordinator::Sealed(SealAnswer {
                shard: SHARD,
                epoch: Epoch(epoch),
                incarnation,
                view_epoch,
                position: (!words.contains(&"no-data")).then_some(position),
                tail_certain: !words.contains(&"tail-uncertain"),
                healthy: !words.contains(&"sick"),
                release,
            }),
        );
    }

    /// A node whose reports bear another's name.
    fn reports_as(&mut self, node: u64, other: u64) {
        let mut report = self.report(node);
        report.node = NodeId(other);
        report.view_epoch = Epoch(99);
        self.says(node, NodeToCoordinator::Heartbeat(report));
    }

    /// A report on a connection that nobody registered on.
    fn stray(&mut self) {
        self.node_by(1);
        let mut report = self.report(1);
        report.seal = Epoch(99);
        self.input(Input::NodeSays {
            connection: ConnectionId(999),
            message: NodeToCoordinator::Heartbeat(report),
        });
    }

    fn propose(&mut self, node: u64, replaces: &str, backups: &str, run: u64) {
        let replaces = replaces.strip_prefix("replaces=").expect("an epoch");
        let backups = backups.strip_prefix("backups=").expect("nodes");
        let backups = backups.split(',').filter(|node| !node.is_empty());
        let incarnation = Incarnation(run);
        self.says(
            node,
            NodeToCoordinator::Propose(Proposal {
                shard: SHARD,
                replaces: Epoch(number(replaces)),
                incarnation,
                backups: backups.map(|node| NodeId(number(node))).collect(),
                why: "it was time".to_owned(),
            }),
        );
    }

    fn order(&mut self, kind: &str, words: &[&str]) {
        let order = order_of(kind, words);
        let token = OrderToken(7);
        self.input(Input::Order { token, order });
    }

    fn report(&mut self, node: u64) -> NodeReport {
        let view = self.view();
        let played = self.nodes.get(&node).expect("it is there");
        let (role, hears) = match &view {
            Some(view) if !played.idle => role_in(view, node, &self.nodes),
            _ => (HeldRole::None, Vec::new()),
        };
        NodeReport {
            shard: SHARD,
            node: NodeId(node),
            incarnation: Incarnation(played.run),
            view_epoch: Epoch(played.view_epoch),
            view: played.view.clone().map(Box::new),
            seal: Epoch(played.seal),
            role,
            positions: Positions {
                applied: Seq(played.end.1),
                committed: Seq(played.end.1),
                held: Seq(played.end.1),
                appended: Seq(played.end.1),
                assured: Seq(played.end.1),
            },
            last_epoch: Epoch(played.end.0),
            keys: 0,
            disk: if played.disk_broken {
                DiskHealth::Failed(Box::new(DiskFailure {
                    trouble: DiskTrouble::Full,
                    cause: "no space left".to_owned(),
                }))
            } else {
                DiskHealth::Works
            },
            serving_age_ms: 0,
            hears,
            followers: Vec::new(),
            copy: None,
            leaving: played.leaving,
            unfit: None,
        }
    }

    fn says(&mut self, node: u64, message: NodeToCoordinator) {
        let id = self.node_by(node).connection.expect("it is connected");
        let connection = ConnectionId(id);
        self.input(Input::NodeSays {
            connection,
            message,
        });
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        let core = self.core.as_mut().expect("the coordinator runs");
        core.handle(now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.as_mut().and_then(Coordinator::poll_effect) {
            match effect {
                Effect::Store { ticket, state, .. } => self.pending.push((ticket, *state)),
                effect => self.note(effect),
            }
            if !self.disk_stalls {
                self.store();
            }
        }
    }

    fn store(&mut self) {
        for (ticket, state) in std::mem::take(&mut self.pending) {
            self.stored = Some(state);
            self.input(Input::Stored { ticket });
        }
    }

    fn note(&mut self, effect: Effect) {
        let line = match effect {
            Effect::Store { .. } => return,
            Effect::SendNode {
                connection,
                message,
            } => {
                let node = self.node_of(connection);
                match message {
                    CoordinatorToNode::Registered { .. } => format!("to {node}: registered"),
                    CoordinatorToNode::Refused(why) => format!("to {node}: refused: {why}"),
                    CoordinatorToNode::Map(map) => format!("to {node}: map {}", describe(&map)),
                    CoordinatorToNode::Seal { epoch, .. } => format!("to {node}: seal {epoch}"),
                    CoordinatorToNode::Handover { to, seal, .. } => {
                        format!("to {node}: hand over to {}, seal {seal}", to.0)
                    }
                }
            }
            Effect::PushMap(map) => {
                for played in self.nodes.values_mut() {
                    if let Some(view) = map.view.as_ref().filter(|_| played.connection.is_some()) {
                        played.view_epoch = played.view_epoch.max(view.epoch.0);
                        if played.view_epoch == view.epoch.0 {
                            played.view = Some(view.clone());
                        }
                    }
                }
                let line = format!(
                    "map: {}{}",
                    describe(&map),
                    age(&map, &mut self.newest_version)
                );
                self.map = Some(map);
                line
            }
            Effect::AnswerOrder { result, .. } => match result {
                Ok(done) => format!("done: {done}"),
                Err(why) => format!("not done: {why}"),
            },
            Effect::Disconnect { connection } => {
                format!("disconnects {}", self.node_of(connection))
            }
            Effect::Log { line } => line,
        };
        let at_ms = self.elapsed.as_millis();
        self.trace.push_str(&format!("{at_ms:>6} ms  {line}\n"));
    }

    fn node_of(&self, connection: ConnectionId) -> u64 {
        let mut nodes = self.nodes.iter();
        let node = nodes.find(|(_, played)| played.connection == Some(connection.0));
        node.map_or(0, |(node, _)| *node)
    }

    fn node(&mut self, word: &str) -> &mut Played {
        self.node_by(number(word))
    }

    fn node_by(&mut self, node: u64) -> &mut Played {
        self.nodes.entry(node).or_default()
    }

    fn view(&self) -> Option<View> {
        self.map.as_ref()?.view.clone()
    }

    fn epoch(&self) -> Epoch {
        self.view().map_or(Epoch(0), |view| view.epoch)
    }

    fn now(&self) -> Now {
        let elapsed_ns = u64::try_from(self.elapsed.as_nanos()).expect("a short scenario");
        Now {
            monotonic: Monotonic(1_000_000_000 + elapsed_ns),
            unix: UnixMs(1_700_000_000_000 + elapsed_ns / 1_000_000),
        }
    }
}
