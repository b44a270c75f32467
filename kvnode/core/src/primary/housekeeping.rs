//! What a primary does by the clock: beats, expiry, idle sessions.

use std::time::Duration;

use kv_common::entry::EntryBody;
use kv_common::id::{NodeId, SessionId};
use kv_common::message::replication::PrimaryToFollower;
use kv_common::time::{Monotonic, Now};

use super::follower::Exchange;
use super::{Next, Phase, Primary};
use crate::effect::Effect;
use crate::local::Local;
use crate::state::{expire_due, expired};

/// How often idle sessions are looked for.
pub(super) const SESSION_SWEEP: Duration = Duration::from_secs(60);
/// How long a session may be idle.
const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);
/// How many keys are expired in one beat at most.
const EXPIRED_PER_BEAT: usize = 1000;

impl Primary {
    pub(crate) fn handle_timeout(&mut self, now: Now, local: &mut Local) -> Next {
        self.handover_timed_out(now, local);
        if self.next_beat <= now.monotonic {
            self.next_beat = now.monotonic.after(self.timing.heartbeat_interval());
            self.beat_all(now, local);
            self.review_membership(now, local);
            self.expire(now, local);
            self.end_idle_sessions(now, local);
            local.state.free_cleared();
        }
        self.advance(now, local)
    }

    /// Speaks to every follower; what was lost on the way is asked for again.
    fn beat_all(&mut self, now: Now, local: &mut Local) {
        let stamp = self.stamp(now, local);
        let patience = self.timing.down();
        let mut unanswered: Vec<NodeId> = Vec::new();
        for (node, follower) in &self.followers {
            let Some(link) = follower.link else {
                continue;
            };
            match follower.exchange {
                Exchange::Matching { asked_at } if now.monotonic.since(asked_at) >= patience => {
                    unanswered.push(*node);
                }
                Exchange::Matching { .. } | Exchange::Down { .. } => {}
                Exchange::Streaming { .. } | Exchange::NeedsCopy | Exchange::Failed => {
                    let message = PrimaryToFollower::Beat { stamp };
                    local.emit(Effect::SendFollower { link, message });
                }
            }
        }
        for node in unanswered {
            self.send_match(now, local, node);
        }
    }

    fn expire(&mut self, now: Now, local: &mut Local) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let changes = expire_due(&local.state, &self.overlay, now.unix, EXPIRED_PER_BEAT);
        if changes.is_empty() {
            return;
        }
        let mut events = Vec::new();
        if local.tells_key_events {
            expired(&changes, &mut events);
        }
        let seq = self.append_changes(local, None, changes).seq;
        self.waiting.add_events(seq, events);
    }

    fn end_idle_sessions(&mut self, now: Now, local: &mut Local) {
        if self.next_session_sweep > now.monotonic || !matches!(self.phase, Phase::Serving) {
            return;
        }
        self.next_session_sweep = now.monotonic.after(SESSION_SWEEP);
        let open: Vec<SessionId> = local.state.sessions().ids().collect();
        self.sessions_used
            .retain(|session, _| local.state.sessions().contains(*session));
        let idle: Vec<SessionId> = open
            .into_iter()
            .filter(|session| self.is_idle(now.monotonic, *session))
            .collect();
        if !idle.is_empty() {
            self.append(local, EntryBody::EndSessions(idle));
        }
    }

    /// A session that this primary has not seen in use counts as used now.
    fn is_idle(&mut self, now: Monotonic, session: SessionId) -> bool {
        let used_at = *self.sessions_used.entry(session).or_insert(now);
        now.since(used_at) >= SESSION_IDLE
    }
}
