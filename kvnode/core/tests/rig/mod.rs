//! A node's core with peers, clients, a coordinator and a disk that are played.

mod clients;
mod disk;
mod lines;
mod peers;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use kv_common::history::BaseId;
use kv_common::id::{Address, ClusterId, Epoch, Incarnation, NodeId, ShardId};
use kv_common::message::control::{DiskFailure, DiskTrouble, FsyncMode};
use kv_common::message::replication::{PrimaryStamp, PrimaryToFollower};
use kv_common::tally::Tally;
use kv_common::time::{Monotonic, Now, UnixMs};
use kv_common::view::{ClusterMap, NodeInfo, PrimarySeat, Release, View, ViewSettings};
use kvnode_core::effect::Effect;
use kvnode_core::input::{Identity, Input, LinkId, Start};
use kvnode_core::refused_messages::MessageRefusal;
use kvnode_core::replica::Replica;

use disk::Disk;
use peers::Peer;
use words::{Words, duration, nodes, number};

/// The highest number that a scenario gives a node.
const NODES: u64 = 9;

/// One node under test, and all that is around it.
#[derive(Default)]
pub(crate) struct Rig {
    core: Option<Replica>,
    node: u64,
    run: u64,
    disk: Disk,
    disk_is_quick: bool,
    peers: BTreeMap<u64, Peer>,
    clients: Vec<String>,
    map_version: u64,
    last_link: u64,
    elapsed: Duration,
    trace: String,
    /// Beats since the last command: how many each follower got, and the newest.
    beats: BTreeMap<u64, (u32, PrimaryStamp)>,
    /// As of the last command.
    refused: Tally<MessageRefusal>,
}

