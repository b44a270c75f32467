//! The state of one connection, and what it makes of a request.

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::edit::Guard;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;
use kv_resp::{AuthError, Protocol, Subscriptions, Value};

use crate::call::Call;
use crate::fault::Fault;
use crate::host::{ClientLine, Host};
use crate::plan::Plan;
use crate::server_state::ServerState;
use crate::shape::{Shape, shaped};
use crate::subcommands;
use crate::table::{Flags, Spec, find};
use crate::transaction::Queue;

/// What a key that is watched costs beside its bytes.
const GUARD_OVERHEAD_BYTES: usize = 64;

/// What a connection is known by.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its number; no other connection of this run has it.
    pub id: u64,
    /// Where the client is.
    pub peer: String,
    /// Where it called.
    pub local: String,
    /// When it came.
    pub since: UnixMs,
}

/// Whether replies are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    /// They are.
    #[default]
    On,
    /// None until further notice.
    Off,
    /// Not to the next request.
    SkipNext,
    /// Not to the one that is being looked at, unless it says otherwise.
    SkipThis,
}

/// What commands may change about a connection.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) info: ConnectionInfo,
    pub(crate) protocol: Protocol,
    pub(crate) name: Bytes,
    pub(crate) library_name: Bytes,
    pub(crate) library_version: Bytes,
    pub(crate) replies: Replies,
    /// Whether the client takes reads of a replica.
    pub(crate) reads_replica: bool,
    /// Whether the client has said the password.
    pub(crate) is_authenticated: bool,
    pub(crate) last_command: &'static str,
    pub(crate) queue: Option<Queue>,
    pub(crate) guards: Vec<Guard>,
    pub(crate) guards_bytes: usize,
    pub(crate) subscriptions: Subscriptions,
}

/// One Redis connection.
#[derive(Debug)]
pub struct Connection {
    state: State,
}

/// A request that was looked at.
#[derive(Debug)]
pub struct Turn {
    /// What it comes to.
    pub plan: Plan,
    /// How its reply is written.
    pub protocol: Protocol,
    /// Whether its reply is sent at all.
    pub is_answered: bool,
}

impl Connection {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(info: ConnectionInfo) -> Self {
        Self {
            state: State::new(info),
        }
    }

    /// The number that it is known by.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.state.info.id
    }

    /// Where the client is.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.state.info.peer
    }

    /// Whether the client takes reads of a replica.
    #[must_use]
    pub fn reads_replica(&self) -> bool {
        self.state.reads_replica
    }

    /// The connection as CLIENT LIST tells it.
    #[must_use]
    pub fn describe(&self, now: UnixMs) -> ClientLine {
        self.state.line(now)
    }

    /// What the client calls itself.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        &self.state.name
    }

    /// Bytes that the client has the connection keep: commands that are queued, keys that are watched, what
    /// it listens to.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let queued = self.state.queue.as_ref().map_or(0, Queue::bytes);
        queued + self.state.guards_bytes + self.state.subscriptions.bytes()
    }

    /// What the client wants to hear.
    #[must_use]
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.state.subscriptions
    }

    /// How what it hears is written.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.state.protocol
    }

    /// Whether the client has to say the password before anything else.
    #[must_use]
    pub fn needs_password(&self, server: &ServerState) -> bool {
        self.state.needs_password(server)
    }

    /// Looks at a request, which has at least one argument.
    pub fn request(&mut self, host: &dyn Host, arguments: &[Bytes]) -> Turn {
        if self.state.replies == Replies::SkipNext {
            self.state.replies = Replies::SkipThis;
        }
        let plan = match self.plan(host, arguments) {
            Ok(plan) => plan,
            Err(fault) => Plan::Answer(fault.into()),
        };
        let is_answered = self.state.replies == Replies::On;
        if self.state.replies == Replies::SkipThis {
            self.state.replies = Replies::On;
        }
        Turn {
            plan,
            protocol: self.state.protocol,
            is_answered,
        }
    }

    fn plan(&mut self, host: &dyn Host, arguments: &[Bytes]) -> Result<Plan, Fault> {
        let spec = match accepted(arguments) {
            Ok(spec) => spec,
            Err(fault) => {
                return Err(self.unaccepted(arguments, fault));
            }
        };
        if !spec.flags.has(Flags::NO_AUTH) && self.state.needs_password(host.server()) {
            return Err(AuthError::Required.into());
        }
        if let Err(fault) = subcommands::check(spec, arguments) {
            self.spoil();
            return Err(fault);
        }
        self.state.last_command = spec.name;
        if self.state.only_listens() && !spec.flags.has(Flags::LISTENING) {
            return Err(Fault::with(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                spec.name
            )));
        }
        if self.state.queue.is_some() && !spec.flags.has(Flags::UNQUEUED) {
            return self.queue(host, spec, arguments);
        }
        self.call(host, spec, arguments)
    }

    fn queue(
        &mut self,
        host: &dyn Host,
        spec: &'static Spec,
        arguments: &[Bytes],
    ) -> Result<Plan, Fault> {
        let refusal = if spec.flags.has(Flags::NO_MULTI) {
            Some(Fault::text("ERR Command not allowed inside a transaction"))
        } else {
            not_here(host, spec, self.state.reads_replica)
        };
        match (&mut self.state.queue, refusal) {
            (Some(queue), Some(refusal)) => {
                queue.spoil();
                Err(refusal)
            }
            (Some(queue), None) => queue.push(spec, arguments),
            (None, _) => self.call(host, spec, arguments),
        }
    }

    fn call(
        &mut self,
        host: &dyn Host,
        spec: &'static Spec,
        arguments: &[Bytes],
    ) -> Result<Plan, Fault> {
        (spec.run)(&mut Call {
            spec,
            arguments,
            state: &mut self.state,
            host,
            settings: &host.server().settings,
        })
    }

    /// What the client is told when the core has executed what a request came to.
    pub fn finish(&mut self, shape: &Shape, result: Result<Reply, Refusal>, writes: bool) -> Value {
        if let (Shape::Watch(keys), Ok(Reply::Fingerprints(fingerprints))) = (shape, &result) {
            for (key, fingerprint) in keys.iter().zip(fingerprints) {
                self.state.guards_bytes += key.len() + GUARD_OVERHEAD_BYTES;
                self.state.guards.push(Guard {
                    key: key.clone(),
                    fingerprint: *fingerprint,
                });
            }
        }
        shaped(shape, result, writes)
    }

    /// A request that is none spoils the transaction; an EXEC that is none ends it.
    fn unaccepted(&mut self, arguments: &[Bytes], fault: Fault) -> Fault {
        let is_exec = arguments
            .first()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"exec"));
        if !is_exec {
            self.spoil();
            return fault;
        }
        self.state.queue = None;
        self.state.take_guards();
        fault.ends_transaction()
    }

    fn spoil(&mut self) {
        if let Some(queue) = &mut self.state.queue {
            queue.spoil();
        }
    }
}

