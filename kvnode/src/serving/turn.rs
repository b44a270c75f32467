//! When a turn ends: once every task that has something to say has said it.
//!
//! One wake-up of the serving thread often finds many sockets readable. If each of them ended a turn of its
//! own, the first request would go to the disk alone, every other would wait for it, and each socket would be
//! written more often than it has to be. So inputs only open a turn, and a task that is woken then ends it:
//! the queue of ready tasks is served in order, so that all that were ready before come first.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use kv_common::time::{Monotonic, Now};
use kv_daemon::clock;
use tokio::sync::Notify;

use super::Serving;
use super::shard::Shard;

/// How long the first input of a turn may wait for others: about what one flush of a fast disk takes, so that
/// a crowd of busy connections costs nobody much more than that.
const OPEN_MAX: Duration = Duration::from_micros(200);

/// The turn that has inputs and is not over.
#[derive(Debug, Default)]
pub(super) struct OpenTurn {
    /// When its first input came.
    since: Cell<Option<Monotonic>>,
    has_begun: Notify,
}

/// Ends turns, for as long as the task lives.
pub(super) async fn end_turns(serving: Rc<Serving>) {
    loop {
        serving.turn.has_begun.notified().await;
        if serving.turn.since.get().is_some() {
            serving.end_turn(&mut serving.shard.borrow_mut());
        }
    }
}

impl Serving {
    /// Takes inputs. What follows from them is carried out when the turn ends, soon.
    pub(super) fn turn<R>(&self, take: impl FnOnce(&mut Shard, Now) -> R) -> R {
        let mut shard = self.shard.borrow_mut();
        let now = clock::now();
        let result = take(&mut shard, now);
        match self.turn.since.get() {
            None => {
                self.turn.since.set(Some(now.monotonic));
                self.turn.has_begun.notify_one();
            }
            Some(since) if now.monotonic.since(since) >= OPEN_MAX => {
                shard.hear_other_nodes(now);
                self.end_turn(&mut shard);
            }
            Some(_) => {}
        }
        result
    }

    fn end_turn(&self, shard: &mut Shard) {
        self.turn.since.set(None);
        shard
            .counters
            .connections_are(self.connections.get(), shard.redis.count() as u64);
        shard.end_turn(clock::now());
        if shard.wants_main_task(self.sleeps_until.get()) {
            self.wakes_earlier.notify_one();
        }
    }
}
