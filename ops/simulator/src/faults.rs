//! What goes wrong: crashes, pauses, cuts, lost log heads, and orders at bad times.

use kv_common::id::NodeId;
use rand::RngExt;

use crate::fault_kinds::{FaultKind, FaultKinds};
use crate::trace::Event;
use crate::world::{MS, Party, World};

/// What goes wrong next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    CrashNode(NodeId),
    CrashPrimary,
    CrashCoordinator,
    /// The coordinator's disk is lost; an operator has it go on from what the nodes know.
    LoseCoordinator,
    CrashAll,
    Pause(NodeId),
    CutOneWay(Party, Party),
    CutBothWays(Party, Party),
    /// The primary is cut off from everybody but its clients.
    IsolatePrimary,
    /// The same, and everybody notices at once.
    DisconnectPrimary,
    /// The same, and its backups are restarted so fast that its leases still run.
    DisconnectPrimaryRestartOthers,
    DropLink(NodeId, NodeId),
    ReleaseLog(NodeId),
    DiskStalls(NodeId),
    DiskFails(NodeId),
    /// Its machine loses power, when no other copy has lost any lately.
    PowerCut(NodeId),
    /// Its wall clock is set, forward or back.
    WallClockSet(NodeId),
    Switchover,
    /// An operator takes a node out, and lets it in again later.
    Drain(NodeId),
    /// An operator changes the period from which all others follow.
    HeartbeatInterval {
        interval_ms: u32,
    },
}

/// So many draws, of which each fault has its share.
const DRAWS: u32 = 31;
/// More of them where nodes are drained; other runs take the same way with and without this fault.
const DRAIN_DRAWS: u32 = 8;
/// And more where settings change.
const SETTINGS_DRAWS: u32 = 3;
/// Heartbeat intervals that an operator may choose.
const INTERVALS_MS: [u32; 4] = [25, 50, 80, 150];

impl Fault {
    /// Lets one fault happen and plans the next.
    pub(crate) fn next(world: &mut World) {
        if !world.faults_go_on || world.options.faults == FaultKinds::NONE {
            return;
        }
        let mut fault = Self::draw(world);
        while !world.options.faults.contains(fault.kind()) {
            fault = Self::draw(world);
        }
        world.trace.note(world.now, || Event::Fault(fault));
        fault.happen(world);
        let pause = world.random.random_range(20 * MS..700 * MS);
        world.after(pause, Self::next);
    }

    fn draw(world: &mut World) -> Self {
        let node = Self::any_node(world);
        let other = Self::any_node(world);
        let party = if world.random.random_ratio(1, 3) {
            Party::Coordinator
        } else {
            Party::Node(other)
        };
        let drains = world.options.faults.contains(FaultKind::Drains);
        let settings = world.options.faults.contains(FaultKind::Settings);
        let drains_end = DRAWS + if drains { DRAIN_DRAWS } else { 0 };
        let draws = drains_end + if settings { SETTINGS_DRAWS } else { 0 };
        match world.random.random_range(0..draws) {
            0..=2 => Self::CrashNode(node),
            3..=4 => Self::CrashPrimary,
            5 => Self::CrashCoordinator,
            6 => Self::CrashAll,
            7..=8 => Self::Pause(node),
            9..=10 => Self::CutOneWay(Party::Node(node), party),
            11 => Self::CutOneWay(party, Party::Node(node)),
            12..=13 => Self::CutBothWays(Party::Node(node), party),
            14 => Self::DropLink(node, other),
            15..=16 => Self::ReleaseLog(node),
            17..=18 => Self::IsolatePrimary,
            19..=20 => Self::DisconnectPrimary,
            21 => Self::DisconnectPrimaryRestartOthers,
            22..=23 => Self::DiskStalls(node),
            24 => Self::DiskFails(node),
            25..=26 => Self::PowerCut(node),
            27 => Self::WallClockSet(node),
            28 => Self::LoseCoordinator,
            29..DRAWS => Self::Switchover,
            draw if draw < drains_end => Self::Drain(node),
            _ => Self::HeartbeatInterval {
                interval_ms: INTERVALS_MS[world.random.random_range(0..INTERVALS_MS.len())],
            },
        }
    }

    fn kind(self) -> FaultKind {
        match self {
            Self::CrashNode(_) | Self::CrashPrimary | Self::CrashAll => FaultKind::Crashes,
            Self::CrashCoordinator | Self::LoseCoordinator => FaultKind::Coordinator,
            Self::Pause(_) => FaultKind::Pauses,
            Self::CutOneWay(..)
            | Self::CutBothWays(..)
            | Self::IsolatePrimary
            | Self::DisconnectPrimary
            | Self::DisconnectPrimaryRestartOthers
            | Self::DropLink(..) => FaultKind::Cuts,
            Self::ReleaseLog(_) => FaultKind::LogHeads,
            Self::DiskStalls(_) | Self::DiskFails(_) => FaultKind::Disks,
            Self::PowerCut(_) => FaultKind::Power,
            Self::WallClockSet(_) => FaultKind::Clocks,
            Self::Switchover => FaultKind::Switchovers,
            Self::Drain(_) => FaultKind::Drains,
            Self::HeartbeatInterval { .. } => FaultKind::Settings,
        }
    }

    fn any_node(world: &mut World) -> NodeId {
        NodeId(world.random.random_range(1..=world.nodes.len() as u64))
    }

