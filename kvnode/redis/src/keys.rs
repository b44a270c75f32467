//! Commands on keys, whatever their values.

use kv_common::command::Command;
use kv_resp::{Value, unsigned};

use crate::call::Call;
use crate::fault::Fault;
use crate::help::help;
use crate::plan::Plan;
use crate::shape::Shape;

/// Keys that SCAN looks at when it is not told how many.
const SCAN_COUNT: u32 = 10;

pub(crate) fn delete(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let keys = call.rest(1);
    Ok(Plan::Ask(Command::Delete { keys }, Shape::Plain))
}

pub(crate) fn exists(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let keys = call.rest(1);
    Ok(Plan::Ask(Command::Exists { keys }, Shape::Plain))
}

pub(crate) fn kind(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let keys = vec![call.bytes(1)?];
    Ok(Plan::Ask(Command::Exists { keys }, Shape::Type))
}

pub(crate) fn rename(call: &mut Call<'_>) -> Result<Plan, Fault> {
    move_key(call, true, Shape::Renamed)
}

pub(crate) fn rename_if_absent(call: &mut Call<'_>) -> Result<Plan, Fault> {
    move_key(call, false, Shape::RenamedIfAbsent)
}

fn move_key(call: &Call<'_>, replaces: bool, shape: Shape) -> Result<Plan, Fault> {
    let command = Command::Copy {
        from: call.bytes(1)?,
        to: call.bytes(2)?,
        replaces,
        moves: true,
    };
    Ok(Plan::Ask(command, shape))
}

pub(crate) fn copy(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let (mut replaces, mut at) = (false, 3);
    while at < call.count() {
        match call.word(at).as_str() {
            "REPLACE" => replaces = true,
            "DB" if at + 1 < call.count() => {
                at += 1;
                if call.integer(at)? != 0 {
                    return Err(Fault::text("ERR DB index is out of range"));
                }
            }
            _ => return Err(Fault::SYNTAX),
        }
        at += 1;
    }
    let (from, to) = (call.bytes(1)?, call.bytes(2)?);
    if from == to {
        return Err(Fault::text(
            "ERR source and destination objects are the same",
        ));
    }
    let command = Command::Copy {
        from,
        to,
        replaces,
        moves: false,
    };
    Ok(Plan::Ask(command, Shape::Copied))
}

pub(crate) fn random(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let cursor = call.host.random();
    Ok(Plan::Ask(Command::AnyKey { cursor }, Shape::Plain))
}

pub(crate) fn keys(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let pattern = call.bytes(1)?;
    Ok(Plan::Ask(Command::Keys { pattern }, Shape::PageKeys))
}

pub(crate) fn scan(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let cursor = unsigned(&call.bytes(1)?).ok_or(Fault::text("ERR invalid cursor"))?;
    let (mut limit, mut pattern, mut shape) = (SCAN_COUNT, None, Shape::Page);
    for at in (2..call.count()).step_by(2) {
        if at + 1 == call.count() {
            return Err(Fault::SYNTAX);
        }
        match call.word(at).as_str() {
            "COUNT" => {
                limit = match call.integer(at + 1)? {
                    ..1 => return Err(Fault::SYNTAX),
                    count => u32::try_from(count).unwrap_or(u32::MAX),
                }
            }
            "MATCH" => pattern = Some(call.bytes(at + 1)?),
            "TYPE" if !call.is_word(at + 1, "string") => shape = Shape::EmptyPage,
            "TYPE" => {}
            _ => return Err(Fault::SYNTAX),
        }
    }
    let command = Command::Scan {
        cursor,
        limit,
        pattern,
    };
    Ok(Plan::Ask(command, shape))
}

pub(crate) fn size(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Ask(Command::CountKeys, Shape::Plain))
}

pub(crate) fn flush(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match (call.word(1).as_str(), call.count()) {
        (_, 1) | ("ASYNC" | "SYNC", 2) => Ok(Plan::Ask(Command::Clear, Shape::Plain)),
        _ => Err(Fault::SYNTAX),
    }
}

const OBJECT_HELP: &[(&str, &str)] = &[
    ("ENCODING <key>", "Tells how Redis would keep the value."),
    (
        "FREQ <key>",
        "Refused: how often keys are used is not tracked.",
    ),
    (
        "IDLETIME <key>",
        "Tells 0: when keys are used is not tracked.",
    ),
    ("REFCOUNT <key>", "Tells 1."),
];

/// What Redis answers where keys are not evicted by how often they are used.
const NO_FREQUENCIES: Value = Value::Error(std::borrow::Cow::Borrowed(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
     switching between policies at runtime LRU and LFU data will take some time to adjust.",
));

pub(crate) fn object(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, OBJECT_HELP) {
        return Ok(plan);
    }
    let key = call.bytes(2)?;
    let if_there = match call.word(1).as_str() {
        "ENCODING" => return Ok(Plan::Ask(Command::Get { key }, Shape::Encoding)),
        "REFCOUNT" => Value::Integer(1),
        "FREQ" => NO_FREQUENCIES,
        "IDLETIME" => Value::Integer(0),
        _ => return Err(Fault::wrong_subcommand("object", &call.bytes(1)?)),
    };
    let keys = vec![key];
    Ok(Plan::Ask(
        Command::Exists { keys },
        Shape::IfThere(if_there),
    ))
}

const MEMORY_HELP: &[(&str, &str)] = &[(
    "USAGE <key> [SAMPLES <count>]",
    "Tells about how many bytes key and value take.",
)];

pub(crate) fn memory(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, MEMORY_HELP) {
        return Ok(plan);
    }
    for at in (3..call.count()).step_by(2) {
        // There are no samples to be taken.
        if !call.is_word(at, "samples") || at + 1 == call.count() || call.integer(at + 1)? < 0 {
            return Err(Fault::SYNTAX);
        }
    }
    let key = call.bytes(2)?;
    let key_bytes = key.len();
    Ok(Plan::Ask(Command::Get { key }, Shape::Memory { key_bytes }))
}
