//! What Redis clients say: commands go to the core, all else is answered here.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::key_event::KeyEvent;
use kv_common::message::control::HeldRole;
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now, UnixMs};
use kv_daemon::clock;
use kv_resp::{Password, Protocol, Value};
use kvnode_core::input::ClientToken;
use kvnode_core::state::{Overlay, execute};
use kvnode_redis::{
    ClientLine, DebugAccess, Heard, Host, Piece, Plan, ServerState, Shape, Task, Victims,
};

use crate::metrics::Operation;

use super::client_output::Exchange;
use super::redis_client::{RedisClient, RedisExchange, WaitingBytes};
use super::redis_host::RedisHost;
use super::shard::{Asked, Shard};

/// What a command whose answer cannot be foreseen weighs: no other goes with it.
const UNFORESEEN_WEIGHT: usize = 4096;

/// What all Redis clients together may leave waiting. Beyond it, who has the most is closed.
const WAITING_MAX_BYTES: usize = 1 << 30;

/// What a command weighs that goes through a long value: few go together, so that none keeps the node from its
/// heartbeats.
const LONG_WEIGHT: usize = 256;

/// Bytes of an answer that weigh as much as a request.
const WEIGHT_BYTES: usize = 16 << 10;

/// The Redis clients of a node.
#[derive(Debug, Default)]
pub(super) struct RedisClients {
    clients: BTreeMap<u64, Rc<RedisClient>>,
    touched: Vec<Rc<RedisClient>>,
    waiting_bytes: WaitingBytes,
    last_id: u64,
    /// Requests since the start.
    pub(super) requests: u64,
    /// The last reading of the clock within a turn.
    read_clock_at: Monotonic,
    /// The coordinator was asked to make another node primary.
    pub(super) fails_over: bool,
    /// A client wants the node to stop.
    pub(super) wants_stop: bool,
    /// What the commands on the node itself keep.
    pub(super) server: ServerState,
}

