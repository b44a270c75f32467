//! One connection to the Sentinel, and what it makes of a request.

use bytes::Bytes;
use kv_common::message::registry::ClusterStatus;
use kv_common::refusal::Refusal;
use kv_resp::{AuthError, Password, Protocol, Subscriptions, Value, integer};

use crate::Settings;
use crate::answers::Answers;
use crate::notices::Notice;

/// The version of Redis whose answers these are.
pub(crate) const REDIS_VERSION: &str = "7.2.0";

/// What the subscriptions of one connection may take of the memory; there are four channels.
const SUBSCRIPTIONS_BYTES: usize = 64 << 10;
/// How much of a word of a request an error shows.
const SHOWN_BYTES: usize = 128;
/// The longest name of a client.
const NAME_MAX_BYTES: usize = 1024;

/// What a request comes to.
#[derive(Debug)]
pub enum Plan {
    /// It is answered, perhaps with several replies.
    Answer(Vec<Value>),
    /// It is answered from the status of the cluster.
    Ask(Question),
    /// A switchover is to be ordered; [`failover_ordered`](Connection::failover_ordered) says what
    /// to answer.
    Failover,
    /// It is answered, and the connection is closed.
    Close(Value),
}

/// What is asked about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where the primary is.
    Address,
    /// All masters.
    Masters,
    /// The master of our name.
    Master,
    /// Its replicas.
    Replicas,
    /// The other Sentinels.
    Sentinels,
    /// Whether a failover could be decided.
    Quorum,
    /// Whether the master at an address is down.
    IsDown(Bytes, Bytes),
    /// INFO.
    Info,
}

/// A request that was looked at.
#[derive(Debug)]
pub struct Turn {
    /// What it comes to.
    pub plan: Plan,
    /// How its reply is written.
    pub protocol: Protocol,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    protocol: Protocol,
    name: Bytes,
    subscriptions: Subscriptions,
    /// Whether the client has said the password.
    is_authenticated: bool,
}

