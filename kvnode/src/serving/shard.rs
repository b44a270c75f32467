//! Turns: inputs go in, effects are carried out, sockets are written. No decision is taken here.

use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use kv_common::command::Reply;
use kv_common::id::{Address, ClusterId, Seq};
use kv_common::message::control::{
    DiskFailure, DiskTrouble, HeldRole, NodeReport, NodeToCoordinator,
};
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now};
use kv_common::view::ClusterMap;
use kv_resp::Password;
use kvnode_core::effect::Effect;
use kvnode_core::input::{ClientToken, Identity, Input, LinkId};
use kvnode_core::replica::Replica;
use kvnode_redis::DebugAccess;
use kvnode_storage::{
    CheckpointHandle, DataDir, LogHandle, LogReadRequest, MetaThread, QueueError, StorageOptions,
};
use tokio::sync::{mpsc, watch};

use crate::cli::DumpInterval;
use crate::copy_fetch::CopyFetch;
use crate::data_threads::DataThreads;
use crate::events::Mailbox;
use crate::metrics::{Counters, Operation};
use crate::pulse::Pulse;
use kv_daemon::clock;

use super::Serving;
use super::client_output::{ClientOutput, Exchange};
use super::connection_limits::ConnectionLimits;
use super::copy_serve::ServedCopies;
use super::digests::DigestWaits;
use super::disk_watch;
use super::dumps::Dumps;
use super::fetches::Fetches;
use super::follower_links::FollowerLinks;
use super::latencies::Latencies;
use super::leaving::Leaving;
use super::primary_links::PrimaryLinks;
use super::redis_requests::RedisClients;
use super::report::Publisher;
use super::slab::Slab;
use super::status_line::status_line;

/// What the Redis door starts from.
#[derive(Debug)]
pub(crate) struct RedisSetup {
    /// Its port; 0: there is none.
    pub(crate) port: u16,
    /// What clients have to say before anything else.
    pub(crate) password: Option<Password>,
    /// Who may use DEBUG.
    pub(crate) debug_access: DebugAccess,
    /// Whom to ask for another primary.
    pub(crate) coordinators: Vec<Address>,
}

/// What the serving thread starts from.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) replica: Replica,
    pub(crate) redis: RedisSetup,
    pub(crate) connection_limits: ConnectionLimits,
    pub(crate) identity: Identity,
    /// Whether the data must not be written out as `db.txt`: it is not what the node stands for.
    pub(crate) unfit: bool,
    pub(crate) dir: Arc<DataDir>,
    pub(crate) storage_options: StorageOptions,
    pub(crate) data: DataThreads,
    pub(crate) meta: MetaThread,
    pub(crate) db_txt: PathBuf,
    pub(crate) dump_interval: DumpInterval,
    pub(crate) outgoing: mpsc::Sender<NodeToCoordinator>,
    pub(crate) reports: watch::Sender<NodeReport>,
    pub(crate) maps: watch::Sender<Option<ClusterMap>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) mailbox: Mailbox,
}

/// What is left when the serving thread has ended.
#[derive(Debug)]
pub(crate) struct Remains {
    /// None: a copy was about to replace them.
    pub(crate) data: Option<DataThreads>,
    pub(crate) meta: MetaThread,
    /// A copy that is to be given up.
    pub(crate) fetch: Option<CopyFetch>,
    /// Whether the data is what `db.txt` is to hold.
    pub(crate) may_dump: bool,
    /// Whether everything that was taken is, or will be, on the disk.
    pub(crate) disk_works: bool,
    /// Whether the log must have all that was ever acknowledged.
    pub(crate) tail_certain: bool,
}

/// The storage threads, as the serving thread sees them.
#[derive(Debug)]
pub(super) struct Storage {
    /// None: handed over to a copy that is about to replace them.
    pub(super) data: Option<DataThreads>,
    pub(super) log: LogHandle,
    pub(super) checkpoint: CheckpointHandle,
    pub(super) meta: MetaThread,
    pub(super) unfit: bool,
}

impl Storage {
    /// Goes on with other data.
    pub(super) fn replace_data(&mut self, data: DataThreads, unfit: bool) {
        self.log = data.log();
        self.checkpoint = data.checkpoint();
        self.data = Some(data);
        self.unfit = unfit;
    }
}

/// A request that the core was asked about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) exchange: Exchange,
    /// None: it is not measured.
    pub(super) operation: Option<Operation>,
    pub(super) at: Monotonic,
}

