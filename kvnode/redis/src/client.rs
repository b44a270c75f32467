//! Commands on the connection.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_resp::{AuthError, Password, Protocol, Value, integer};

use crate::action::{Action, Victims};
use crate::call::Call;
use crate::connection::Replies;
use crate::fault::{Fault, shown};
use crate::help::help;
use crate::host::{ClientLine, Role};
use crate::plan::Plan;

/// The longest name of a client, its library or that library's version.
const NAME_MAX_BYTES: usize = 1024;

pub(crate) fn ping(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if call.state.only_listens() && call.count() <= 2 {
        let payload = call.bytes(1).unwrap_or_default();
        let pong = vec![Value::bulk("pong"), Value::Bulk(payload)];
        return Ok(Plan::Answer(Value::Array(pong)));
    }
    match call.count() {
        1 => Ok(Plan::Answer(Value::Status("PONG".into()))),
        2 => Ok(Plan::Answer(Value::Bulk(call.bytes(1)?))),
        _ => Err(Fault::arity(call.name())),
    }
}

pub(crate) fn echo(call: &mut Call<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Value::Bulk(call.bytes(1)?)))
}

pub(crate) fn quit(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Close(Value::OK))
}

pub(crate) fn reset(call: &mut Call<'_>) -> Result<Plan, Fault> {
    call.state.reset();
    Ok(Plan::Answer(Value::Status("RESET".into())))
}

pub(crate) fn select(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match call.integer(1) {
        Ok(0) => Ok(Plan::Answer(Value::OK)),
        Ok(_) => Err(Fault::text("ERR DB index is out of range")),
        Err(_) => Err(Fault::text("ERR value is not an integer or out of range")),
    }
}

/// `AUTH [user] password`.
pub(crate) fn auth(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match call.count() {
        2 => authenticate(call, None, &call.bytes(1)?)?,
        3 => authenticate(call, Some(&call.bytes(1)?), &call.bytes(2)?)?,
        _ => return Err(Fault::SYNTAX),
    }
    call.state.is_authenticated = true;
    Ok(Plan::Answer(Value::OK))
}

fn authenticate(call: &Call<'_>, user: Option<&[u8]>, given: &[u8]) -> Result<(), Fault> {
    let door = call.host.server().password.as_ref();
    Ok(Password::check(door, user, given)?)
}

pub(crate) fn hello(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let mut protocol = call.state.protocol;
    if call.count() > 1 {
        let number = integer(&call.bytes(1)?).ok_or(Fault::text(
            "ERR Protocol version is not an integer or out of range",
        ))?;
        protocol = match number {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Fault::text("NOPROTO unsupported protocol version")),
        };
    }
    let (mut at, mut name, mut is_authenticated) = (2, None, call.state.is_authenticated);
    while at < call.count() {
        let left = call.count() - at - 1;
        match call.word(at).as_str() {
            "AUTH" if left >= 2 => {
                authenticate(call, Some(&call.bytes(at + 1)?), &call.bytes(at + 2)?)?;
                is_authenticated = true;
                at += 3;
            }
            "SETNAME" if left >= 1 => {
                name = Some(call.bytes(at + 1)?);
                at += 2;
            }
            _ => {
                let option = shown(&call.bytes(at)?);
                return Err(Fault::with(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        }
    }
    if !is_authenticated && call.host.server().password.is_some() {
        return Err(AuthError::RequiredByHello.into());
    }
    if let Some(name) = name {
        call.state.name = plain_name(name, "Client names")?;
    }
    call.state.is_authenticated = is_authenticated;
    call.state.protocol = protocol;
    let facts = call.host.facts();
    let role = match facts.role {
        Role::Primary => "master",
        Role::Replica { .. } => "replica",
    };
    let id = Value::count(call.state.info.id);
    let pairs = [
        ("server", Value::bulk("redis")),
        ("version", Value::bulk(crate::info::REDIS_VERSION)),
        ("proto", Value::Integer(protocol.number())),
        ("id", id),
        ("mode", Value::bulk("standalone")),
        ("role", Value::bulk(role)),
        ("modules", Value::Array(Vec::new())),
    ];
    let pairs = pairs.map(|(name, value)| (Value::bulk(name), value));
    Ok(Plan::Answer(Value::Map(pairs.into())))
}

/// A name that breaks no line of CLIENT LIST.
fn plain_name(name: Bytes, what: &str) -> Result<Bytes, Fault> {
    if name.len() > NAME_MAX_BYTES {
        return Err(Fault::with(format!(
            "ERR {what} cannot be longer than {NAME_MAX_BYTES} bytes."
        )));
    }
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(name);
    }
    Err(Fault::with(format!(
        "ERR {what} cannot contain spaces, newlines or special characters."
    )))
}

pub(crate) fn read_replica(call: &mut Call<'_>) -> Result<Plan, Fault> {
    call.state.reads_replica = true;
    Ok(Plan::Answer(Value::OK))
}

pub(crate) fn read_primary(call: &mut Call<'_>) -> Result<Plan, Fault> {
    call.state.reads_replica = false;
    Ok(Plan::Answer(Value::OK))
}

const HELP: &[(&str, &str)] = &[
    ("GETNAME", "Tells the name of this connection."),
    ("GETREDIR", "Tells -1: there is no tracking."),
    ("ID", "Tells the number of this connection."),
    ("INFO", "Describes this connection."),
    ("KILL <ip:port>", "Closes the connection from that address."),
    (
        "KILL [ID <id>] [ADDR <ip:port>] [SKIPME (YES|NO)]",
        "Closes connections.",
    ),
    (
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> ...]",
        "Describes connections.",
    ),
    ("NO-EVICT (ON|OFF)", "Changes nothing."),
    ("NO-TOUCH (ON|OFF)", "Changes nothing."),
    (
        "REPLY (ON|OFF|SKIP)",
        "Turns the replies to this connection on or off, or leaves the next one out.",
    ),
    (
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "Names the library of this connection.",
    ),
    ("SETNAME <name>", "Names this connection."),
];

