//! The serving thread: one runtime, one thread, no locks.
//!
//! Everything that happens is part of a *turn*: inputs go into the core, from every connection that has
//! some at the moment, then its effects are carried out, then every socket that got something is written
//! once.
//!
//! | file | what it does |
//! |---|---|
//! | `turn` | when a turn ends |
//! | `shard` | inputs in, effects out |
//! | `event_inputs` | what other threads tell, as inputs |
//! | `listener` | takes connections, and finds who serves the caller |
//! | `connection_limits` | how many connections are taken |
//! | `client_connection`, `client_output`, `client_requests` | clients |
//! | `read_ahead` | requests that came together |
//! | `redis_connection`, `redis_client`, `redis_requests`, `redis_actions`, `redis_failover`, `redis_host` | Redis clients |
//! | `dumps`, `digests` | what clients ask for that takes its time |
//! | `disk_watch` | a disk that failed, until it works again |
//! | `follower_link`, `follower_output`, `follower_links` | connections that a primary opens |
//! | `primary_links` | connections that a primary opened to us |
//! | `peer_input` | what came from another node |
//! | `copy_serve`, `fetches` | full copies, given and taken |
//! | `outbox`, `piece`, `slab` | bytes that wait for a socket, large batches, keys that are used once |
//! | `latencies` | how long batches take to become durable, and to be committed |
//! | `report`, `status_line` | the newest report for the heartbeats; the same for an operator |
//! | `leaving` | what a primary does before it stops |

mod client_connection;
mod client_output;
mod client_requests;
mod connection_limits;
mod copy_serve;
mod digests;
mod disk_watch;
mod dumps;
mod event_inputs;
mod fetches;
mod follower_link;
mod follower_links;
mod follower_output;
mod latencies;
mod leaving;
mod listener;
mod outbox;
mod peer_input;
mod piece;
mod primary_links;
mod read_ahead;
mod redis_actions;
mod redis_client;
mod redis_connection;
mod redis_failover;
mod redis_host;
mod redis_requests;
mod report;
mod shard;
mod slab;
mod status_line;
mod turn;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use kv_common::message::hello::{Caller, Hello, PROTOCOL_VERSION};
use kv_common::time::Monotonic;
use kv_common::view::PrimarySeat;
use kv_daemon::signals::Asked;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::events::{Event, Events};
use crate::metrics::Counters;
use crate::pulse::Pulse;
use crate::service::Service;
use kv_daemon::clock;

pub(crate) use self::connection_limits::ConnectionLimits;
use self::shard::Shard;
pub(crate) use self::shard::{RedisSetup, Remains, Setup};
use self::turn::OpenTurn;

/// Events that one turn takes.
const EVENTS_PER_TURN: usize = 1024;

/// Where a node listens.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// For clients and other nodes.
    pub(crate) main: TcpListener,
    /// For Redis clients, if it takes any.
    pub(crate) redis: Option<TcpListener>,
}

/// Why the serving thread ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// The coordinator will never take this node.
    Hopeless {
        /// Why.
        why: String,
    },
    /// The disk failed and works again: what this run knows of it is to be read anew.
    DiskWorksAgain,
}

/// What all tasks of the serving thread share.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Borrowed for the length of a turn, never across an await.
    shard: RefCell<Shard>,
    seat: PrimarySeat,
    pulse: Arc<Pulse>,
    counters: Arc<Counters>,
    turn: OpenTurn,
    /// Until when the main task sleeps.
    sleeps_until: Cell<Monotonic>,
    /// It is to wake up earlier than that.
    wakes_earlier: Notify,
    disk_works_again: Cell<bool>,
    connections: Cell<u64>,
    connection_limits: ConnectionLimits,
    /// What Redis clients sent of large requests and transactions that are not whole yet.
    partial_bytes: Cell<u64>,
}

impl Serving {
    pub(crate) fn new(setup: Setup) -> Rc<Self> {
        Rc::new_cyclic(|serving: &Weak<Self>| Self {
            seat: setup.identity.seat,
            pulse: Arc::clone(&setup.pulse),
            counters: Arc::clone(&setup.counters),
            turn: OpenTurn::default(),
            sleeps_until: Cell::new(Monotonic::ZERO),
            wakes_earlier: Notify::new(),
            disk_works_again: Cell::new(false),
            connections: Cell::new(0),
            connection_limits: setup.connection_limits,
            shard: RefCell::new(Shard::new(setup, serving.clone())),
            partial_bytes: Cell::new(0),
        })
    }

    /// Serves until it is asked to stop. Its tasks live on the local runtime that this runs on.
    pub(crate) async fn run(
        self: &Rc<Self>,
        listeners: Listeners,
        events: &mut Events,
        service: &mut Service,
    ) -> Ended {
        tokio::task::spawn_local(listener::listen(Rc::clone(self), listeners.main));
        if let Some(redis) = listeners.redis {
            tokio::task::spawn_local(redis_connection::listen(Rc::clone(self), redis));
        }
        tokio::task::spawn_local(turn::end_turns(Rc::clone(self)));
        let mut taken = Vec::new();
        self.turn(|_, _| {});
        loop {
            let wake_at = self
                .shard
                .borrow()
                .next_wake()
                .min(service.manager.next_due());
            self.sleeps_until.set(wake_at);
            tokio::select! {
                asked = service.asked() => {
                    if self.is_over(asked, service).await {
                        return Ended::Stopped;
                    }
                }
                _ = events.recv_many(&mut taken, EVENTS_PER_TURN) => self.take_events(&mut taken),
                () = sleep(wake_at.since(clock::monotonic())) => self.turn(Shard::time_came),
                () = self.wakes_earlier.notified() => {}
            }
            if let Some(why) = self.shard.borrow_mut().take_hopeless() {
                return Ended::Hopeless { why };
            }
            if self.takes_stop_of_client() && self.is_over(Asked::Stop, service).await {
                return Ended::Stopped;
            }
            if self.disk_works_again.get() {
                return Ended::DiskWorksAgain;
            }
            let now = clock::now();
            let shard = self.shard.borrow();
            if shard.has_left(now.monotonic) {
                return Ended::Stopped;
            }
            service
                .manager
                .turn(now.monotonic, || shard.status_line(now));
        }
    }

    /// Whether a Redis client asked for a stop since the last time.
    fn takes_stop_of_client(&self) -> bool {
        std::mem::take(&mut self.shard.borrow_mut().redis.wants_stop)
    }

    /// Carries out what was asked for; says whether nothing is left to be served.
    async fn is_over(&self, asked: Asked, service: &mut Service) -> bool {
        match asked {
            Asked::Stop => !self.turn(Shard::begin_to_leave),
            Asked::Reload => {
                if let Some(reloaded) = service.reload().await {
                    self.turn(|shard, now| {
                        shard.change_dump_interval(now, reloaded.dump_interval);
                        shard.redis.server.password = reloaded.redis_password;
                    });
                }
                false
            }
        }
    }

    fn disk_works_again(&self) {
        self.disk_works_again.set(true);
        self.wakes_earlier.notify_one();
    }

    fn take_events(&self, taken: &mut Vec<Event>) {
        self.turn(|shard, now| {
            for event in taken.drain(..) {
                shard.take_event(now, event);
            }
        });
    }

    /// What is left when everything is closed.
    pub(crate) fn into_remains(self) -> Remains {
        self.shard.into_inner().into_remains()
    }

    /// How this node introduces itself when it calls another as `caller`.
    fn hello(&self, caller: Caller) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: self.pulse.cluster(),
            caller,
            credentials: None,
        }
    }
}
