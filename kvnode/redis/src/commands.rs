//! COMMAND: what the table holds, for clients.

use bytes::Bytes;
use kv_resp::Value;

use crate::call::Call;
use crate::fault::Fault;
use crate::help::help;
use crate::plan::Plan;
use crate::table::{Spec, TABLE, find};

const HELP: &[(&str, &str)] = &[
    ("(no subcommand)", "Describes all commands."),
    ("COUNT", "Counts the commands."),
    ("LIST", "Lists their names."),
    ("INFO [<command> ...]", "Describes commands, or all."),
    ("DOCS [<command> ...]", "Tells what commands do, or all."),
    (
        "GETKEYS <request>",
        "Tells which arguments of a request are keys.",
    ),
];

pub(crate) fn command(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, HELP) {
        return Ok(plan);
    }
    let value = match (call.word(1).as_str(), call.count()) {
        (_, 1) => Value::Array(TABLE.iter().map(describe).collect()),
        ("COUNT", 2) => Value::count(TABLE.len() as u64),
        ("LIST", 2) => Value::Array(TABLE.iter().map(|spec| Value::bulk(spec.name)).collect()),
        ("INFO", 2) => Value::Array(TABLE.iter().map(describe).collect()),
        ("INFO", _) => {
            let named = call.rest(2);
            let described = named
                .iter()
                .map(|name| find(name).map_or(Value::NullArray, describe));
            Value::Array(described.collect())
        }
        ("DOCS", 2) => Value::Map(TABLE.iter().map(document).collect()),
        ("DOCS", _) => {
            let named = call.rest(2);
            let named = named.iter().filter_map(|name| find(name));
            Value::Map(named.map(document).collect())
        }
        ("GETKEYS", 3..) => keys_of(&call.arguments[2..])?,
        ("LIST", _) => return Err(Fault::SYNTAX),
        _ => return Err(Fault::wrong_subcommand("command", &call.bytes(1)?)),
    };
    Ok(Plan::Answer(value))
}

fn describe(spec: &Spec) -> Value {
    let flags = spec.flags.names().map(|name| Value::Status(name.into()));
    Value::Array(vec![
        Value::bulk(spec.name),
        Value::Integer(spec.arity),
        Value::Set(flags.collect()),
        Value::Integer(spec.keys.first),
        Value::Integer(spec.keys.last),
        Value::Integer(spec.keys.step),
        Value::Set(Vec::new()),
        Value::Array(Vec::new()),
        Value::Array(Vec::new()),
        Value::Array(Vec::new()),
    ])
}

fn document(spec: &Spec) -> (Value, Value) {
    let parts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group),
    ];
    let parts = parts.map(|(name, text)| (Value::bulk(name), Value::bulk(text)));
    (Value::bulk(spec.name), Value::Map(parts.into()))
}

fn keys_of(request: &[Bytes]) -> Result<Value, Fault> {
    let spec = request
        .first()
        .and_then(|name| find(name))
        .ok_or(Fault::text("ERR Invalid command specified"))?;
    if !spec.takes(request.len()) {
        return Err(Fault::text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let keys = spec.keys;
    let Ok(first @ 1..) = usize::try_from(keys.first) else {
        return Err(Fault::text("ERR The command has no key arguments"));
    };
    let last = match usize::try_from(keys.last) {
        Ok(last) => last,
        Err(_) => request
            .len()
            .saturating_sub(usize::try_from(keys.last.unsigned_abs()).unwrap_or(0)),
    };
    let step = usize::try_from(keys.step).unwrap_or(1).max(1);
    let named = request.iter().take(last + 1).skip(first).step_by(step);
    Ok(Value::Array(named.cloned().map(Value::Bulk).collect()))
}