impl RedisClients {
    /// No clients yet, what they will have to say first, and who of them may use DEBUG.
    pub(super) fn new(password: Option<Password>, debug_access: DebugAccess) -> Self {
        let mut clients = Self::default();
        clients.server.password = password;
        clients.server.debug_access = debug_access;
        clients
    }

    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Connections since the start.
    pub(super) fn connections(&self) -> u64 {
        self.last_id
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Where what waits for the clients is counted.
    pub(super) fn waiting_bytes(&self) -> WaitingBytes {
        Rc::clone(&self.waiting_bytes)
    }

    pub(super) fn add(&mut self, id: u64, client: &Rc<RedisClient>) {
        self.clients.insert(id, Rc::clone(client));
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.clients.remove(&id);
    }

    /// Each connection as CLIENT LIST tells it. The one that asks is borrowed and describes
    /// itself.
    pub(super) fn describe(&self, now: UnixMs) -> Vec<ClientLine> {
        let connections = self.clients.values().map(|client| &client.connection);
        let free = connections.filter_map(|connection| connection.try_borrow().ok());
        free.map(|connection| connection.describe(now)).collect()
    }

    /// What the clients want to hear, but for the one that asks.
    pub(super) fn heard(&self) -> Heard {
        let mut heard = Heard::default();
        for client in self.clients.values() {
            let Ok(connection) = client.connection.try_borrow() else {
                continue;
            };
            for channel in connection.subscriptions().channels() {
                *heard.channels.entry(channel.clone()).or_insert(0) += 1;
            }
            let patterns = connection.subscriptions().patterns();
            heard.patterns.extend(patterns.cloned());
        }
        heard
    }

    /// Tells every client that listens. Says how often that was.
    pub(super) fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> u64 {
        let mut told = 0;
        for client in self.clients.values() {
            for message in client.messages(channel, payload) {
                client.push(message, channel.len() + payload.len());
                told += 1;
                if client.touch() {
                    self.touched.push(Rc::clone(client));
                }
            }
        }
        told
    }

    /// Tells every client that listens what happened to keys.
    pub(super) fn tell(&mut self, events: &[KeyEvent]) {
        let notifications = self.server.settings.notifications;
        for event in events {
            for (channel, payload) in notifications.messages(event) {
                self.publish(&channel, &payload);
            }
        }
    }

    /// Writes to every client that got something.
    pub(super) fn flush(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for client in touched.drain(..) {
            client.flush();
            while self.waiting_bytes.get() > WAITING_MAX_BYTES && self.close_slowest() {}
        }
        self.touched = touched;
    }

    /// Closes the client that leaves the most waiting. Says whether there was one.
    fn close_slowest(&self) -> bool {
        let slowest = self.clients.values().max_by_key(|c| c.waiting_bytes());
        let Some(slowest) = slowest.filter(|client| client.waiting_bytes() > 0) else {
            return false;
        };
        tracing::warn!(
            bytes = slowest.waiting_bytes(),
            "Redis clients leave too much waiting; the one that leaves the most is closed"
        );
        slowest.close();
        true
    }

    /// Closes connections. Says how many.
    pub(super) fn kill(&mut self, asker: &Rc<RedisClient>, victims: &Victims) -> u64 {
        let mut killed = 0;
        for client in self.clients.values() {
            let connection = client.connection.borrow();
            let is_asker = Rc::ptr_eq(client, asker);
            let is_meant = victims.id.is_none_or(|id| id == connection.id())
                && victims
                    .peer
                    .as_ref()
                    .is_none_or(|peer| peer == connection.peer())
                && !(is_asker && victims.skips_self);
            if is_meant && is_asker {
                // Its own answer goes first.
                client.close_when_sent();
            } else if is_meant {
                client.close();
            }
            killed += u64::from(is_meant);
        }
        killed
    }

    /// The node is primary no more: whoever took it for that is to look for the new one.
    pub(super) fn close_for_role_change(&mut self) {
        for client in self.clients.values() {
            if !client.connection.borrow().reads_replica() {
                client.close_when_sent();
                self.touched.push(Rc::clone(client));
            }
        }
    }

    fn touch(&mut self, client: &Rc<RedisClient>) {
        if client.touch() {
            self.touched.push(Rc::clone(client));
        }
    }
}

impl Shard {
    pub(super) fn redis_says(&mut self, now: Now, client: &Rc<RedisClient>, arguments: Vec<Bytes>) {
        self.redis.requests += 1;
        // A reading of the clock for each of many requests would cost as much as a look-up. When the turn began will
        // do, or when what took long in it was done.
        let began = now.monotonic.max(self.redis.read_clock_at);
        let host = RedisHost::new(self, now);
        let turn = client.connection.borrow_mut().request(&host, &arguments);
        let begin = |weight| client.begin(turn.protocol, turn.is_answered, weight);
        match turn.plan {
            Plan::Answer(value) => {
                let slot = begin(1 + value.weight_bytes() / WEIGHT_BYTES);
                client.put(slot, value);
                self.redis.touch(client);
            }
            Plan::AnswerAll(values) => {
                for value in values {
                    let slot = begin(1);
                    client.put(slot, value);
                }
                self.redis.touch(client);
            }
            Plan::Act(action) => {
                let slot = begin(1);
                let value = self.act(client, &action);
                self.put_redis(client, slot, value);
            }
            Plan::Transact(mut pieces) => {
                self.act_for_pieces(client, &mut pieces);
                let value = transacted(pieces);
                let slot = begin(1 + value.weight_bytes() / WEIGHT_BYTES);
                self.put_redis(client, slot, value);
            }
            Plan::Close(value) => {
                let slot = begin(1);
                client.put(slot, value);
                client.close_when_sent();
                self.redis.touch(client);
            }
            Plan::Ask(command, shape) => {
                let weight = weight(&command, &shape);
                let slot = begin(weight);
                if matches!(shape, Shape::Watch(_)) {
                    client.wait_until(slot);
                }
                let exchange = RedisExchange {
                    client: Rc::clone(client),
                    slot,
                    shape,
                    writes: command.is_write(),
                    arguments,
                    began,
                };
                self.ask_core_for_redis(now, exchange, command);
                if weight > 1 {
                    self.redis.read_clock_at = clock::monotonic();
                }
                return;
            }
            Plan::Start(task) => {
                let slot = begin(1);
                self.start_redis_task(client, slot, &task);
            }
        }
        self.redis.read_clock_at = clock::monotonic();
        self.note_if_slow(client, &arguments, began, self.redis.read_clock_at);
    }

    fn ask_core_for_redis(&mut self, now: Now, exchange: RedisExchange, command: Command) {
        let reads_replica = exchange.client.connection.borrow().reads_replica();
        if !exchange.writes && reads_replica && !self.replica.serves_copies() {
            let result = self.read_as_replica(now, &command);
            return self.reply_to_redis(clock::monotonic(), exchange, result);
        }
        let asked = Asked {
            exchange: Exchange::Redis(exchange),
            operation: Some(Operation::of(&command)),
            at: now.monotonic,
        };
        let token = ClientToken(self.exchanges.insert(asked));
        self.hand_to_core(now, token, None, command);
    }

    /// Reads the committed state of a replica that is in step. It may be older than what the primary
    /// has acknowledged; the client asked for that.
    fn read_as_replica(&self, now: Now, command: &Command) -> Result<Reply, Refusal> {
        if !matches!(self.replica.role(), HeldRole::Follower { .. }) {
            return Err(Refusal::LeaseLost);
        }
        // Deletions of keys whose time has come are the primary's to log.
        let overlay = Overlay::new();
        execute(self.replica.state(), &overlay, command, now.unix).map(|done| done.reply)
    }

