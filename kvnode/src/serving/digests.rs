//! Digests that clients ask for: answered as soon as this node has applied the marked position.

use std::rc::Rc;
use std::time::Duration;

use kv_common::id::Position;
use kv_common::message::client::{MarkDigest, NodeToClient};
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now};

use super::client_output::ClientOutput;
use super::shard::Shard;

/// How long a client waits at most.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Clients that wait for a position to be applied.
#[derive(Debug, Default)]
pub(super) struct DigestWaits {
    waits: Vec<Wait>,
}

#[derive(Debug)]
struct Wait {
    output: Rc<ClientOutput>,
    id: u64,
    at: Position,
    until: Monotonic,
}

impl DigestWaits {
    pub(super) fn next_due(&self) -> Monotonic {
        let first = self.waits.iter().map(|wait| wait.until).min();
        first.unwrap_or(Monotonic(u64::MAX))
    }
}

impl Shard {
    pub(super) fn ask_digest(
        &mut self,
        now: Now,
        output: &Rc<ClientOutput>,
        id: u64,
        at: Position,
    ) {
        output.begins();
        self.digests.waits.push(Wait {
            output: Rc::clone(output),
            id,
            at,
            until: now.monotonic.after(WAIT_MAX),
        });
        self.digests_applied();
    }

    /// Answers who waited for a position that is applied now.
    pub(super) fn digests_applied(&mut self) {
        let applied = self.replica.applied().seq;
        self.answer_digests(|wait| wait.at.seq <= applied);
    }

    /// Answers who waited for too long.
    pub(super) fn digests_time_came(&mut self, now: Now) {
        self.answer_digests(|wait| wait.until <= now.monotonic);
    }

    fn answer_digests(&mut self, is_over: impl Fn(&Wait) -> bool) {
        if self.digests.waits.is_empty() {
            return;
        }
        let over: Vec<Wait> = self
            .digests
            .waits
            .extract_if(.., |wait| is_over(wait))
            .collect();
        for Wait { output, id, at, .. } in over {
            let result = self.digest_at(at);
            output.ends();
            self.send_client(&output, NodeToClient::Digest { id, result });
        }
    }

    fn digest_at(&self, at: Position) -> Result<MarkDigest, Refusal> {
        self.replica.state().mark_digest(at).ok_or_else(|| {
            let applied = self.replica.applied();
            let what = if applied.seq < at.seq {
                format!("position {at} is not applied here yet, only {applied}")
            } else {
                format!("no mark at position {at} is remembered here")
            };
            Refusal::NotFound { what }
        })
    }
}