impl Connection {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            id,
            protocol: Protocol::Resp2,
            name: Bytes::new(),
            subscriptions: Subscriptions::with_room(SUBSCRIPTIONS_BYTES),
            is_authenticated: false,
        }
    }

    /// How replies are written at this moment.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the client has to say the password of the door before anything else.
    #[must_use]
    pub fn needs_password(&self, door: Option<&Password>) -> bool {
        door.is_some() && !self.is_authenticated
    }

    /// Looks at a request, which has at least one argument.
    pub fn request(
        &mut self,
        settings: &Settings,
        door: Option<&Password>,
        arguments: &[Bytes],
    ) -> Turn {
        let plan = self
            .plan(settings, door, arguments)
            .unwrap_or_else(|error| Plan::Answer(vec![Value::error(error)]));
        Turn {
            plan,
            protocol: self.protocol,
        }
    }

    /// The answer to a question, from the status of the cluster.
    #[must_use]
    pub fn answer(settings: &Settings, question: &Question, status: &ClusterStatus) -> Value {
        let answers = Answers { settings, status };
        match question {
            Question::Address => answers.address(),
            Question::Masters => answers.masters(),
            Question::Master => answers.master(),
            Question::Replicas => answers.all_replicas(),
            Question::Sentinels => answers.sentinels(),
            Question::Quorum => answers.quorum(),
            Question::IsDown(host, port) => answers.is_master_down(host, port),
            Question::Info => answers.info(),
        }
    }

    /// The answer to a failover that was ordered.
    #[must_use]
    pub fn failover_ordered(result: &Result<String, Refusal>) -> Value {
        match result {
            Ok(_) => Value::OK,
            Err(refusal) => Value::error(format!("NOGOODSLAVE {refusal}")),
        }
    }

    /// What a notice comes to for this connection.
    #[must_use]
    pub fn messages(&self, notice: &Notice) -> Vec<Value> {
        let channel = Bytes::from_static(notice.channel.as_bytes());
        let payload = Bytes::copy_from_slice(notice.payload.as_bytes());
        let messages = self.subscriptions.messages(&channel, &payload);
        // The names are short, so that no patterns take long.
        messages.unwrap_or_default()
    }

    fn plan(
        &mut self,
        settings: &Settings,
        door: Option<&Password>,
        arguments: &[Bytes],
    ) -> Result<Plan, String> {
        let name = word(arguments, 0);
        let rest = &arguments[1..];
        let is_free = matches!(name.as_str(), "AUTH" | "HELLO" | "QUIT");
        if !is_free && is_command(&name) && self.needs_password(door) {
            return Err(AuthError::Required.to_string());
        }
        let answer = match (name.as_str(), rest.len()) {
            ("PING", 0) if self.subscriptions.count() > 0 && self.protocol == Protocol::Resp2 => {
                Value::Array(vec![Value::bulk("pong"), Value::bulk("")])
            }
            ("PING", 0) => Value::Status("PONG".into()),
            ("PING", 1) => Value::Bulk(rest[0].clone()),
            ("QUIT", _) => return Ok(Plan::Close(Value::OK)),
            ("HELLO", _) => self.hello(door, arguments)?,
            ("AUTH", 1) => self.authenticate(door, None, &rest[0])?,
            ("AUTH", 2) => self.authenticate(door, Some(&rest[0]), &rest[1])?,
            ("CLIENT", 1..) => self.client(arguments)?,
            ("COMMAND", _) => command(arguments)?,
            ("ROLE", 0) => Value::Array(vec![
                Value::bulk("sentinel"),
                Value::Array(vec![Value::bulk(&settings.master_name)]),
            ]),
            ("INFO", _) => return Ok(Plan::Ask(Question::Info)),
            ("SENTINEL", 1..) => return sentinel(settings, arguments),
            ("SUBSCRIBE", 1..) => return spoken(self.subscriptions.subscribe(rest)),
            ("PSUBSCRIBE", 1..) => return spoken(self.subscriptions.subscribe_patterns(rest)),
            ("UNSUBSCRIBE", _) => return Ok(Plan::Answer(self.subscriptions.unsubscribe(rest))),
            ("PUNSUBSCRIBE", _) => {
                return Ok(Plan::Answer(self.subscriptions.unsubscribe_patterns(rest)));
            }
            _ if is_command(&name) => return Err(arity(&name)),
            _ => return Err(unknown(arguments)),
        };
        Ok(Plan::Answer(vec![answer]))
    }

    fn authenticate(
        &mut self,
        door: Option<&Password>,
        user: Option<&[u8]>,
        given: &[u8],
    ) -> Result<Value, String> {
        Password::check(door, user, given).map_err(|error| error.to_string())?;
        self.is_authenticated = true;
        Ok(Value::OK)
    }

    fn hello(&mut self, door: Option<&Password>, arguments: &[Bytes]) -> Result<Value, String> {
        let protocol = match arguments.get(1).map(|number| integer(number)) {
            None => self.protocol,
            Some(Some(2)) => Protocol::Resp2,
            Some(Some(3)) => Protocol::Resp3,
            Some(Some(_)) => return Err("NOPROTO unsupported protocol version".into()),
            Some(None) => {
                return Err("ERR Protocol version is not an integer or out of range".into());
            }
        };
        let mut at = 2;
        while at < arguments.len() {
            at += match word(arguments, at).as_str() {
                "AUTH" if arguments.len() > at + 2 => {
                    self.authenticate(door, Some(&arguments[at + 1]), &arguments[at + 2])?;
                    3
                }
                "SETNAME"
                    if arguments
                        .get(at + 1)
                        .is_some_and(|name| name.len() <= NAME_MAX_BYTES) =>
                {
                    self.name = arguments[at + 1].clone();
                    2
                }
                option => return Err(format!("ERR Syntax error in HELLO option '{option}'")),
            };
        }
        if self.needs_password(door) {
            return Err(AuthError::RequiredByHello.to_string());
        }
        self.protocol = protocol;
        let pairs = [
            ("server", Value::bulk("redis")),
            ("version", Value::bulk(REDIS_VERSION)),
            ("proto", Value::Integer(protocol.number())),
            ("id", Value::count(self.id)),
            ("mode", Value::bulk("sentinel")),
            ("modules", Value::Array(Vec::new())),
        ];
        let pairs = pairs.map(|(name, value)| (Value::bulk(name), value));
        Ok(Value::Map(pairs.into()))
    }

    fn client(&mut self, arguments: &[Bytes]) -> Result<Value, String> {
        Ok(match (word(arguments, 1).as_str(), arguments.len()) {
            ("ID", 2) => Value::count(self.id),
            ("GETNAME", 2) if self.name.is_empty() => Value::Null,
            ("GETNAME", 2) => Value::Bulk(self.name.clone()),
            ("SETNAME", 3) if arguments[2].len() <= NAME_MAX_BYTES => {
                self.name = arguments[2].clone();
                Value::OK
            }
            ("SETINFO", 4) | ("NO-EVICT" | "NO-TOUCH", 3) => Value::OK,
            _ => return Err(unknown_subcommand(arguments)),
        })
    }
}

const COMMANDS: [&str; 13] = [
    "auth",
    "client",
    "command",
    "hello",
    "info",
    "ping",
    "psubscribe",
    "punsubscribe",
    "quit",
    "role",
    "sentinel",
    "subscribe",
    "unsubscribe",
];

