//! What a primary does before it stops: it asks to be replaced, and serves until it is.

use kv_common::message::control::HeldRole;
use kv_common::time::{Monotonic, Now};

use super::shard::Shard;

/// Beats that the handover of the role may take, before the node stops as it is.
const HANDOVER_BEATS: u32 = 160;

/// How far a stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody asked for one.
    No,
    /// The role is to be handed over before this time.
    HandsOver { give_up_at: Monotonic },
}

impl Shard {
    /// The node is to stop. Says whether it has to go on for a while to hand its role over.
    pub(super) fn begin_to_leave(&mut self, now: Now) -> bool {
        let asked_twice = self.leaving != Leaving::No;
        if asked_twice || !self.replica.could_hand_over() {
            return false;
        }
        tracing::info!("handing over before the stop");
        let patience = self.pulse.heartbeat_interval() * HANDOVER_BEATS;
        self.leaving = Leaving::HandsOver {
            give_up_at: now.monotonic.after(patience),
        };
        self.publisher.say_leaving();
        true
    }

    /// Whether nothing is left to be waited for: another is primary and this node follows it, or that takes
    /// too long.
    pub(super) fn has_left(&self, now: Monotonic) -> bool {
        let Leaving::HandsOver { give_up_at } = self.leaving else {
            return false;
        };
        let follows = matches!(self.replica.role(), HeldRole::Follower { .. });
        if !follows && now >= give_up_at {
            tracing::warn!("nobody took over; stopping as primary");
        }
        follows || now >= give_up_at
    }
}