    fn happen(self, world: &mut World) {
        let later = world.random.random_range(10 * MS..1500 * MS);
        match self {
            Self::CrashNode(node) => Self::crash(world, node, later),
            Self::CrashPrimary => {
                if let Some(node) = world.primary() {
                    Self::crash(world, node, later);
                }
            }
            Self::CrashCoordinator => Self::crash_coordinator(world, later),
            Self::LoseCoordinator => {
                if world.coordinator.is_up() && world.may_lose_coordinator() {
                    Self::crash_coordinator(world, later);
                    world.lose_coordinator_disk();
                }
            }
            Self::CrashAll => {
                let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
                for node in nodes {
                    Self::crash(world, node, later);
                }
            }
            Self::Pause(node) => {
                let until = world.now + later;
                if let Some(node) = world.nodes.get_mut(&node) {
                    node.paused_until = node.paused_until.max(until);
                }
            }
            Self::CutOneWay(from, to) => Self::cut(world, from, to, later),
            Self::CutBothWays(one, other) => {
                Self::cut(world, one, other, later);
                Self::cut(world, other, one, later);
            }
            Self::IsolatePrimary => {
                if let Some(node) = world.primary() {
                    Self::isolate(world, node, later);
                }
            }
            Self::DisconnectPrimary => {
                if let Some(node) = world.primary() {
                    Self::disconnect(world, node, later);
                }
            }
            Self::DisconnectPrimaryRestartOthers => {
                if let Some(primary) = world.primary() {
                    Self::disconnect(world, primary, later);
                    Self::restart_others(world, primary);
                }
            }
            Self::DropLink(from, to) => world.drop_link(from, to),
            Self::ReleaseLog(node) => world.release_log(node),
            Self::DiskStalls(node) => world.stall_disk(node, later),
            Self::DiskFails(node) => {
                world.fail_disk(node);
                world.after(later, move |world| Self::crash(world, node, 50 * MS));
            }
            Self::PowerCut(node) => {
                if world.may_lose_power(node) {
                    Self::crash(world, node, later);
                    world.lose_last_second(node);
                }
            }
            Self::WallClockSet(node) => Self::set_wall_clock(world, node),
            Self::Switchover => world.order_switchover(),
            Self::Drain(node) => world.order_drain(node, later),
            Self::HeartbeatInterval { interval_ms } => world.change_heartbeat_interval(interval_ms),
        }
    }

    fn set_wall_clock(world: &mut World, node: NodeId) {
        if let Some(node) = world.nodes.get_mut(&node) {
            node.clock.set_wall(&mut world.random);
        }
    }

    fn crash_coordinator(world: &mut World, later: u64) {
        if world.coordinator.is_up() {
            world.crash_coordinator();
            world.after(later, World::start_coordinator);
        }
    }

    fn crash(world: &mut World, node: NodeId, later: u64) {
        if world.process(node).is_some() {
            world.crash_node(node);
            world.after(later, move |world| {
                if world.process(node).is_none() {
                    world.start_node(node);
                }
            });
        }
    }

    fn restart_others(world: &mut World, primary: NodeId) {
        let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
        for node in nodes.into_iter().filter(|node| *node != primary) {
            Self::crash(world, node, 20 * MS);
        }
    }

    /// Cuts a node off from the others and the coordinator. Returns the pairs that were cut.
    fn isolate(world: &mut World, node: NodeId, later: u64) -> Vec<(Party, Party)> {
        let mut others: Vec<Party> = world.nodes.keys().copied().map(Party::Node).collect();
        others.push(Party::Coordinator);
        let node = Party::Node(node);
        others.retain(|other| *other != node);
        for other in &others {
            Self::cut(world, node, *other, later);
            Self::cut(world, *other, node, later);
        }
        others.into_iter().map(|other| (node, other)).collect()
    }

    fn disconnect(world: &mut World, node: NodeId, later: u64) {
        for (from, to) in Self::isolate(world, node, later) {
            world.break_connections(from, to);
        }
    }

    fn cut(world: &mut World, from: Party, to: Party, later: u64) {
        world.cut.insert((from, to));
        world.after(later, move |world| {
            world.cut.remove(&(from, to));
            // What was lost in a cut breaks the connection it belonged to.
            world.break_connections(from, to);
        });
    }
}

impl World {
    /// The primary of the view in force.
    fn primary(&self) -> Option<NodeId> {
        let map = self.coordinator.map.as_ref()?;
        Some(map.view.as_ref()?.primary.node)
    }

    fn break_connections(&mut self, one: Party, other: Party) {
        match (one, other) {
            (Party::Node(from), Party::Node(to)) => {
                self.drop_link(from, to);
                self.drop_link(to, from);
            }
            (Party::Node(node), Party::Coordinator) | (Party::Coordinator, Party::Node(node)) => {
                let connection = self.process(node).and_then(|process| process.connection);
                self.node_loses_coordinator(node);
                if let Some(connection) = connection {
                    self.connection_broke(node, connection);
                }
            }
            (Party::Client(_), _)
            | (_, Party::Client(_))
            | (Party::Coordinator, Party::Coordinator) => {}
        }
    }

    fn release_log(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(process) = &node.process else {
            return;
        };
        let applied = process.replica.applied().seq;
        if let Some(log_from) = node.disk.release_log(applied) {
            let input = kvnode_core::input::Input::LogReleased { log_from };
            self.node_input(id, None, input);
        }
    }
}
