//! The state of the model. All of it is small and copied.

use crate::Rules;

/// How many nodes there are.
pub const NODES: usize = 3;
/// How many writes clients make.
pub const WRITES: u8 = 2;
/// How many views there may be, the first one included.
pub(crate) const VIEWS: usize = 3;
/// How many failures there may be.
pub(crate) const FAILURES: u8 = 2;

/// A node, by number.
pub type NodeIndex = usize;

/// A set of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Nodes(u8);

impl Nodes {
    pub(crate) fn of(nodes: &[NodeIndex]) -> Self {
        nodes
            .iter()
            .fold(Self::default(), |set, node| set.with(*node))
    }

    pub(crate) fn has(self, node: NodeIndex) -> bool {
        self.0 & (1 << node) != 0
    }

    pub(crate) fn with(self, node: NodeIndex) -> Self {
        Self(self.0 | 1 << node)
    }

    pub(crate) fn without(self, node: NodeIndex) -> Self {
        Self(self.0 & !(1 << node))
    }

    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = NodeIndex> {
        (0..NODES).filter(move |node| self.has(*node))
    }
}

/// One run of one node. Small, because it stands in every message of every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    node: u8,
    run: u8,
}

impl Seat {
    pub(crate) fn new(node: NodeIndex, run: u8) -> Self {
        let node = node as u8;
        Self { node, run }
    }

    pub(crate) fn node(self) -> NodeIndex {
        usize::from(self.node)
    }

    pub(crate) fn run(self) -> u8 {
        self.run
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) epoch: u8,
    pub(crate) primary: Seat,
    pub(crate) backups: Nodes,
}

impl View {
    pub(crate) fn members(self) -> Nodes {
        self.backups.with(self.primary.node())
    }
}

/// An entry: the epoch that wrote it, and which write it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) epoch: u8,
    pub(crate) write: u8,
}

/// A log. Each write is made once, so it has one place for each at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log([Option<Entry>; WRITES as usize]);

impl Log {
    pub(crate) fn len(&self) -> u8 {
        self.0.iter().flatten().count() as u8
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        let last = usize::from(self.len());
        self.0[last] = Some(entry);
    }

    /// The writes among the first `len` entries, one bit each.
    pub(crate) fn writes(&self, len: u8) -> u8 {
        let entries = self.0.iter().flatten().take(usize::from(len));
        entries.fold(0, |writes, entry| writes | 1 << entry.write)
    }
}

/// What a primary knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Primary {
    pub(crate) view: View,
    /// Whether it has waited as long as anybody may rely on a lease from it.
    pub(crate) waited: bool,
    /// What it has to commit before it serves.
    pub(crate) tail: u8,
    pub(crate) serving: bool,
    pub(crate) committed: u8,
    /// Up to where each other node holds the log, once it said so in this epoch.
    pub(crate) held: [Option<u8>; NODES],
    /// Joiners that it proposed in this epoch.
    pub(crate) joiners: Nodes,
    /// Backups whose removal it asked for in this epoch.
    pub(crate) removed: Nodes,
    /// The nodes whose lease it holds.
    pub(crate) leases: Nodes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) run: u8,
    /// The epoch of the view that it adopted.
    pub(crate) epoch: u8,
    pub(crate) seal: u8,
    pub(crate) log: Log,
    pub(crate) primary: Option<Primary>,
}

/// A seal that the coordinator ordered, and who answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seal {
    pub(crate) epoch: u8,
    pub(crate) answers: Nodes,
}

/// A view that a primary asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proposal {
    pub(crate) replaces: u8,
    pub(crate) run: u8,
    pub(crate) backups: Nodes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Coordinator {
    pub(crate) views: [Option<View>; VIEWS],
    pub(crate) seal: Option<Seal>,
    /// The newest proposal of each node that has not arrived.
    pub(crate) proposals: [Option<Proposal>; NODES],
}

/// From a primary to a follower: its view and its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replicate {
    pub(crate) view: View,
    pub(crate) log: Log,
}

/// From a follower to its primary: up to where it holds the log, and a lease as long as it is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ack {
    pub(crate) epoch: u8,
    pub(crate) held: u8,
    pub(crate) lease: bool,
}

/// The whole cluster, with what the claims need to know of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    pub(crate) coordinator: Coordinator,
    pub(crate) nodes: [Node; NODES],
    /// Under way, `[from][to]`.
    pub(crate) entries: [[Option<Replicate>; NODES]; NODES],
    /// Under way, `[from][to]`.
    pub(crate) acks: [[Option<Ack>; NODES]; NODES],
    pub(crate) written: u8,
    pub(crate) failures: u8,
    /// The writes that clients were told of, one bit each.
    pub(crate) acknowledged: u8,
    /// Who committed something in each epoch.
    pub(crate) committed_by: [Option<Seat>; VIEWS + 2],
    /// Whether two did in one.
    pub(crate) two_committed: bool,
}

impl Cluster {
    /// A cluster whose first view has node 0 for its primary, which serves, and `backups`. The other nodes
    /// are being brought in.
    #[must_use]
    pub fn new(rules: Rules, backups: &[NodeIndex]) -> Self {
        let first = View {
            epoch: 1,
            primary: Seat::new(0, 0),
            backups: Nodes::of(backups),
        };
        let mut views = [None; VIEWS];
        views[0] = Some(first);
        let mut cluster = Self {
            coordinator: Coordinator {
                views,
                seal: None,
                proposals: [None; NODES],
            },
            nodes: [Node::default(); NODES],
            entries: [[None; NODES]; NODES],
            acks: [[None; NODES]; NODES],
            written: 0,
            failures: 0,
            acknowledged: 0,
            committed_by: [None; VIEWS + 2],
            two_committed: false,
        };
        cluster.adopt_as_primary(rules, first.primary.node(), first);
        cluster.end_wait(rules, first.primary.node());
        cluster
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u32 {
        self.acknowledged.count_ones()
    }

    /// How many failures there were.
    #[must_use]
    pub fn failures(&self) -> u8 {
        self.failures
    }

    /// The epoch of the newest view.
    #[must_use]
    pub fn epoch(&self) -> u8 {
        self.coordinator.view().epoch
    }

    /// The primary of the newest view, if it serves.
    #[must_use]
    pub fn serving(&self) -> Option<NodeIndex> {
        let view = self.coordinator.view();
        let node = view.primary.node();
        let primary = self.nodes[node].primary?;
        (primary.view == view && primary.serving).then_some(node)
    }

    /// Whether the newest view has `node` in it.
    #[must_use]
    pub fn has_member(&self, node: NodeIndex) -> bool {
        self.coordinator.view().members().has(node)
    }
}