    pub(super) fn reply_to_redis(
        &mut self,
        now: Monotonic,
        exchange: RedisExchange,
        result: Result<Reply, Refusal>,
    ) {
        let RedisExchange {
            client,
            slot,
            mut shape,
            writes,
            arguments,
            began,
        } = exchange;
        self.note_if_slow(&client, &arguments, began, now);
        if let (Shape::Transaction(pieces), Ok(Reply::Many(_))) = (&mut shape, &result) {
            self.act_for_pieces(&client, pieces);
        }
        if let (Shape::Copies { on_disk }, Ok(_)) = (&shape, &result) {
            let facts = RedisHost::new(self, clock::now()).facts();
            client.put(slot, kvnode_redis::copies(&facts, *on_disk));
        } else {
            client.finish(slot, &shape, result, writes);
        }
        self.redis.touch(&client);
    }

    fn start_redis_task(&mut self, client: &Rc<RedisClient>, slot: u64, task: &Task) {
        match task {
            Task::FailOver { to, timeout_ms } => {
                let patience = timeout_ms.map(Duration::from_millis);
                self.fail_over(client, slot, to.as_ref(), patience);
            }
            Task::Sleep(time) => {
                client.hold_until(slot);
                client.sleep_until(slot, clock::monotonic().after(*time));
            }
            Task::Stop { saves } => {
                client.hold_until(slot);
                self.redis.wants_stop = true;
                self.dumps_at_stop = *saves;
            }
            Task::Save => {
                client.hold_until(slot);
                if let Err(refusal) = self.dump_for_redis(Some((Rc::clone(client), slot))) {
                    self.put_redis(client, slot, Value::error(format!("ERR {refusal}")));
                }
            }
        }
    }

    /// Answers a request that the core was not asked about.
    pub(super) fn put_redis(&mut self, client: &Rc<RedisClient>, slot: u64, value: Value) {
        client.put(slot, value);
        self.redis.touch(client);
    }

    /// Answers what was no request.
    pub(super) fn answer_redis(&mut self, client: &Rc<RedisClient>, value: Value) {
        let slot = client.begin(Protocol::Resp2, true, 1);
        self.put_redis(client, slot, value);
    }
}

/// The answer to a transaction that asked nothing of the core.
fn transacted(pieces: Vec<Piece>) -> Value {
    let values = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Answered(value) => Some(value),
        Piece::Act(_) | Piece::Asked { .. } => None,
    });
    Value::Array(values.collect())
}

/// How much memory the answer may take that the table does not keep anyway, and how much time.
fn weight(command: &Command, shape: &Shape) -> usize {
    if shape.makes_bytes() {
        return UNFORESEEN_WEIGHT;
    }
    if shape.goes_through_values() {
        return LONG_WEIGHT;
    }
    let answered = match shape {
        Shape::Transaction(pieces) => pieces.iter().map(Piece::weight_bytes).sum(),
        _ => 0,
    };
    copied_values(command) + answered / WEIGHT_BYTES
}

/// How many answers may be copies of small values: each weighs one.
fn copied_values(command: &Command) -> usize {
    match command {
        Command::GetMany { keys } => keys.len(),
        Command::Transaction { commands, .. } => {
            let each = commands.iter().map(copied_values);
            each.sum::<usize>().max(1)
        }
        Command::Keys { .. } | Command::Scan { .. } => UNFORESEEN_WEIGHT,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{UNFORESEEN_WEIGHT, weight};
    use bytes::Bytes;
    use kv_common::command::Command;
    use kvnode_redis::{Piece, Shape};

    #[test]
    fn few_requests_go_with_one_that_takes_much() {
        let get = || Command::Get { key: Bytes::new() };
        assert_eq!(weight(&get(), &Shape::Plain), 1);
        assert_eq!(weight(&get(), &Shape::Dump), UNFORESEEN_WEIGHT);
        assert!((64..UNFORESEEN_WEIGHT).contains(&weight(&get(), &Shape::Digest)));
        let commands = vec![get(), get()];
        let transaction = Command::Transaction {
            guards: Vec::new(),
            commands,
        };
        let piece = |shape: Shape| Piece::Asked {
            shape,
            writes: false,
        };
        let plain = vec![piece(Shape::Plain), piece(Shape::Plain)];
        assert_eq!(weight(&transaction, &Shape::Transaction(plain)), 2);
        let dump = vec![piece(Shape::Plain), piece(Shape::Dump)];
        let dump = Shape::Transaction(dump);
        assert_eq!(weight(&transaction, &dump), UNFORESEEN_WEIGHT);
    }
}