impl Rig {
    /// Carries the commands out. Returns what the node did.
    pub(crate) fn run(mut self, commands: &str) -> String {
        for line in commands.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                self.trace.push_str(&format!("> {line}\n"));
                self.command(line);
                self.note_beats();
                self.note_refused();
            }
        }
        self.trace
    }

    fn command(&mut self, line: &str) {
        let words = Words::of(line);
        match words.as_slice() {
            ["start", "node", node, ..] => {
                self.node = number(node);
                self.run = words.number_after("run").unwrap_or(1);
                self.disk = Disk::default();
                self.fill_disk(&words);
                self.start();
            }
            ["restart"] => {
                self.run += 1;
                self.start();
            }
            ["map", ..] => self.map(&words),
            ["coordinator", "up"] => self.input(Input::CoordinatorUp),
            ["coordinator", "down"] => self.input(Input::CoordinatorDown),
            ["seal", epoch, ..] => self.input(Input::Seal {
                shard: shard(&words),
                epoch: Epoch(number(epoch)),
            }),
            ["handover", "to", node, ..] => self.handover(number(node), &words),
            ["flush", ..] => {
                let through = words.seq_after("flush");
                let flushed = self.disk.flushed(through);
                self.input(flushed);
            }
            ["promises", "stored"] => self.disk_did(Disk::stored),
            ["log", "cut"] => self.disk_did(Disk::log_cut),
            ["log", "read", ..] => {
                let lost = words.has("lost");
                self.disk_did(|disk| disk.log_read(lost));
            }
            ["disk", "quick"] => self.disk_is_quick = true,
            ["disk", "slow"] => self.disk_is_quick = false,
            ["disk", "fails", cause @ ..] => self.input(Input::DiskFailed(DiskFailure {
                trouble: DiskTrouble::Failing,
                cause: cause.join(" "),
            })),
            ["copy", "done", ..] => {
                self.fill_disk(&words);
                let recovered = self.disk.recover();
                self.input(Input::CopyDone(Box::new(recovered)));
            }
            ["copy", "fails"] => {
                let why = "the primary is gone".to_owned();
                self.input(Input::CopyFailed { why });
            }
            ["ask", client, ..] => self.ask(client, &words),
            ["listen", word] => self.input(Input::TellKeyEvents(*word == "on")),
            ["wait", time] => self.wait(duration(time)),
            ["pause", time] => self.elapsed += duration(time),
            ["show"] => {
                let report = self.core().report(self.now());
                let line = lines::report(&report);
                self.note(&line);
            }
            _ if self.peer_command(&words) => {}
            _ => panic!("'{line}' is no command"),
        }
        self.carry_out();
    }

    /// What a start finds, or what a copy brought.
    fn fill_disk(&mut self, words: &Words<'_>) {
        let applied = words.seq_after("applied");
        self.disk.base = BaseId(u128::from(words.number_after("base").unwrap_or(0)));
        self.disk.log_from = words.seq_after("log-from");
        self.disk.tail_uncertain = words.has("tail-uncertain");
        self.disk.every_sec = words.has("everysec");
        self.disk.unfit = words.has("unfit").then(|| "it is damaged".to_owned());
        self.disk.fill(&words.runs_after("entries"), applied);
        if words.has("view") {
            let epoch = words.number_after("view").map(Epoch);
            let view = view_of(words, epoch.expect("an epoch"));
            self.disk.promises.adopt(view);
        }
        if let Some(seal) = words.number_after("seal") {
            self.disk.promises.seal = Epoch(seal);
        }
    }

    fn start(&mut self) {
        for peer in self.peers.values_mut() {
            peer.hang_up();
        }
        let recovered = self.disk.recover();
        let promises = self.disk.promises.clone();
        let at_rest = lines::promises(&promises);
        let start = Start {
            identity: Identity {
                shard: ShardId(0),
                seat: PrimarySeat {
                    node: NodeId(self.node),
                    incarnation: Incarnation(self.run),
                },
                fsync: if self.disk.every_sec {
                    FsyncMode::EverySec
                } else {
                    FsyncMode::Always
                },
            },
            promises,
            recovered,
        };
        self.core = Some(Replica::start(self.now(), start));
        self.note(&format!("starts, run {}; {at_rest}", self.run));
    }

    fn map(&mut self, words: &Words<'_>) {
        self.map_version += 1;
        let version = words.number_after("version");
        let nodes = (1..=NODES).map(|node| {
            let info = NodeInfo {
                name: format!("node-{node}"),
                address: Address(format!("10.0.0.{node}:7200")),
                redis_address: None,
            };
            (NodeId(node), info)
        });
        let map = ClusterMap {
            cluster: ClusterId(1),
            version: version.unwrap_or(self.map_version),
            view: words.has("epoch").then(|| view_of(words, words.epoch())),
            joiners: words.nodes_after("joiners"),
            nodes: nodes.collect(),
        };
        self.input(Input::Map(map));
    }

    fn handover(&mut self, node: u64, words: &Words<'_>) {
        let current = self.core().promises().view_epoch();
        let seal = words.number_after("seal").expect("an epoch to seal");
        self.input(Input::Handover {
            shard: shard(words),
            epoch: words.number_after("epoch").map_or(current, Epoch),
            to: NodeId(node),
            seal: Epoch(seal),
        });
    }

    fn wait(&mut self, time: Duration) {
        let end = self.elapsed + time;
        loop {
            self.carry_out();
            let next = self.core().poll_timeout();
            let due = next.map(|at| at.since(lines::BEGIN));
            match due.filter(|due| *due <= end) {
                Some(due) => {
                    self.elapsed = self.elapsed.max(due);
                    let now = self.now();
                    self.core_mut().handle_timeout(now);
                }
                None => break,
            }
        }
        self.elapsed = end;
    }

    fn disk_did(&mut self, order: impl FnOnce(&mut Disk) -> Option<Input>) {
        let done = order(&mut self.disk);
        let done = done.expect("the disk was told to do something");
        self.input(done);
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        self.core_mut().handle(now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.as_mut().and_then(Replica::poll_effect) {
            let line = self.effect(effect);
            if let Some(line) = line {
                self.note(&line);
            }
        }
        if self.disk_is_quick {
            let done = self.disk.stored().or_else(|| self.disk.log_cut());
            let done = done.or_else(|| self.disk.log_read(false));
            let unflushed = self.disk.has_unflushed();
            let done = done.or_else(|| unflushed.then(|| self.disk.flushed(None)));
            if let Some(done) = done {
                return self.input(done);
            }
        }
        if let Some(answer) = self.next_follower_answer() {
            self.input(answer);
        }
    }

    /// Takes note of what the node wants done. Returns the line that says so.
    fn effect(&mut self, effect: Effect) -> Option<String> {
        Some(match effect {
            Effect::Append(batch) => {
                let line = format!("disk: append {}", lines::batch(&batch));
                self.disk.append(batch);
                line
            }
            Effect::CutLog { after, ticket } => {
                self.disk.cut(ticket, after);
                format!("disk: cut the log after {after}")
            }
            Effect::ReadLog {
                node, link, from, ..
            } => {
                self.disk.read(node, link, from);
                format!("disk: read from {from} on, for {}", node.0)
            }
            Effect::StorePromises { promises, ticket } => {
                let line = format!("disk: store {}", lines::promises(&promises));
                self.disk.store(ticket, promises);
                line
            }
            Effect::Reply {
                client,
                result,
                lease_until,
            } => {
                let name = usize::try_from(client.0).map(|index| self.clients[index].clone());
                let name = name.expect("a client that asked");
                format!("to {name}: {}", lines::answer(&result, lease_until))
            }
            Effect::SendFollower { link, message } => return self.sent(link, message),
            Effect::SendPrimary { link, message } => {
                let node = self.caller_on(link);
                format!("to {node}: {}", lines::to_primary(&message))
            }
            Effect::KeepLinks { followers } => {
                format!("keeps links to {}", lines::list(&followers))
            }
            Effect::ResetLink { link } => {
                format!("resets the link to {}", self.follower_on(link))
            }
            Effect::SendCoordinator(message) => {
                format!("to the coordinator: {}", lines::to_coordinator(&message))
            }
            Effect::StartCopy { from, epoch } => {
                format!("starts a copy from {} in epoch {epoch}", from.0)
            }
            Effect::KeyEvents(events) => format!("tells: {}", lines::key_events(&events)),
            Effect::RoleChanged { role } => format!("role: {role}"),
        })
    }

    /// Something went out to a follower. Beats are counted.
    fn sent(&mut self, link: LinkId, message: PrimaryToFollower) -> Option<String> {
        let node = self.follower_on(link);
        let line = format!("to {node}: {}", lines::to_follower(&message));
        let beat = match &message {
            PrimaryToFollower::Beat { stamp } => Some(*stamp),
            _ => None,
        };
        self.peer(node).receives(message);
        let Some(stamp) = beat else {
            return Some(line);
        };
        let count = self.beats.get(&node).map_or(0, |(count, _)| *count);
        self.beats.insert(node, (count + 1, stamp));
        None
    }

    fn note_beats(&mut self) {
        for (node, (count, stamp)) in std::mem::take(&mut self.beats) {
            let newest = lines::to_follower(&PrimaryToFollower::Beat { stamp });
            self.note(&format!("to {node}: {count} beats; newest: {newest}"));
        }
    }

    /// What was said since the last command and not acted upon.
    fn note_refused(&mut self) {
        let Some(core) = &self.core else { return };
        let counted = core.refused_messages().clone();
        let before = std::mem::replace(&mut self.refused, counted.clone());
        for kind in MessageRefusal::ALL {
            // A run that has just begun counts from nothing.
            let since = counted.of(kind).saturating_sub(before.of(kind));
            if since > 0 {
                let line = format!("not acted upon: {} ({since})", kind.name());
                self.note(&line);
            }
        }
    }

    fn note(&mut self, line: &str) {
        let at_ms = self.elapsed.as_millis();
        self.trace.push_str(&format!("{at_ms:>6} ms  {line}\n"));
    }

    fn core(&self) -> &Replica {
        self.core.as_ref().expect("the node runs")
    }

    fn core_mut(&mut self) -> &mut Replica {
        self.core.as_mut().expect("the node runs")
    }

    fn peer(&mut self, node: u64) -> &mut Peer {
        self.peers.entry(node).or_default()
    }

    fn new_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }

    fn now(&self) -> Now {
        let unix_ms = u64::try_from(self.elapsed.as_millis()).expect("a short scenario");
        Now {
            monotonic: self.clock(),
            unix: UnixMs(1_700_000_000_000 + unix_ms),
        }
    }

    fn clock(&self) -> Monotonic {
        lines::BEGIN.after(self.elapsed)
    }
}

fn shard(words: &Words<'_>) -> ShardId {
    let shard = words.number_after("shard").unwrap_or(0);
    ShardId(u32::try_from(shard).expect("a small number"))
}

/// The view of `epoch` that the command describes.
fn view_of(words: &Words<'_>, epoch: Epoch) -> View {
    let primary = words.number_after("primary").expect("a primary");
    let run = words.number_after("primary-run").unwrap_or(1);
    let min_in_sync = words.number_after("min-in-sync").unwrap_or(2);
    let by = words.nodes_after("by");
    View {
        shard: shard(words),
        epoch,
        primary: PrimarySeat {
            node: NodeId(primary),
            incarnation: Incarnation(run),
        },
        backups: words.nodes_after("backups"),
        release: words.number_after("released").map(|released| Release {
            epoch: Epoch(released),
            seat: PrimarySeat {
                node: by[0],
                incarnation: Incarnation(1),
            },
        }),
        settings: ViewSettings {
            copies: 3,
            min_in_sync: u8::try_from(min_in_sync).expect("a small number"),
            heartbeat_interval_ms: 50,
        },
    }
}