/// The core and everything that is touched in a turn.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) replica: Replica,
    pub(super) identity: Identity,
    dir: Arc<DataDir>,
    pub(super) exchanges: Slab<Asked>,
    pub(super) counters: Arc<Counters>,
    pub(super) latencies: Latencies,
    pub(super) touched_clients: Vec<Rc<ClientOutput>>,
    pub(super) redis: RedisClients,
    /// The port of the Redis door; 0: there is none.
    pub(super) redis_port: u16,
    pub(super) coordinators: Vec<Address>,
    pub(super) started_at: Monotonic,
    pub(super) followers: FollowerLinks,
    pub(super) primaries: PrimaryLinks,
    pub(super) storage: Storage,
    pub(super) dumps: Dumps,
    /// Whether `db.txt` is written at the stop.
    pub(super) dumps_at_stop: bool,
    pub(super) digests: DigestWaits,
    pub(super) served_copies: ServedCopies,
    pub(super) fetches: Fetches,
    pub(super) publisher: Publisher,
    pub(super) pulse: Arc<Pulse>,
    pub(super) hopeless: Option<String>,
    /// The cluster that the meta records name.
    pub(super) stored_cluster: Option<ClusterId>,
    pub(super) disk_works: bool,
    pub(super) leaving: Leaving,
    pub(super) serving: Weak<Serving>,
    outgoing: mpsc::Sender<NodeToCoordinator>,
    effects: Vec<Effect>,
    applied: Seq,
    /// The role at the end of the last turn.
    role: HeldRole,
    last_link: u64,
}

impl Shard {
    pub(super) fn new(setup: Setup, serving: Weak<Serving>) -> Self {
        let now = clock::now();
        let applied = setup.replica.applied().seq;
        Self {
            identity: setup.identity,
            dir: Arc::clone(&setup.dir),
            exchanges: Slab::new(),
            latencies: Latencies::new(Arc::clone(&setup.counters)),
            counters: setup.counters,
            touched_clients: Vec::new(),
            redis: RedisClients::new(setup.redis.password, setup.redis.debug_access),
            redis_port: setup.redis.port,
            coordinators: setup.redis.coordinators,
            started_at: now.monotonic,
            role: setup.replica.role(),
            followers: FollowerLinks::default(),
            primaries: PrimaryLinks::default(),
            dumps_at_stop: true,
            dumps: Dumps::new(setup.db_txt, setup.dump_interval, now, applied),
            digests: DigestWaits::default(),
            served_copies: ServedCopies::default(),
            fetches: Fetches::new(setup.dir, setup.storage_options, setup.mailbox),
            publisher: Publisher::new(
                setup.reports,
                setup.maps,
                Arc::clone(&setup.pulse),
                now.monotonic,
            ),
            stored_cluster: setup.pulse.cluster(),
            pulse: setup.pulse,
            hopeless: None,
            disk_works: true,
            leaving: Leaving::No,
            serving,
            outgoing: setup.outgoing,
            effects: Vec::new(),
            applied,
            last_link: 0,
            storage: Storage {
                log: setup.data.log(),
                checkpoint: setup.data.checkpoint(),
                data: Some(setup.data),
                meta: setup.meta,
                unfit: setup.unfit,
            },
            replica: setup.replica,
        }
    }

    pub(super) fn into_remains(self) -> Remains {
        let copying = matches!(self.replica.role(), HeldRole::Copying { .. });
        Remains {
            data: self.storage.data,
            meta: self.storage.meta,
            fetch: self.fetches.into_current(),
            may_dump: !copying && !self.storage.unfit && self.dumps_at_stop,
            disk_works: self.disk_works,
            tail_certain: self.replica.tail_is_certain(),
        }
    }

