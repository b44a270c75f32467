//! Clients: one operation at a time, written down as they saw it.

use bytes::Bytes;
use kv_common::command::{Command, Expiry, PutCondition, Reply};
use kv_common::id::{NodeId, RequestId, SessionId};
use kv_common::message::client::SessionStamp;
use kv_common::refusal::Refusal;
use kvnode_core::input::{ClientToken, Input};
use rand::RngExt;

use crate::fault_kinds::FaultKind;
use crate::history::{Operation, Record};
use crate::trace::Event;
use crate::world::{MS, Party, TrueNs, WALL_CLOCK_OFF_NS, World};

const KEYS: u8 = 6;
/// How long a client waits for an answer before it asks again.
const PATIENCE: TrueNs = 250 * MS;
/// How long a patient client asks for the same thing.
const DEADLINE: TrueNs = 1_500 * MS;
/// How long an impatient one does: it goes by the first answer, if that is a refusal.
const SHORT_DEADLINE: TrueNs = 5 * MS;
/// How late a second copy of a request may come.
const COPY_LATE: TrueNs = 2_000 * MS;
/// How long a value lives that goes by itself.
const LIVES_NS: TrueNs = 300 * MS;
/// An answer to a request with this bit in its token is of no interest to anybody.
const UNWANTED: u64 = 1 << 31;

/// A client and what it is about.
pub(crate) struct Client {
    number: usize,
    session: Option<SessionId>,
    /// The last request number of the session.
    last_number: u64,
    asking: Option<Asking>,
    attempts: u64,
    /// Whom it takes for the primary.
    primary: Option<NodeId>,
    written: u64,
    /// By key.
    last_seen: [u64; KEYS as usize],
    pub(crate) records: Vec<Record>,
    pub(crate) answered: u64,
}

/// What a client waits for.
struct Asking {
    token: ClientToken,
    what: What,
    since: TrueNs,
    deadline: TrueNs,
    /// Whether an attempt was sent whose answer never came.
    unsure: bool,
}

#[derive(Clone)]
enum What {
    Session,
    Operation { key: u8, operation: Operation },
}

impl Client {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            session: None,
            last_number: 0,
            asking: None,
            attempts: 0,
            primary: None,
            written: 0,
            last_seen: [0; KEYS as usize],
            records: Vec::new(),
            answered: 0,
        }
    }

    fn command(&self, what: &What) -> (Command, Option<SessionStamp>) {
        let What::Operation { key, operation } = what else {
            return (Command::OpenSession, None);
        };
        let key = Bytes::from(vec![*key]);
        let command = match operation {
            Operation::Put { value } => Command::Put {
                key,
                value: text(*value),
                expiry: None,
                condition: PutCondition::Always,
            },
            Operation::PutThatGoes { value, .. } => Command::Put {
                key,
                value: text(*value),
                expiry: Some(Expiry::AfterMs(LIVES_NS / MS)),
                condition: PutCondition::Always,
            },
            Operation::PutIfEquals {
                expected, value, ..
            } => Command::Put {
                key,
                value: text(*value),
                expiry: None,
                condition: PutCondition::IfEquals(text(*expected)),
            },
            Operation::Incr { by, .. } => Command::Incr {
                key,
                by: i64::try_from(*by).unwrap_or(i64::MAX),
            },
            Operation::Delete { .. } => Command::Delete { keys: vec![key] },
            Operation::Get { .. } => Command::Get { key },
        };
        let stamp = self
            .session
            .filter(|_| command.is_write())
            .map(|session| SessionStamp {
                id: RequestId {
                    session,
                    number: self.last_number,
                },
                floor: self.last_number - 1,
            });
        (command, stamp)
    }

    fn note(&mut self, key: u8, operation: Operation, since: TrueNs, answered_ns: Option<TrueNs>) {
        self.records.push(Record {
            key: key.into(),
            operation,
            invoked_ns: since,
            answered_ns,
        });
    }
}

