//! What the coordinator remembers: changed only by applying commands, stored before anyone sees
//! what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use kv_common::id::{ClusterId, Epoch, Incarnation, NodeId};
use kv_common::message::control::{FsyncMode, Registration};
use kv_common::view::{NodeInfo, View};
use serde::{Deserialize, Serialize};

/// A node that registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredNode {
    /// Name and addresses, as of its last registration.
    pub info: NodeInfo,
    /// Its last run.
    pub incarnation: Incarnation,
    /// Whether it was ever a member of a view.
    pub was_member: bool,
}

/// What the coordinator remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    cluster: ClusterId,
    starts: u64,
    fsync: Option<FsyncMode>,
    nodes: BTreeMap<NodeId, RegisteredNode>,
    forgotten: BTreeSet<NodeId>,
    /// Nodes that an operator took out for a while.
    #[serde(default)]
    drained: BTreeSet<NodeId>,
    view: Option<View>,
    highest_epoch: Epoch,
    highest_seal: Epoch,
    events: u64,
    /// The cluster is older than this state, and what the nodes know of it was not taken over yet.
    #[serde(default)]
    past_is_missing: bool,
}

/// A change of what the coordinator remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The coordinator started.
    Start,
    /// A node registered.
    Register(Registration),
    /// An operator has a node forgotten.
    Forget(NodeId),
    /// An operator takes a registered node out.
    Drain(NodeId),
    /// The node may take part again.
    Undrain(NodeId),
    /// Members are to be sealed at this epoch.
    OrderSeal(Epoch),
    /// The view in force from now on.
    InstallView(View),
    /// The view in force from now on, by an operator's word: its primary need not have been a member
    /// before, and members that it leaves out are new nodes when they come back.
    ForceView(View),
    /// The newest view that nodes know, if it is newer than ours: it was installed by a coordinator
    /// whose state is lost.
    AdoptView {
        /// The view.
        view: View,
        /// The number of this start, above that of any start that was forgotten.
        starts: u64,
    },
    /// An event was numbered.
    CountEvent,
}

impl ClusterState {
    /// A cluster of which nothing is known yet.
    #[must_use]
    pub fn new(cluster: ClusterId) -> Self {
        Self {
            cluster,
            starts: 0,
            fsync: None,
            nodes: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            drained: BTreeSet::new(),
            view: None,
            highest_epoch: Epoch::ZERO,
            highest_seal: Epoch::ZERO,
            events: 0,
            past_is_missing: false,
        }
    }

    /// A cluster that exists, and of which only its nodes know anything.
    #[must_use]
    pub fn with_past_missing(cluster: ClusterId) -> Self {
        Self {
            past_is_missing: true,
            ..Self::new(cluster)
        }
    }

    /// Applies a command.
    ///
    /// # Panics
    /// When a view breaks a rule that safety rests on: its epoch must rise, and its primary must
    /// have been a member of the view before.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Start => self.starts += 1,
            Command::Register(registration) => self.register(registration),
            Command::Forget(node) => {
                self.nodes.remove(&node);
                self.forgotten.insert(node);
                self.drained.remove(&node);
            }
            Command::Drain(node) => {
                self.drained.insert(node);
            }
            Command::Undrain(node) => {
                self.drained.remove(&node);
            }
            Command::OrderSeal(epoch) => {
                assert!(epoch > self.highest_epoch, "a seal is above every view");
                self.highest_seal = self.highest_seal.max(epoch);
            }
            Command::InstallView(view) => {
                if let Some(before) = &self.view {
                    assert!(
                        before.has_member(view.primary.node),
                        "the primary was a member of the view before"
                    );
                }
                self.install(view);
            }
            Command::ForceView(view) => {
                // The newer word of an operator.
                self.drained.remove(&view.primary.node);
                self.install(view);
                self.make_others_new();
            }
            Command::AdoptView { view, starts } => {
                self.past_is_missing = false;
                self.starts = self.starts.max(starts);
                if view.epoch > self.highest_epoch {
                    self.note_members(&view);
                    self.highest_epoch = view.epoch;
                    self.view = Some(view);
                }
            }
            Command::CountEvent => self.events += 1,
        }
    }

    fn register(&mut self, registration: Registration) {
        self.fsync.get_or_insert(registration.fsync);
        let was_member = self.was_member(registration.node);
        let info = NodeInfo {
            name: registration.name,
            address: registration.address,
            redis_address: registration.redis_address,
        };
        let node = RegisteredNode {
            info,
            incarnation: registration.incarnation,
            was_member,
        };
        self.nodes.insert(registration.node, node);
    }

    fn install(&mut self, view: View) {
        assert!(view.epoch > self.highest_epoch, "epochs rise");
        assert!(
            view.epoch >= self.highest_seal,
            "a view is not below a seal"
        );
        assert!(view.backups.is_sorted(), "backups are sorted");
        assert!(
            !view.backups.contains(&view.primary.node),
            "one role a node"
        );
        self.note_members(&view);
        self.highest_epoch = view.epoch;
        self.view = Some(view);
    }

    fn note_members(&mut self, view: &View) {
        for member in view.members() {
            if let Some(node) = self.nodes.get_mut(&member) {
                node.was_member = true;
            }
        }
    }

    fn make_others_new(&mut self) {
        for (node, known) in &mut self.nodes {
            known.was_member = self
                .view
                .as_ref()
                .is_some_and(|view| view.has_member(*node));
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// How often the coordinator started; more than that since it lost its past. It rises with each start.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// The cluster's `--fsync`, set by its first node.
    #[must_use]
    pub fn fsync(&self) -> Option<FsyncMode> {
        self.fsync
    }

    /// Every registered node.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeId, RegisteredNode> {
        &self.nodes
    }

    /// Whether an operator had the node forgotten.
    #[must_use]
    pub fn is_forgotten(&self, node: NodeId) -> bool {
        self.forgotten.contains(&node)
    }

    /// The nodes that an operator took out.
    #[must_use]
    pub fn drained(&self) -> &BTreeSet<NodeId> {
        &self.drained
    }

    /// Whether an operator took the node out.
    #[must_use]
    pub fn is_drained(&self, node: NodeId) -> bool {
        self.drained.contains(&node)
    }

    /// Whether the node was ever a member of a view.
    #[must_use]
    pub fn was_member(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.was_member)
    }

    /// The view in force.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The epoch of the view in force.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch::ZERO, |view| view.epoch)
    }

    /// The seal that was ordered and has no view yet.
    #[must_use]
    pub fn open_seal(&self) -> Option<Epoch> {
        (self.highest_seal > self.highest_epoch).then_some(self.highest_seal)
    }

    /// The highest epoch that this coordinator ever named, in a view or a seal.
    #[must_use]
    pub fn highest_named(&self) -> Epoch {
        self.highest_epoch.max(self.highest_seal)
    }

    /// Whether the cluster is older than this state, and what its nodes know was not taken over yet.
    #[must_use]
    pub fn past_is_missing(&self) -> bool {
        self.past_is_missing
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The name that people read for a node.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> String {
        self.nodes
            .get(&node)
            .map_or_else(|| node.to_string(), |known| known.info.name.clone())
    }
}