pub(crate) fn client(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let subcommand = call.word(1);
    if let Some(plan) = help(call, HELP) {
        return Ok(plan);
    }
    if subcommand == "KILL" {
        return kill(call).map(|victims| Plan::Act(Action::Kill(victims)));
    }
    let value = match (subcommand.as_str(), call.count()) {
        ("ID", 2) => Value::count(call.state.info.id),
        ("GETNAME", 2) if call.state.name.is_empty() => Value::Null,
        ("GETNAME", 2) => Value::Bulk(call.state.name.clone()),
        ("SETNAME", 3) => {
            call.state.name = plain_name(call.bytes(2)?, "Client names")?;
            Value::OK
        }
        ("SETINFO", 4) => set_info(call)?,
        ("INFO", 2) => Value::Text(format!("{}\n", call.state.line(call.host.now()).text)),
        ("LIST", _) => list(call)?,
        ("NO-EVICT" | "NO-TOUCH", 3) => match call.word(2).as_str() {
            "ON" | "OFF" => Value::OK,
            _ => return Err(Fault::SYNTAX),
        },
        ("REPLY", 3) => {
            call.state.replies = match call.word(2).as_str() {
                "ON" => Replies::On,
                "OFF" => Replies::Off,
                // It is not answered itself, nor is the next request.
                "SKIP" if call.state.replies == Replies::Off => Replies::Off,
                "SKIP" => Replies::SkipNext,
                _ => return Err(Fault::SYNTAX),
            };
            Value::OK
        }
        ("GETREDIR", 2) => Value::Integer(-1),
        _ => return Err(Fault::wrong_subcommand("client", &call.bytes(1)?)),
    };
    Ok(Plan::Answer(value))
}

/// `CLIENT LIST [TYPE type | ID id…]`. The numbers in the order in which they are asked for, else by
/// age.
fn list(call: &Call<'_>) -> Result<Value, Fault> {
    let mut lines = call.host.clients();
    lines.push(call.state.line(call.host.now()));
    lines.sort_by_key(|line| line.id);
    let lines: Vec<ClientLine> = match (call.word(2).as_str(), call.count()) {
        (_, 2) => lines,
        ("TYPE", 4) => {
            let listens = match call.word(3).as_str() {
                "NORMAL" => Some(false),
                "PUBSUB" => Some(true),
                // Other copies do not come through this door.
                "MASTER" | "REPLICA" | "SLAVE" => None,
                _ => {
                    let kind = shown(&call.bytes(3)?);
                    return Err(Fault::with(format!("ERR Unknown client type '{kind}'")));
                }
            };
            lines.retain(|line| Some(line.listens) == listens);
            lines
        }
        ("ID", 4..) => {
            let mut asked = Vec::with_capacity(call.count() - 3);
            for at in 3..call.count() {
                asked.push(call.unsigned(at, Fault::text("ERR Invalid client ID"))?);
            }
            let place = |id: &u64| lines.binary_search_by_key(id, |line| line.id).ok();
            let found = asked.iter().filter_map(place);
            // Each once, however often it is asked for: the answer is no longer than the list.
            let mut seen = BTreeSet::new();
            let found = found.filter(|place| seen.insert(*place));
            found.map(|place| lines[place].clone()).collect()
        }
        _ => return Err(Fault::SYNTAX),
    };
    let text = lines.iter().map(|line| line.text.clone() + "\n");
    Ok(Value::Text(text.collect()))
}

/// `CLIENT KILL address`, or `CLIENT KILL [ID n] [ADDR address] [SKIPME yes|no]`.
fn kill(call: &Call<'_>) -> Result<Victims, Fault> {
    if call.count() == 3 {
        return Ok(Victims {
            peer: Some(call.bytes(2)?),
            must_exist: true,
            ..Victims::default()
        });
    }
    let mut victims = Victims {
        skips_self: true,
        ..Victims::default()
    };
    let (pairs, left) = call.arguments[2..].as_chunks::<2>();
    if pairs.is_empty() || !left.is_empty() {
        return Err(Fault::SYNTAX);
    }
    for (index, [_, value]) in pairs.iter().enumerate() {
        let at = 2 + 2 * index;
        match (call.word(at).as_str(), call.word(at + 1).as_str()) {
            ("ID", _) => {
                let fault = Fault::text("ERR client-id should be greater than 0");
                victims.id = match call.unsigned(at + 1, fault.clone())? {
                    0 => return Err(fault),
                    id => Some(id),
                };
            }
            ("ADDR", _) => victims.peer = Some(value.clone()),
            ("SKIPME", "YES") => victims.skips_self = true,
            ("SKIPME", "NO") => victims.skips_self = false,
            _ => return Err(Fault::SYNTAX),
        }
    }
    Ok(victims)
}

fn set_info(call: &mut Call<'_>) -> Result<Value, Fault> {
    let value = call.bytes(3)?;
    match call.word(2).as_str() {
        "LIB-NAME" => call.state.library_name = plain_name(value, "lib-name")?,
        "LIB-VER" => call.state.library_version = plain_name(value, "lib-ver")?,
        _ => {
            let option = shown(&call.bytes(2)?);
            return Err(Fault::with(format!("ERR Unrecognized option '{option}'")));
        }
    }
    Ok(Value::OK)
}