impl World {
    /// A client begins something new, if it has nothing to wait for.
    pub(crate) fn client_step(&mut self, number: usize) {
        let kind = self.random.random_range(0..10);
        let key = self.random.random_range(0..KEYS);
        let now = self.now;
        let patient = self.random.random_ratio(3, 4);
        let patience = if patient { DEADLINE } else { SHORT_DEADLINE };
        if self.random.random_ratio(1, 40) {
            self.client_leaves_session(number);
        }
        let client = &mut self.clients[number];
        let what = if client.session.is_none() {
            What::Session
        } else {
            client.written += 1;
            let unique = client.number as u64 * 1_000_000 + client.written * 1000;
            let operation = match kind {
                0 => Operation::Put { value: unique },
                1 => Operation::PutThatGoes {
                    value: unique,
                    stays_ns: LIVES_NS - 2 * WALL_CLOCK_OFF_NS,
                    gone_after_ns: LIVES_NS + 2 * WALL_CLOCK_OFF_NS,
                },
                2..=3 => Operation::PutIfEquals {
                    expected: client.last_seen[usize::from(key)],
                    value: unique,
                    done: None,
                },
                4 => Operation::Incr { by: 1, sum: None },
                5 => Operation::Delete { removed: None },
                _ => Operation::Get { seen: None },
            };
            if !operation.is_read() {
                client.last_number += 1;
            }
            What::Operation { key, operation }
        };
        client.asking = Some(Asking {
            token: ClientToken(0),
            what,
            since: now,
            deadline: now + patience,
            unsure: false,
        });
        self.client_attempt(number);
    }

    /// Sends what the client waits for to whom it takes for the primary.
    fn client_attempt(&mut self, number: usize) {
        let anybody = NodeId(self.random.random_range(1..=self.nodes.len() as u64));
        let view = self
            .coordinator
            .map
            .as_ref()
            .and_then(|map| map.view.as_ref());
        let told = view.map_or(anybody, |view| view.primary.node);
        let lost = self.random.random_ratio(1, 10);
        let client = &mut self.clients[number];
        // A client stays with whom it knows until that one disappoints it, as a real one does that
        // has not heard of a change.
        let known = client.primary.unwrap_or(told);
        let to = if lost { anybody } else { known };
        client.primary = Some(to);
        client.attempts += 1;
        let token = ClientToken((number as u64) << 32 | client.attempts);
        let Some(asking) = &mut client.asking else {
            return;
        };
        asking.token = token;
        let what = asking.what.clone();
        let (command, stamp) = client.command(&what);
        let copied = stamp.is_some() && self.random.random_ratio(1, 20);
        if copied && self.may_happen(FaultKind::Delays) {
            // As when an attempt was held up on a connection that the client has given up.
            if let Some(asking) = &mut self.clients[number].asking {
                asking.unsure = true;
            }
            let late = self.random.random_range(0..COPY_LATE);
            let unwanted = ClientToken(token.0 | UNWANTED);
            let command = command.clone();
            self.after(late, move |world| {
                let input = request(unwanted, stamp, command);
                world.node_input(to, None, input);
            });
        }
        self.deliver(Party::Client(number), Party::Node(to), move |world| {
            world.node_input(to, None, request(token, stamp, command));
        });
        self.after(PATIENCE, move |world| world.client_waited(number, token));
    }

    /// Ends the session, without waiting for the answer, so that the next step opens another.
    fn client_leaves_session(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.last_number = 0;
        let (Some(session), Some(to)) = (client.session.take(), client.primary) else {
            return;
        };
        client.attempts += 1;
        let token = ClientToken((number as u64) << 32 | client.attempts | UNWANTED);
        self.deliver(Party::Client(number), Party::Node(to), move |world| {
            let command = Command::EndSession { session };
            world.node_input(to, None, request(token, None, command));
        });
    }

    fn client_waited(&mut self, number: usize, token: ClientToken) {
        if let Some(asking) = &mut self.clients[number].asking
            && asking.token == token
        {
            asking.unsure = true;
            self.client_retry(number);
        }
    }

    /// Asks again under the same request id, or gives up.
    fn client_retry(&mut self, number: usize) {
        let now = self.now;
        let client = &mut self.clients[number];
        let Some(asking) = &client.asking else {
            return;
        };
        if now < asking.deadline {
            client.primary = None;
            return self.client_attempt(number);
        }
        let unsure = asking.unsure;
        self.client_gives_up(number, unsure);
    }

    fn client_gives_up(&mut self, number: usize, unsure: bool) {
        let client = &mut self.clients[number];
        if let Some(asking) = client.asking.take()
            && let What::Operation { key, operation } = asking.what
        {
            if unsure && !operation.is_read() {
                client.note(key, operation, asking.since, None);
            }
            // Its number may or may not be used up: a new session is on the safe side.
            self.client_leaves_session(number);
        }
        self.after(10 * MS, move |world| world.client_step(number));
    }

