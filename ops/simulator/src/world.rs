//! The cluster: nodes, coordinator, clients, the network between them, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use kv_common::id::NodeId;
use kv_common::message::control::FsyncMode;
use kv_common::time::{Monotonic, Now, UnixMs};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::Client;
use crate::fault_kinds::{FaultKind, FaultKinds};
use crate::faults::Fault;
use crate::invariants::{Invariants, Violation};
use crate::node::SimulatedNode;
use crate::registry::SimulatedCoordinator;
use crate::trace::{Trace, Tracing};

/// True time, in nanoseconds since the run began.
pub(crate) type TrueNs = u64;

pub(crate) const MS: TrueNs = 1_000_000;

/// Who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Coordinator,
    Node(NodeId),
    Client(usize),
}

/// A deed of the future: what is done when its time comes.
pub(crate) type Deed = Box<dyn FnOnce(&mut World)>;

struct Scheduled {
    at: TrueNs,
    order: u64,
    deed: Deed,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// How many nodes there are, from 1 to 5.
    pub nodes: u8,
    /// How many clients there are.
    pub clients: usize,
    /// How long faults happen.
    pub faults_for: Duration,
    /// How long the cluster has to heal.
    pub healing_for: Duration,
    /// When an entry counts as held.
    pub fsync: FsyncMode,
    /// What may go wrong.
    pub faults: FaultKinds,
    /// What becomes of the events of the run.
    pub tracing: Tracing,
}

/// The cluster and its future.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now: TrueNs,
    pub(crate) random: StdRng,
    pub(crate) nodes: BTreeMap<NodeId, SimulatedNode>,
    pub(crate) coordinator: SimulatedCoordinator,
    pub(crate) clients: Vec<Client>,
    /// Pairs whose messages do not arrive, in that direction.
    pub(crate) cut: BTreeSet<(Party, Party)>,
    pub(crate) faults_go_on: bool,
    pub(crate) last_power_cut: TrueNs,
    pub(crate) invariants: Invariants,
    pub(crate) trace: Trace,
    /// The first broken invariant; nothing happens after it.
    pub(crate) violation: Option<Violation>,
    /// When what was sent last from one to another arrives: nothing overtakes it.
    arrivals: BTreeMap<(Party, Party), TrueNs>,
    future: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    last_link: u64,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut random = StdRng::seed_from_u64(options.seed);
        let nodes = (1..=u64::from(options.nodes))
            .map(|number| {
                let node = SimulatedNode::new(NodeId(number), &mut random);
                (NodeId(number), node)
            })
            .collect();
        let mut world = Self {
            now: 0,
            nodes,
            coordinator: SimulatedCoordinator::new(&options),
            clients: (0..options.clients).map(Client::new).collect(),
            cut: BTreeSet::new(),
            faults_go_on: true,
            last_power_cut: 0,
            invariants: Invariants::default(),
            trace: Trace::new(options.tracing),
            violation: None,
            arrivals: BTreeMap::new(),
            future: BinaryHeap::new(),
            scheduled: 0,
            last_link: 0,
            random,
            options,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.start_coordinator();
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.start_node(node);
        }
        for client in 0..self.clients.len() {
            self.after(5 * MS, move |world| world.client_step(client));
        }
        self.after(500 * MS, Fault::next);
    }

    /// Does `deed` so much later.
    pub(crate) fn after(&mut self, delay: TrueNs, deed: impl FnOnce(&mut Self) + 'static) {
        self.at(self.now + delay, deed);
    }

    pub(crate) fn at(&mut self, at: TrueNs, deed: impl FnOnce(&mut Self) + 'static) {
        self.scheduled += 1;
        self.future.push(Reverse(Scheduled {
            at: at.max(self.now),
            order: self.scheduled,
            deed: Box::new(deed),
        }));
    }

    /// Has `deed` done when a message from one to the other arrives; messages of one direction
    /// keep their order. Over a cut, nothing arrives.
    pub(crate) fn deliver(
        &mut self,
        from: Party,
        to: Party,
        deed: impl FnOnce(&mut Self) + 'static,
    ) {
        if self.cut.contains(&(from, to)) {
            return;
        }
        let slow = self.may_happen(FaultKind::Delays) && self.random.random_ratio(1, 200);
        let longest = if slow { 40 * MS } else { MS / 2 };
        let delay = self.random.random_range(MS / 50..longest);
        let arrival = self.arrivals.entry((from, to)).or_insert(0);
        *arrival = (self.now + delay).max(*arrival + 1);
        let at = *arrival;
        self.at(at, move |world| {
            if !world.cut.contains(&(from, to)) {
                deed(world);
            }
        });
    }

    pub(crate) fn next_link(&mut self) -> u64 {
        self.last_link += 1;
        self.last_link
    }

    /// Lets time pass until `until`.
    pub(crate) fn run_until(&mut self, until: TrueNs) {
        while self.violation.is_none()
            && self
                .future
                .peek()
                .is_some_and(|Reverse(next)| next.at <= until)
        {
            if let Some(Reverse(next)) = self.future.pop() {
                self.now = next.at;
                (next.deed)(self);
            }
        }
        self.now = until;
    }

    /// Whether this kind of fault happens now and then, at this time of the run.
    pub(crate) fn may_happen(&self, kind: FaultKind) -> bool {
        self.faults_go_on && self.options.faults.contains(kind)
    }
}

/// What the slowest wall clock shows when a run begins.
const WALL_CLOCK_START_MS: u64 = 1_700_000_000_000;
/// How far a wall clock may be off, either way.
pub(crate) const WALL_CLOCK_OFF_NS: TrueNs = 100 * MS;

/// A clock that starts anywhere and runs a little fast or slow, and a wall clock that is off and may be
/// set at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset_ns: u64,
    rate_per_mille: u64,
    /// From the slowest that it may be.
    wall_ahead_ns: u64,
}

impl Clock {
    pub(crate) fn new(random: &mut StdRng) -> Self {
        Self {
            offset_ns: random.random_range(0..1_000_000_000_000),
            // The design allows 10 % either way.
            rate_per_mille: random.random_range(905..=1095),
            wall_ahead_ns: random.random_range(0..=2 * WALL_CLOCK_OFF_NS),
        }
    }

    pub(crate) fn steady() -> Self {
        Self {
            offset_ns: 0,
            rate_per_mille: 1000,
            wall_ahead_ns: WALL_CLOCK_OFF_NS,
        }
    }

    pub(crate) fn read(&self, true_ns: TrueNs) -> Now {
        Now {
            monotonic: Monotonic(self.offset_ns + true_ns / 1000 * self.rate_per_mille),
            unix: UnixMs(WALL_CLOCK_START_MS + (true_ns + self.wall_ahead_ns) / MS),
        }
    }

    /// Sets the wall clock: it is off in another way from now on.
    pub(crate) fn set_wall(&mut self, random: &mut StdRng) {
        self.wall_ahead_ns = random.random_range(0..=2 * WALL_CLOCK_OFF_NS);
    }

    /// The first true time at which the clock shows `monotonic` or later.
    pub(crate) fn when(&self, monotonic: Monotonic) -> TrueNs {
        let passed = monotonic.0.saturating_sub(self.offset_ns);
        (passed.div_ceil(self.rate_per_mille)) * 1000
    }
}