    /// A name for a connection that was not used before in this run.
    pub(super) fn new_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }

    /// How the node is, in a line for the operator.
    pub(super) fn status_line(&self, now: Now) -> String {
        let view = self.replica.promises().view.as_ref();
        let members = view.map_or(0, |view| view.members().count());
        let report = self.publisher.report(now, &self.replica, &self.storage.log);
        status_line(&report, members, self.replica.hears_coordinator())
    }

    pub(super) fn take_hopeless(&mut self) -> Option<String> {
        self.hopeless.take()
    }

    /// When the core wants a turn; far away if it does not.
    pub(super) fn core_timeout(&self) -> Monotonic {
        self.replica.poll_timeout().unwrap_or(Monotonic(u64::MAX))
    }

    /// Whether the main task is to look at this shard before the time until which it sleeps.
    pub(super) fn wants_main_task(&self, sleeps_until: Monotonic) -> bool {
        self.next_wake() < sleeps_until
            || self.hopeless.is_some()
            || self.leaving != Leaving::No
            || self.redis.wants_stop
    }

    /// When a turn is due even if nothing happens.
    pub(super) fn next_wake(&self) -> Monotonic {
        self.core_timeout()
            .min(self.publisher.next_due())
            .min(self.dumps.next_due())
            .min(self.digests.next_due())
    }

    pub(super) fn time_came(&mut self, now: Now) {
        if self.core_timeout() <= now.monotonic {
            self.replica.handle_timeout(now);
        }
        self.digests_time_came(now);
        self.dump_if_due(now);
    }

    /// Takes what other nodes said, before more of what clients want: who is not heard is taken for dead.
    pub(super) fn hear_other_nodes(&mut self, now: Now) {
        self.followers.hear(&mut self.replica, now);
        self.primaries.hear(&mut self.replica, now);
    }

    /// Carries out what follows from the turn's inputs, and writes every socket that got something.
    pub(super) fn end_turn(&mut self, now: Now) {
        loop {
            while let Some(effect) = self.replica.poll_effect() {
                self.effects.push(effect);
            }
            if self.effects.is_empty() {
                break;
            }
            // Everything that these effects answer was evaluated before this reading.
            let evaluated_by = clock::monotonic();
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.carry_out(now, evaluated_by, effect);
            }
            self.effects = effects;
        }
        let applied = self.replica.applied().seq;
        if applied != self.applied {
            self.applied = applied;
            self.storage.checkpoint.applied(applied);
            self.digests_applied();
        }
        let role = self.replica.role();
        let role_changed = role != self.role;
        let committed = self.replica.positions().committed;
        self.latencies.committed(now.monotonic, committed);
        if role_changed {
            self.counters.role_changed();
            self.latencies.forget();
        }
        if role_changed
            && matches!(self.role, HeldRole::Primary { .. })
            && !self.replica.serves_copies()
        {
            self.redis.close_for_role_change();
        }
        self.role = role;
        self.counters
            .messages_refused_are(self.replica.refused_messages());
        for output in self.touched_clients.drain(..) {
            output.flush();
        }
        self.redis.flush();
        self.followers.flush();
        self.primaries.flush();
        self.pulse.turn(now.monotonic);
        self.publisher
            .publish(now, &self.replica, &self.storage.log, role_changed);
    }

    fn carry_out(&mut self, now: Now, evaluated_by: Monotonic, effect: Effect) {
        match effect {
            Effect::Append(batch) => {
                let as_primary = self.replica.serves_copies();
                self.latencies
                    .appended(now.monotonic, batch.last(), as_primary);
                let taken = self.storage.log.append(batch);
                self.check_taken(now, taken);
            }
            Effect::CutLog { after, ticket } => {
                let taken = self.storage.log.cut_after(after, ticket);
                self.check_taken(now, taken);
            }
            Effect::ReadLog {
                node,
                link,
                from,
                max_bytes,
            } => {
                let taken = self.storage.log.read(LogReadRequest {
                    node,
                    link,
                    from,
                    max_bytes,
                });
                self.check_taken(now, taken);
            }
            Effect::StorePromises { promises, ticket } => {
                let taken = self.storage.meta.store_promises(promises, ticket);
                self.check_taken(now, taken);
            }
            Effect::Reply {
                client,
                result,
                lease_until,
            } => {
                let lost = lease_until.is_some_and(|until| evaluated_by >= until);
                let result = if lost {
                    self.counters.lease_lost();
                    Err(Refusal::LeaseLost)
                } else {
                    result
                };
                self.answer(evaluated_by, client, result);
            }
            Effect::SendFollower { link, message } => self.followers.send(link, message),
            Effect::SendPrimary { link, message } => self.primaries.send(link, &message),
            Effect::KeepLinks { followers } => self.followers.keep(&followers, &self.serving),
            Effect::ResetLink { link } => self.followers.reset(link),
            Effect::SendCoordinator(message) => {
                // While the coordinator is away nobody takes them; it asks again when it is back.
                if self.outgoing.try_send(message).is_err() {
                    tracing::debug!("a message to the coordinator was dropped");
                }
            }
            Effect::StartCopy { from, epoch } => self.start_copy(now, from, epoch),
            Effect::KeyEvents(events) => self.redis.tell(&events),
            Effect::RoleChanged { role } => tracing::info!("{role}"),
        }
    }

    fn answer(&mut self, now: Monotonic, client: ClientToken, result: Result<Reply, Refusal>) {
        let Some(asked) = self.exchanges.remove(client.0) else {
            tracing::error!("the core answered the same request twice");
            return;
        };
        match (&result, asked.operation) {
            (Ok(_), Some(operation)) => self.counters.answered(operation, now.since(asked.at)),
            (Err(refusal), _) => self.counters.refused(refusal),
            (Ok(_), None) => {}
        }
        match asked.exchange {
            Exchange::Command { output, id } => self.reply_to_command(&output, id, result),
            Exchange::Export { output, id } => self.export_allowed(output, id, result),
            Exchange::Redis(exchange) => self.reply_to_redis(now, exchange, result),
        }
    }

    pub(super) fn check_taken(&mut self, now: Now, taken: Result<(), QueueError>) {
        if let Err(error) = taken {
            let failure = DiskFailure {
                trouble: DiskTrouble::Failing,
                cause: error.to_string(),
            };
            self.disk_failed(now, failure);
        }
    }

    pub(super) fn disk_failed(&mut self, now: Now, failure: DiskFailure) {
        if self.disk_works {
            self.disk_works = false;
            tracing::error!(
                "the disk is {}; this node keeps and acknowledges nothing until it works again",
                failure.trouble
            );
            disk_watch::spawn(&self.serving, &self.dir, failure.trouble);
        }
        self.replica.handle(now, Input::DiskFailed(failure));
    }
}