    /// The number of the write that a client waits for under this token.
    pub(crate) fn write_asked_under(&self, token: ClientToken) -> Option<SessionStamp> {
        let number = usize::try_from(token.0 >> 32).ok()?;
        let client = self.clients.get(number)?;
        let asking = client.asking.as_ref()?;
        let (_, stamp) = client.command(&asking.what);
        stamp.filter(|_| asking.token == token)
    }

    /// A node's answer sets out for its client.
    pub(crate) fn answer_client(
        &mut self,
        from: NodeId,
        token: ClientToken,
        result: Result<Reply, Refusal>,
    ) {
        let Ok(number) = usize::try_from(token.0 >> 32) else {
            return;
        };
        self.deliver(Party::Node(from), Party::Client(number), move |world| {
            world.client_answered(number, token, result);
        });
    }

    fn client_answered(
        &mut self,
        number: usize,
        token: ClientToken,
        result: Result<Reply, Refusal>,
    ) {
        let now = self.now;
        let client = &mut self.clients[number];
        let Some(asking) = &mut client.asking else {
            return;
        };
        if asking.token != token {
            return;
        }
        match result {
            Ok(reply) => {
                if let Some(asking) = client.asking.take() {
                    self.client_succeeded(number, asking, &reply, now);
                }
            }
            Err(refusal) if refusal.asks_for_retry() => {
                asking.unsure |= matches!(refusal, Refusal::OutcomeUnknown);
                asking.token = ClientToken(u64::MAX);
                let pause = self.random.random_range(MS..30 * MS);
                self.after(pause, move |world| world.client_retry(number));
            }
            Err(refusal) => {
                let unsure = asking.unsure || matches!(refusal, Refusal::UnknownSession { .. });
                self.trace.note(now, || Event::ClientRefused {
                    client: number,
                    refusal,
                });
                self.client_gives_up(number, unsure);
            }
        }
    }

    fn client_succeeded(&mut self, number: usize, asking: Asking, reply: &Reply, now: TrueNs) {
        let client = &mut self.clients[number];
        match (asking.what, reply) {
            (What::Session, Reply::SessionOpened(session)) => {
                client.session = Some(*session);
                client.last_number = 0;
            }
            (What::Operation { key, operation }, reply) => {
                let operation = operation.answered(reply);
                if let Operation::Get {
                    seen: Some(Some(seen)),
                } = operation
                {
                    client.last_seen[usize::from(key)] = seen;
                }
                client.answered += 1;
                client.note(key, operation, asking.since, Some(now));
            }
            (What::Session, _) => {}
        }
        let pause = self.random.random_range(MS..60 * MS);
        self.after(pause, move |world| world.client_step(number));
    }

    /// What every client saw, with what is still open at the end.
    pub(crate) fn all_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for client in &self.clients {
            records.extend(client.records.iter().cloned());
            if let Some(Asking {
                what: What::Operation { key, operation },
                since,
                ..
            }) = &client.asking
                && !operation.is_read()
            {
                records.push(Record {
                    key: u32::from(*key),
                    operation: operation.clone(),
                    invoked_ns: *since,
                    answered_ns: None,
                });
            }
        }
        records
    }
}

impl Operation {
    /// With what it was answered.
    fn answered(self, reply: &Reply) -> Self {
        match (self, reply) {
            (Self::Get { .. }, Reply::Value(value)) => Self::Get {
                seen: Some(value.as_ref().map(|value| parse(value))),
            },
            (
                Self::PutIfEquals {
                    expected, value, ..
                },
                reply,
            ) => Self::PutIfEquals {
                expected,
                value,
                done: Some(matches!(reply, Reply::Done)),
            },
            (Self::Incr { by, .. }, Reply::Integer(sum)) => Self::Incr {
                by,
                sum: Some(u64::try_from(*sum).unwrap_or(u64::MAX)),
            },
            (Self::Delete { .. }, Reply::Count(count)) => Self::Delete {
                removed: Some(*count == 1),
            },
            (operation, _) => operation,
        }
    }
}

fn request(client: ClientToken, stamp: Option<SessionStamp>, command: Command) -> Input {
    Input::Request {
        client,
        stamp,
        command,
    }
}

fn text(value: u64) -> Bytes {
    Bytes::from(value.to_string())
}

/// The number that a value stands for. A value that no client wrote is a finding of its own.
fn parse(value: &[u8]) -> u64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(u64::MAX)
}
