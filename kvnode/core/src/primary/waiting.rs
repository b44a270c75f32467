//! Answers that wait for a commit.

use std::collections::{BTreeMap, VecDeque};

use kv_common::command::Reply;
use kv_common::id::{RequestId, Seq};
use kv_common::key_event::KeyEvent;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;

use crate::effect::Effect;
use crate::input::ClientToken;
use crate::local::Local;

/// Answers that wait for a commit.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Successes of writes, by seq: they go when the entry is applied and assured.
    writes: VecDeque<(Seq, ClientToken, Reply)>,
    /// Answers that show what an entry wrote: they go when it is committed.
    reads: BTreeMap<(Seq, u64), (ClientToken, Reply)>,
    reads_seen: u64,
    /// What happened to keys, by seq: it is told when the entry is applied.
    events: VecDeque<(Seq, Vec<KeyEvent>)>,
    /// Client requests whose entry is not applied yet.
    pending: BTreeMap<RequestId, Seq>,
}

impl Waiting {
    /// The success of the entry at `seq` is to be answered to `client`.
    pub(super) fn add_write(&mut self, seq: Seq, client: ClientToken, reply: Reply) {
        // Almost always behind the last; in between only for a retry of what waits already.
        let place = match self.writes.back() {
            Some((last, ..)) if *last > seq => {
                self.writes.partition_point(|(other, ..)| *other <= seq)
            }
            _ => self.writes.len(),
        };
        self.writes.insert(place, (seq, client, reply));
    }

    /// `reply` shows what the entry at `seq` wrote.
    pub(super) fn add_read(&mut self, seq: Seq, client: ClientToken, reply: Reply) {
        self.reads_seen += 1;
        self.reads.insert((seq, self.reads_seen), (client, reply));
    }

    /// The entry at `seq`, the newest, did this to keys.
    pub(super) fn add_events(&mut self, seq: Seq, events: Vec<KeyEvent>) {
        if !events.is_empty() {
            self.events.push_back((seq, events));
        }
    }

    /// The entry at `seq` is the one of this request.
    pub(super) fn add_pending(&mut self, request: RequestId, seq: Seq) {
        self.pending.insert(request, seq);
    }

    /// The entry of this request is applied; from now on its record answers.
    pub(super) fn applied(&mut self, request: RequestId) {
        self.pending.remove(&request);
    }

    /// A retry of a request whose entry is not applied yet waits for that entry as well.
    ///
    /// Returns false when there is no such entry.
    pub(super) fn join(&mut self, request: RequestId, client: ClientToken) -> bool {
        let Some(seq) = self.pending.get(&request).copied() else {
            return false;
        };
        let index = self.writes.partition_point(|(other, ..)| *other < seq);
        let reply = match self.writes.get(index) {
            Some((at, _, reply)) if *at == seq => reply.clone(),
            // Every pending entry has the client that asked for it waiting.
            _ => return false,
        };
        self.add_write(seq, client, reply);
        true
    }

    /// Lets go what may go.
    pub(super) fn release(&mut self, local: &mut Local, lease_until: Option<Monotonic>) {
        while let Some((seq, _)) = self.events.front()
            && *seq <= local.log.applied()
        {
            if let Some((_, events)) = self.events.pop_front() {
                local.emit(Effect::KeyEvents(events));
            }
        }
        let committed = local.log.committed();
        while let Some(entry) = self.reads.first_entry()
            && entry.key().0 <= committed
        {
            let (client, reply) = entry.remove();
            let result = Ok(reply);
            local.emit(Effect::Reply {
                client,
                result,
                lease_until,
            });
        }
        let assured = local.log.assured().min(local.log.applied());
        while let Some((seq, ..)) = self.writes.front()
            && *seq <= assured
        {
            if let Some((_, client, result)) = self.writes.pop_front() {
                reply(local, client, Ok(result));
            }
        }
    }

    /// The role is lost: what was written may or may not take effect; a read was not answered.
    pub(super) fn abandon(&mut self, local: &mut Local, read_refusal: &Refusal) {
        for (_, client, _) in self.writes.drain(..) {
            reply(local, client, Err(Refusal::OutcomeUnknown));
        }
        for (client, _) in std::mem::take(&mut self.reads).into_values() {
            reply(local, client, Err(read_refusal.clone()));
        }
        self.events.clear();
        self.pending.clear();
    }
}

/// Answers a client; nothing that needs the lease.
pub(super) fn reply(local: &mut Local, client: ClientToken, result: Result<Reply, Refusal>) {
    local.emit(Effect::Reply {
        client,
        result,
        lease_until: None,
    });
}
