//! A replica that is primary: it executes, has every member hold what it wrote, and answers.
//!
//! | file | what it does |
//! |---|---|
//! | `requests` | executes what clients ask, or says why not |
//! | `waiting` | answers that wait for a commit |
//! | `writer` | the open batch, and the newest batches for the followers |
//! | `follower` | how far one follower is, and until when its lease runs |
//! | `replication` | messages to and from followers |
//! | `commit` | from acks to commits, answers and the end of a takeover |
//! | `membership` | whom to propose for the next view |
//! | `handover` | giving the role up in a planned switchover |
//! | `housekeeping` | beats, expiry, idle sessions |

mod commit;
mod follower;
mod handover;
mod housekeeping;
mod membership;
mod replication;
mod requests;
mod waiting;
mod writer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kv_common::id::{Epoch, NodeId, Seq, SessionId};
use kv_common::message::control::{FollowerProgress, HeldRole};
use kv_common::time::{Monotonic, Now};
use kv_common::timing::Timing;
use kv_common::view::View;

use crate::effect::Effect;
use crate::input::ClientToken;
use crate::local::Local;
use crate::state::Overlay;

use follower::Follower;
pub(crate) use requests::Request;
use waiting::Waiting;
use writer::Writer;

/// A primary that works makes a turn at each beat, whatever happens.
const STOOD_STILL_BEATS: u32 = 2;

/// How far a primary is with its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It brings its backups to its own tail, commits that, and waits until no earlier primary
    /// can rely on a lease any more.
    TakingOver { tail: Seq, serve_from: Monotonic },
    /// It executes and answers.
    Serving,
    /// It executes no more writes, and gives the role up when `to` holds everything.
    HandingOver {
        to: NodeId,
        seal: Epoch,
        give_up_at: Monotonic,
    },
}

/// What a step of the primary asks of the replica around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Stay,
    /// Release the epoch for good and answer as to this seal.
    Release { seal: Epoch },
}

/// The primary of a view.
#[derive(Debug)]
pub(crate) struct Primary {
    view: View,
    timing: Timing,
    phase: Phase,
    followers: BTreeMap<NodeId, Follower>,
    /// Joiners that were proposed in this epoch: members, for all that this node does, until a
    /// view of a higher epoch is held.
    counted_joiners: BTreeSet<NodeId>,
    proposed: Option<membership::Proposed>,
    writer: Writer,
    overlay: Overlay,
    waiting: Waiting,
    /// Requests that came during a handover.
    parked: VecDeque<(ClientToken, Request)>,
    /// When each session was last used, as far as this primary saw it.
    sessions_used: BTreeMap<SessionId, Monotonic>,
    opening_sessions: usize,
    next_beat: Monotonic,
    next_session_sweep: Monotonic,
}

impl Primary {
    /// Takes the role of `view` over, with empty ack tables.
    pub(crate) fn take_over(now: Now, local: &mut Local, view: View) -> Self {
        let timing = view.settings.timing();
        let serve_from = local.serve_from(now.monotonic, view.release.as_ref());
        let tail = local.log.appended();
        let view_seed = view.epoch.0 ^ view.primary.node.0;
        local.role_changed(format!(
            "taking over as primary of epoch {}: {} entries to commit, {} ms to wait",
            view.epoch,
            tail.0 - local.log.committed().0,
            serve_from.since(now.monotonic).as_millis()
        ));
        let mut primary = Self {
            writer: Writer::new(view.epoch),
            view,
            timing,
            phase: Phase::TakingOver { tail, serve_from },
            followers: BTreeMap::new(),
            counted_joiners: BTreeSet::new(),
            proposed: None,
            overlay: Overlay::with_seed(view_seed),
            waiting: Waiting::default(),
            parked: VecDeque::new(),
            sessions_used: BTreeMap::new(),
            opening_sessions: 0,
            next_beat: now.monotonic.after(timing.heartbeat_interval()),
            next_session_sweep: now.monotonic.after(housekeeping::SESSION_SWEEP),
        };
        primary.keep_links(now, local);
        primary
    }