/// Whether there is such a command, whatever its arguments.
fn is_command(name: &str) -> bool {
    COMMANDS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn command(arguments: &[Bytes]) -> Result<Value, String> {
    match (word(arguments, 1).as_str(), arguments.len()) {
        ("COUNT", 2) => Ok(Value::count(COMMANDS.len() as u64)),
        ("LIST", 2) => Ok(Value::Array(COMMANDS.map(Value::bulk).into())),
        ("DOCS", _) => Ok(Value::Map(Vec::new())),
        (_, 1) | ("INFO", _) => {
            let described = COMMANDS.map(|name| {
                let none = Value::Integer(0);
                Value::Array(vec![
                    Value::bulk(name),
                    Value::Integer(-1),
                    Value::Set(Vec::new()),
                    none.clone(),
                    none.clone(),
                    none,
                ])
            });
            Ok(Value::Array(described.into()))
        }
        _ => Err(unknown_subcommand(arguments)),
    }
}

/// What SENTINEL HELP tells: usages, and what they do.
const HELP: [(&str, &str); 10] = [
    (
        "CKQUORUM <name>",
        "Tells whether a failover could be done: a replica is in sync and connected.",
    ),
    ("FAILOVER <name>", "Hands the primary role over."),
    (
        "GET-MASTER-ADDR-BY-NAME <name>",
        "Tells where the primary is.",
    ),
    (
        "IS-MASTER-DOWN-BY-ADDR <ip> <port> <epoch> <runid>",
        "Tells whether that primary is away.",
    ),
    ("MASTER <name>", "Describes the primary."),
    ("MASTERS", "The same, in a list."),
    ("MYID", "Tells the id of this Sentinel."),
    ("REPLICAS <name>", "Describes the other nodes."),
    (
        "SENTINELS <name>",
        "Lists the other addresses of this Sentinel.",
    ),
    ("HELP", "Prints this help."),
];

fn help() -> Value {
    let first = "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    let lines = HELP.iter().flat_map(|(usage, text)| {
        [
            Value::Status((*usage).into()),
            Value::Status(format!("    {text}").into()),
        ]
    });
    let first = std::iter::once(Value::Status(first.into()));
    Value::Array(first.chain(lines).collect())
}

fn sentinel(settings: &Settings, arguments: &[Bytes]) -> Result<Plan, String> {
    let names_ours = arguments
        .get(2)
        .is_some_and(|name| *name == settings.master_name.as_bytes());
    let question = match (word(arguments, 1).as_str(), arguments.len()) {
        ("MASTERS" | "PRIMARIES", 2) => Question::Masters,
        ("HELP", 2) => return Ok(Plan::Answer(vec![help()])),
        ("MYID", 2) => return Ok(Plan::Answer(vec![Value::bulk(settings.id())])),
        ("GET-MASTER-ADDR-BY-NAME" | "GET-PRIMARY-ADDR-BY-NAME", 3) if names_ours => {
            Question::Address
        }
        ("GET-MASTER-ADDR-BY-NAME" | "GET-PRIMARY-ADDR-BY-NAME", 3) => {
            return Ok(Plan::Answer(vec![Value::NullArray]));
        }
        ("IS-MASTER-DOWN-BY-ADDR" | "IS-PRIMARY-DOWN-BY-ADDR", 6) => {
            Question::IsDown(arguments[2].clone(), arguments[3].clone())
        }
        (
            "MASTER" | "PRIMARY" | "REPLICAS" | "SLAVES" | "SENTINELS" | "CKQUORUM" | "FAILOVER",
            3,
        ) if !names_ours => return Err("ERR No such master with that name".into()),
        ("MASTER" | "PRIMARY", 3) => Question::Master,
        ("REPLICAS" | "SLAVES", 3) => Question::Replicas,
        ("SENTINELS", 3) => Question::Sentinels,
        ("CKQUORUM", 3) => Question::Quorum,
        ("FAILOVER", 3) => return Ok(Plan::Failover),
        ("MONITOR" | "REMOVE" | "SET" | "RESET" | "CONFIG", _) => {
            return Err("ERR the coordinator has its settings from its command line".into());
        }
        (
            known @ ("MASTERS"
            | "MYID"
            | "MASTER"
            | "REPLICAS"
            | "SLAVES"
            | "SENTINELS"
            | "CKQUORUM"
            | "FAILOVER"
            | "GET-MASTER-ADDR-BY-NAME"
            | "IS-MASTER-DOWN-BY-ADDR"),
            _,
        ) => return Err(arity(&format!("sentinel|{known}"))),
        _ => return Err(unknown_subcommand(arguments)),
    };
    Ok(Plan::Ask(question))
}

fn spoken(messages: Result<Vec<Value>, kv_resp::SubscriptionError>) -> Result<Plan, String> {
    let messages = messages.map_err(|error| format!("ERR {error}"))?;
    Ok(Plan::Answer(messages))
}

fn word(arguments: &[Bytes], index: usize) -> String {
    let word = arguments.get(index).map_or(&[][..], |word| &word[..]);
    String::from_utf8_lossy(&word[..word.len().min(SHOWN_BYTES)]).to_ascii_uppercase()
}

fn arity(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    format!("ERR wrong number of arguments for '{name}' command")
}

/// The subcommand as it was given.
fn unknown_subcommand(arguments: &[Bytes]) -> String {
    let given = arguments.get(1).map_or(&[][..], |given| &given[..]);
    let given = String::from_utf8_lossy(&given[..given.len().min(SHOWN_BYTES)]);
    let command = word(arguments, 0);
    format!("ERR unknown subcommand '{given}'. Try {command} HELP.")
}

fn unknown(arguments: &[Bytes]) -> String {
    kv_resp::unknown_command(arguments)
}

#[cfg(test)]
mod tests;