/// The command of a request, if there is one that takes so many arguments.
fn accepted(arguments: &[Bytes]) -> Result<&'static Spec, Fault> {
    let spec = arguments
        .first()
        .and_then(|name| find(name))
        .ok_or_else(|| Fault::unknown_command(arguments))?;
    if !spec.takes(arguments.len()) {
        return Err(Fault::arity(spec.name));
    }
    Ok(spec)
}

/// Why a command cannot be queued by a node that is not primary. Clients tell by this answer that they are at the
/// wrong node, and not by that of EXEC.
fn not_here(host: &dyn Host, spec: &Spec, reads_replica: bool) -> Option<Fault> {
    let is_write = spec.flags.has(Flags::WRITE);
    if host.is_primary() || !(is_write || spec.flags.has(Flags::READONLY)) {
        return None;
    }
    match (is_write, host.facts().is_taking_over) {
        (_, true) => Some(Fault::LOADING),
        (true, false) => Some(Fault::READ_ONLY),
        (false, false) if reads_replica => None,
        (false, false) => Some(Fault::MASTER_DOWN),
    }
}

impl State {
    fn new(info: ConnectionInfo) -> Self {
        Self {
            info,
            protocol: Protocol::Resp2,
            name: Bytes::new(),
            library_name: Bytes::new(),
            library_version: Bytes::new(),
            replies: Replies::On,
            reads_replica: false,
            is_authenticated: false,
            last_command: "NULL",
            queue: None,
            guards: Vec::new(),
            guards_bytes: 0,
            subscriptions: Subscriptions::default(),
        }
    }

    pub(crate) fn needs_password(&self, server: &ServerState) -> bool {
        !self.is_authenticated && server.password.is_some()
    }

    /// Watches nothing any more. What was watched comes back.
    pub(crate) fn take_guards(&mut self) -> Vec<Guard> {
        self.guards_bytes = 0;
        std::mem::take(&mut self.guards)
    }

    /// Whether replies could not be told from what is published: RESP2 has one form for both.
    pub(crate) fn only_listens(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions.count() > 0
    }

    /// As if it had just been opened.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            library_name: std::mem::take(&mut self.library_name),
            library_version: std::mem::take(&mut self.library_version),
            last_command: "reset",
            ..Self::new(self.info.clone())
        };
    }

    pub(crate) fn line(&self, now: UnixMs) -> ClientLine {
        ClientLine {
            id: self.info.id,
            listens: self.subscriptions.count() > 0,
            text: self.described(now),
        }
    }

    fn described(&self, now: UnixMs) -> String {
        let age_s = now.0.saturating_sub(self.info.since.0) / 1000;
        let queued = match &self.queue {
            Some(queue) => i64::try_from(queue.length()).unwrap_or(i64::MAX),
            None => -1,
        };
        let flags = match (&self.queue, self.reads_replica) {
            _ if self.subscriptions.count() > 0 => "P",
            (Some(_), _) => "x",
            (None, true) => "r",
            (None, false) => "N",
        };
        format!(
            "id={} addr={} laddr={} fd=-1 name={} age={age_s} idle=0 flags={flags} db=0 sub={} psub={} \
             ssub=0 multi={queued} watch={} cmd={} user=default lib-name={} lib-ver={} resp={}",
            self.info.id,
            self.info.peer,
            self.info.local,
            String::from_utf8_lossy(&self.name),
            self.subscriptions.channels().count(),
            self.subscriptions.patterns().count(),
            self.guards.len(),
            self.last_command,
            String::from_utf8_lossy(&self.library_name),
            String::from_utf8_lossy(&self.library_version),
            self.protocol.number(),
        )
    }
}

#[cfg(test)]
mod tests;
