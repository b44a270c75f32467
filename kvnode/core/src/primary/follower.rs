//! How far one follower is, as its primary knows it.

use std::collections::VecDeque;
use std::time::Duration;

use kv_common::id::Seq;
use kv_common::limits::BATCH_TARGET_BYTES;
use kv_common::time::Monotonic;
use kv_common::timing::transfer_allowance;

use crate::input::LinkId;

/// Bytes that may be on their way to a follower.
const WINDOW_BYTES: usize = 16 << 20;
/// Batches that may be on their way to a follower. Its log takes several times as many at once.
const WINDOW_BATCHES: usize = 2048;
/// However much is on its way, silence for so long is silence.
const BUSY_MAX: Duration = Duration::from_secs(4);

/// Where the exchange with a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    /// No connection since then; whether one broke in this epoch.
    Down { broke: bool },
    /// The histories are being compared.
    Matching { asked_at: Monotonic },
    /// Entries go out from `next` on.
    Streaming { next: Seq, reading: bool },
    /// It fetches a copy.
    NeedsCopy,
    /// Its disk fails.
    Failed,
}

/// How far one follower is.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) link: Option<LinkId>,
    pub(super) exchange: Exchange,
    /// Up to where it holds the log, by an answer in this epoch.
    held: Option<Seq>,
    /// Until when it has promised not to serve.
    lease_until: Monotonic,
    /// When it last answered, or when waiting for it began.
    pub(super) heard_at: Monotonic,
    /// When its acks last moved, or when there was nothing to acknowledge.
    pub(super) progressed_at: Monotonic,
    /// Until when large batches may keep it busy.
    busy_until: Monotonic,
    /// What is on its way: last seq and bytes of each batch.
    in_flight: VecDeque<(Seq, usize)>,
    in_flight_bytes: usize,
}

impl Follower {
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            link: None,
            exchange: Exchange::Down { broke: false },
            held: None,
            lease_until: Monotonic::ZERO,
            heard_at: now,
            progressed_at: now,
            busy_until: Monotonic::ZERO,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// A new epoch began: what it acknowledged in the last one counts no more.
    pub(super) fn forget_acks(&mut self, now: Monotonic) {
        self.held = None;
        self.progressed_at = now;
        self.forget_flight();
        if self.link.is_some() {
            self.exchange = Exchange::Matching { asked_at: now };
        }
    }

    pub(super) fn link_up(&mut self, link: LinkId) {
        self.link = Some(link);
        self.held = None;
        self.forget_flight();
    }

    pub(super) fn link_down(&mut self) {
        self.link = None;
        self.held = None;
        self.exchange = Exchange::Down { broke: true };
        self.forget_flight();
    }

    pub(super) fn held(&self) -> Option<Seq> {
        self.held
    }

    pub(super) fn lease_until(&self) -> Monotonic {
        self.lease_until
    }

    /// It answered a message that was sent at `sent_at`.
    pub(super) fn answered(&mut self, now: Monotonic, sent_at: Monotonic, lease: Duration) {
        self.heard_at = now;
        self.lease_until = self.lease_until.max(sent_at.min(now).after(lease));
    }

    /// Its log agrees with ours up to `common` and goes on from there.
    pub(super) fn matched(&mut self, now: Monotonic, common: Seq, held: Seq) {
        self.forget_flight();
        self.held = Some(held.min(common));
        self.progressed_at = now;
        self.exchange = Exchange::Streaming {
            next: common.next(),
            reading: false,
        };
    }

    /// It holds the log up to `held`.
    ///
    /// Returns false when that is more than it was sent.
    pub(super) fn acknowledged(&mut self, now: Monotonic, held: Seq) -> bool {
        let Exchange::Streaming { next, .. } = self.exchange else {
            return true;
        };
        if held >= next {
            return false;
        }
        if self.held < Some(held) || held.next() == next {
            self.progressed_at = now;
        }
        self.held = self.held.max(Some(held));
        while let Some((last, bytes)) = self.in_flight.front().copied()
            && last <= held
        {
            self.in_flight.pop_front();
            self.in_flight_bytes -= bytes;
        }
        true
    }

    /// The next entry to send, while there is room on the way to it.
    pub(super) fn wants(&self) -> Option<Seq> {
        match self.exchange {
            Exchange::Streaming { next, reading } => {
                let room =
                    self.in_flight_bytes < WINDOW_BYTES && self.in_flight.len() < WINDOW_BATCHES;
                (room && !reading).then_some(next)
            }
            Exchange::Down { .. }
            | Exchange::Matching { .. }
            | Exchange::NeedsCopy
            | Exchange::Failed => None,
        }
    }