    /// Goes on as primary of a newer view. Overlay, waiting answers and leases stay: the same run
    /// held the role all along, and a lease is a promise by time. Acks count only in the epoch
    /// that they name, so the ack tables start empty and every follower is matched again.
    pub(crate) fn continue_in(&mut self, now: Now, local: &mut Local, view: View) {
        // What was executed under the old epoch belongs to it.
        self.close_batch(now, local);
        self.end_handover(local, "the view changed");
        local.role_changed(format!("primary goes on in {}", describe(local, &view)));
        self.timing = view.settings.timing();
        self.writer.enter_epoch(view.epoch);
        self.view = view;
        self.counted_joiners.clear();
        self.proposed = None;
        for follower in self.followers.values_mut() {
            follower.forget_acks(now.monotonic);
        }
        self.keep_links(now, local);
        self.match_all(now, local);
        // What waited is of the new epoch.
        self.execute_parked(now, local);
    }

    /// Follows the map: joiners may have come or gone.
    pub(crate) fn map_changed(&mut self, now: Now, local: &mut Local) {
        self.keep_links(now, local);
    }

    /// Drops the role. What waited for a commit may or may not take effect; the rest was not done.
    pub(crate) fn step_down(mut self, local: &mut Local, why: &str) {
        local.role_changed(format!(
            "no longer primary of epoch {}: {why}",
            self.view.epoch
        ));
        let not_primary = local.not_primary();
        self.waiting.abandon(local, &not_primary);
        for (client, _) in self.parked.drain(..) {
            waiting::reply(local, client, Err(not_primary.clone()));
        }
        let followers = Vec::new();
        local.emit(Effect::KeepLinks { followers });
    }

    /// This node made no turn for `gap`.
    pub(crate) fn stood_still(&mut self, now: Now, gap: Duration) {
        if gap >= self.timing.heartbeat_interval() * STOOD_STILL_BEATS {
            for follower in self.followers.values_mut() {
                follower.excuse(now.monotonic, gap);
            }
        }
    }

    pub(crate) fn held_role(&self) -> HeldRole {
        let epoch = self.view.epoch;
        match self.phase {
            Phase::TakingOver { .. } => HeldRole::TakingOver { epoch },
            Phase::Serving | Phase::HandingOver { .. } => HeldRole::Primary { epoch },
        }
    }

    pub(crate) fn is_serving(&self) -> bool {
        !matches!(self.phase, Phase::TakingOver { .. })
    }

    /// The followers that were heard lately.
    pub(crate) fn hears(&self, now: Monotonic) -> Vec<NodeId> {
        let patience = self.timing.remove_silent();
        self.followers
            .iter()
            .filter(|(_, follower)| {
                follower.link.is_some() && now.since(follower.heard_at) < patience
            })
            .map(|(node, _)| *node)
            .collect()
    }

    /// How far each follower is.
    pub(crate) fn progress(&self, now: Monotonic) -> Vec<FollowerProgress> {
        let progress = |(node, follower): (&NodeId, &Follower)| FollowerProgress {
            node: *node,
            held: follower.held(),
            silent_ms: u64::try_from(now.since(follower.heard_at).as_millis()).unwrap_or(u64::MAX),
        };
        self.followers.iter().map(progress).collect()
    }

    pub(crate) fn poll_timeout(&self, now: Monotonic) -> Monotonic {
        match self.phase {
            // Once the wait is over, it is the tail that the takeover waits for.
            Phase::TakingOver { serve_from, .. } if serve_from > now => {
                self.next_beat.min(serve_from)
            }
            Phase::TakingOver { .. } | Phase::Serving => self.next_beat,
            Phase::HandingOver { give_up_at, .. } => self.next_beat.min(give_up_at),
        }
    }

    /// The members beside this node, as commits and the lease count them.
    fn counted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.view
            .backups
            .iter()
            .chain(&self.counted_joiners)
            .copied()
    }

    /// Keeps a link and a record for each backup, each joiner and each proposed joiner.
    fn keep_links(&mut self, now: Now, local: &mut Local) {
        let mut wanted: BTreeSet<NodeId> = local.joiners().into_iter().collect();
        wanted.extend(self.counted());
        let before: BTreeSet<NodeId> = self.followers.keys().copied().collect();
        self.followers.retain(|node, _| wanted.contains(node));
        for node in &wanted {
            self.followers
                .entry(*node)
                .or_insert_with(|| Follower::new(now.monotonic));
        }
        if wanted != before || before.is_empty() {
            let followers = wanted.into_iter().collect();
            local.emit(Effect::KeepLinks { followers });
        }
    }
}

fn describe(local: &Local, view: &View) -> String {
    let names: Vec<String> = view
        .backups
        .iter()
        .map(|node| local.name_of(*node))
        .collect();
    let backups = if names.is_empty() {
        "no backup".to_owned()
    } else {
        format!("backups {}", names.join(", "))
    };
    format!("epoch {}: {backups}", view.epoch)
}
