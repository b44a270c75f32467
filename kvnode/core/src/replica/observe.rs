//! What the shell may ask at any time.

use kv_common::history::History;
use kv_common::id::{NodeId, Position};
use kv_common::message::control::{DiskHealth, FollowerProgress, HeldRole, NodeReport, Positions};
use kv_common::time::{Monotonic, Now};
use kv_common::view::{ClusterMap, PrimarySeat};

use crate::promise::Promises;
use crate::state::State;

use super::{Replica, Role};

impl Replica {
    /// How the node is. The age of the serving thread, and whether the node leaves, are for the shell to
    /// fill in.
    #[must_use]
    pub fn report(&self, now: Now) -> NodeReport {
        let local = &self.local;
        NodeReport {
            shard: local.identity.shard,
            node: local.me(),
            incarnation: local.identity.seat.incarnation,
            view_epoch: local.promises.view_epoch(),
            view: local.promises.view.clone().map(Box::new),
            seal: local.promises.seal,
            role: self.role(),
            positions: local.log.figures(),
            last_epoch: local.log.last().epoch,
            keys: local.state.keys(),
            disk: match &local.disk_failure {
                None => DiskHealth::Works,
                Some(failure) => DiskHealth::Failed(Box::new(failure.clone())),
            },
            serving_age_ms: 0,
            hears: self.hears(now.monotonic),
            followers: self.follower_progress(now.monotonic),
            copy: local.copying.and_then(|copying| copying.progress),
            leaving: false,
            unfit: local.unfit.as_deref().map(Box::from),
        }
    }

    /// How far the log is.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.local.log.figures()
    }

    /// Which epochs wrote the log.
    #[must_use]
    pub fn history(&self) -> &History {
        self.local.log.history()
    }

    /// Which run of which node this is.
    #[must_use]
    pub fn seat(&self) -> PrimarySeat {
        self.local.identity.seat
    }

    /// The role that the node really holds.
    #[must_use]
    pub fn role(&self) -> HeldRole {
        if let Some(copying) = &self.local.copying {
            let epoch = copying.epoch;
            return HeldRole::Copying { epoch };
        }
        match &self.role {
            Role::Primary(primary) => primary.held_role(),
            Role::Following(following) if following.is_matched() => HeldRole::Follower {
                epoch: following.epoch(),
            },
            Role::Following(_) | Role::Idle => HeldRole::None,
        }
    }

    fn hears(&self, now: Monotonic) -> Vec<NodeId> {
        match &self.role {
            Role::Primary(primary) => primary.hears(now),
            Role::Following(following) => {
                let view = self.local.view();
                let patience = view.map(|view| view.settings.timing().remove_silent());
                let heard =
                    patience.is_some_and(|patience| now.since(following.heard_at()) < patience);
                heard.then_some(following.seat().node).into_iter().collect()
            }
            Role::Idle => Vec::new(),
        }
    }

    fn follower_progress(&self, now: Monotonic) -> Vec<FollowerProgress> {
        match &self.role {
            Role::Primary(primary) => primary.progress(now),
            Role::Following(_) | Role::Idle => Vec::new(),
        }
    }

    /// Up to where the table goes.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.local.state.applied()
    }

    /// The applied state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.local.state
    }

    /// The newest map that the coordinator pushed.
    #[must_use]
    pub fn map(&self) -> Option<&ClusterMap> {
        self.local.map.as_ref()
    }

    /// Whether there is somebody to hand the role of primary over to, and a coordinator to arrange it.
    #[must_use]
    pub fn could_hand_over(&self) -> bool {
        let has_backups = self
            .local
            .view()
            .is_some_and(|view| !view.backups.is_empty());
        self.role().primary_epoch().is_some() && has_backups && self.local.coordinator_up
    }

    /// Whether the log must have all that this node ever acknowledged: what a run that did not end cleanly
    /// may have lost is made up for.
    #[must_use]
    pub fn tail_is_certain(&self) -> bool {
        self.local.tail_is_certain()
    }

    /// Whether the coordinator is connected.
    #[must_use]
    pub fn hears_coordinator(&self) -> bool {
        self.local.coordinator_up
    }

    /// Whether copies may be fetched from here: this is a serving primary.
    #[must_use]
    pub fn serves_copies(&self) -> bool {
        matches!(&self.role, Role::Primary(primary) if primary.is_serving())
    }

    /// What the node has promised.
    #[must_use]
    pub fn promises(&self) -> &Promises {
        &self.local.promises
    }
}