    /// A batch up to `last` went out.
    pub(super) fn sent(&mut self, now: Monotonic, last: Seq, bytes: usize) {
        if !self.has_entries_waiting() {
            self.progressed_at = now;
        }
        if bytes > BATCH_TARGET_BYTES {
            let allowance = transfer_allowance(bytes);
            let busy_until = self.busy_until.max(now).after(allowance);
            self.busy_until = busy_until.min(now.after(BUSY_MAX));
        }
        self.in_flight.push_back((last, bytes));
        self.in_flight_bytes += bytes;
        self.exchange = Exchange::Streaming {
            next: last.next(),
            reading: false,
        };
    }

    /// Whether it has something that it has not acknowledged: what was sent, or what it had at the match and
    /// has not flushed.
    pub(super) fn has_entries_waiting(&self) -> bool {
        match self.exchange {
            Exchange::Streaming { next, .. } => self.held.unwrap_or(Seq::ZERO).next() < next,
            Exchange::Down { .. }
            | Exchange::Matching { .. }
            | Exchange::NeedsCopy
            | Exchange::Failed => false,
        }
    }

    /// When it last answered, or will have done what large batches give it to do: take, check,
    /// flush and apply them.
    pub(super) fn heard_or_busy(&self) -> Monotonic {
        self.heard_at.max(self.busy_until)
    }

    /// The same for its acks.
    pub(super) fn progressed_or_busy(&self) -> Monotonic {
        self.progressed_at.max(self.busy_until)
    }

    /// The primary itself stood still for `gap`: what the follower said meanwhile may not be read yet.
    pub(super) fn excuse(&mut self, now: Monotonic, gap: Duration) {
        self.heard_at = self.heard_at.after(gap).min(now);
        self.progressed_at = self.progressed_at.after(gap).min(now);
    }

    fn forget_flight(&mut self) {
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Follower;
    use crate::input::LinkId;
    use kv_common::id::Seq;
    use kv_common::time::Monotonic;
    use std::time::Duration;

    fn streaming(from: u64) -> Follower {
        let mut follower = Follower::new(Monotonic::ZERO);
        follower.link_up(LinkId(1));
        follower.matched(Monotonic::ZERO, Seq(from), Seq(from));
        follower
    }

    #[test]
    fn an_ack_beyond_what_was_sent_is_refused() {
        let mut follower = streaming(4);
        follower.sent(Monotonic::ZERO, Seq(6), 10);
        assert!(!follower.acknowledged(Monotonic::ZERO, Seq(7)));
        assert_eq!(follower.held(), Some(Seq(4)));
        assert!(follower.acknowledged(Monotonic::ZERO, Seq(6)));
        assert_eq!(follower.held(), Some(Seq(6)));
    }

    #[test]
    fn small_batches_fill_the_window_too() {
        let mut follower = streaming(0);
        let mut sent = 0;
        while follower.wants().is_some() {
            sent += 1;
            follower.sent(Monotonic::ZERO, Seq(sent), 1);
            assert!(sent < 1_000_000, "the window has no end");
        }
        assert!(follower.acknowledged(Monotonic::ZERO, Seq(1)));
        assert_eq!(follower.wants(), Some(Seq(sent + 1)));
    }

    #[test]
    fn a_new_epoch_forgets_acks_but_not_the_lease() {
        let mut follower = streaming(4);
        follower.answered(Monotonic(10), Monotonic(5), Duration::from_nanos(100));
        follower.forget_acks(Monotonic(20));
        assert_eq!(follower.held(), None);
        assert_eq!(follower.lease_until(), Monotonic(105));
        assert_eq!(follower.wants(), None, "it must be matched first");
    }

    #[test]
    fn a_large_batch_is_given_time() {
        let mut follower = streaming(0);
        follower.sent(Monotonic(10), Seq(1), 100);
        assert_eq!(follower.heard_or_busy(), Monotonic::ZERO);
        follower.sent(Monotonic(10), Seq(2), 64 << 20);
        let busy_until = follower.heard_or_busy();
        assert!(busy_until > Monotonic(10).after(Duration::from_secs(1)));
        for seq in 3..100 {
            follower.sent(Monotonic(10), Seq(seq), 64 << 20);
        }
        let at_most = Monotonic(10).after(Duration::from_secs(4));
        assert_eq!(follower.heard_or_busy(), at_most);
    }

    #[test]
    fn silence_while_the_primary_stood_still_does_not_count() {
        let mut follower = streaming(0);
        let lease = Duration::from_nanos(5);
        follower.answered(Monotonic(10), Monotonic(5), lease);
        follower.excuse(Monotonic(500), Duration::from_nanos(480));
        assert_eq!(follower.heard_at, Monotonic(490));
        assert_eq!(
            follower.lease_until(),
            Monotonic(10),
            "a lease is not longer for it"
        );
        follower.excuse(Monotonic(500), Duration::from_nanos(480));
        assert_eq!(follower.heard_at, Monotonic(500), "never from the future");
    }

    #[test]
    fn a_lease_never_runs_from_the_future() {
        let mut follower = streaming(0);
        let now = Monotonic(10);
        follower.answered(now, Monotonic(1_000_000), Duration::from_nanos(5));
        assert_eq!(follower.lease_until(), Monotonic(15));
    }
}
