//! Commands on what there is nothing of here: functions, samples of latency. Tools ask for it, and take
//! these answers for a server on which it is not used.

use kv_resp::Value;

use crate::call::Call;
use crate::fault::{Fault, shown};
use crate::help::help;
use crate::plan::Plan;

const FUNCTION_HELP: &[(&str, &str)] = &[
    (
        "FLUSH [ASYNC|SYNC]",
        "Does nothing: there are no functions here.",
    ),
    (
        "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
        "Lists nothing: there are no functions here.",
    ),
];

pub(crate) fn function(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, FUNCTION_HELP) {
        return Ok(plan);
    }
    match (call.word(1).as_str(), call.count()) {
        ("FLUSH", 2) => Ok(Plan::Answer(Value::OK)),
        ("FLUSH", 3) if call.is_word(2, "sync") || call.is_word(2, "async") => {
            Ok(Plan::Answer(Value::OK))
        }
        ("FLUSH", 3) => Err(Fault::text(
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        )),
        ("LIST", _) => {
            check_list_options(call)?;
            Ok(Plan::Answer(Value::Array(Vec::new())))
        }
        _ => Err(Fault::wrong_subcommand("function", &call.bytes(1)?)),
    }
}

fn check_list_options(call: &Call<'_>) -> Result<(), Fault> {
    let mut at = 2;
    while at < call.count() {
        at += match call.word(at).as_str() {
            "WITHCODE" => 1,
            "LIBRARYNAME" if at + 1 < call.count() => 2,
            "LIBRARYNAME" => return Err(Fault::text("ERR library name argument was not given")),
            _ => {
                let option = shown(&call.bytes(at)?);
                return Err(Fault::with(format!("ERR Unknown argument {option}")));
            }
        };
    }
    Ok(())
}

const LATENCY_HELP: &[(&str, &str)] = &[
    (
        "HISTORY <event>",
        "Tells nothing: no samples are taken. The metrics over HTTP have what took how long.",
    ),
    ("LATEST", "Tells nothing, for the same reason."),
    ("RESET [<event> ...]", "Resets nothing; the answer is 0."),
];

pub(crate) fn latency(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, LATENCY_HELP) {
        return Ok(plan);
    }
    match (call.word(1).as_str(), call.count()) {
        ("LATEST", 2) | ("HISTORY", 3) => Ok(Plan::Answer(Value::Array(Vec::new()))),
        ("RESET", _) => Ok(Plan::Answer(Value::Integer(0))),
        _ => Err(Fault::wrong_subcommand("latency", &call.bytes(1)?)),
    }
}
