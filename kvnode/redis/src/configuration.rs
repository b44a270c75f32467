//! CONFIG: the settings that clients and tools ask for, under the names that Redis gives them.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_common::glob::Glob;
use kv_common::limits::VALUE_MAX_BYTES;
use kv_resp::Value;

use crate::action::Action;
use crate::call::Call;
use crate::fault::{Fault, shown};
use crate::help::help;
use crate::host::NodeFacts;
use crate::plan::Plan;
use crate::settings::Setting;

/// What the node is started with.
fn fixed(facts: &NodeFacts) -> Vec<(&'static str, String)> {
    let fsync = if facts.flushes_always {
        "always"
    } else {
        "everysec"
    };
    vec![
        ("appendfsync", fsync.to_owned()),
        ("appendonly", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("latency-monitor-threshold", "0".to_owned()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", facts.port.to_string()),
        ("proto-max-bulk-len", VALUE_MAX_BYTES.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ]
}

const HELP: &[(&str, &str)] = &[
    (
        "GET <pattern> [<pattern> ...]",
        "Tells settings whose names match.",
    ),
    (
        "SET <name> <value> [<name> <value> ...]",
        "Changes settings of this node until it stops: notify-keyspace-events, slowlog-log-slower-than, \
         slowlog-max-len.",
    ),
];

pub(crate) fn config(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, HELP) {
        return Ok(plan);
    }
    match (call.word(1).as_str(), call.count()) {
        ("GET", 3..) => get(call),
        ("SET", 4..) => set(call),
        ("REWRITE", 2) => Err(Fault::text(
            "ERR The server is running without a config file",
        )),
        _ => Err(Fault::wrong_subcommand("config", &call.bytes(1)?)),
    }
}

fn get(call: &Call<'_>) -> Result<Plan, Fault> {
    let patterns = call
        .rest(2)
        .iter()
        .map(|pattern| Glob::parse(&pattern.to_ascii_lowercase()))
        .collect::<Result<Vec<Glob>, _>>()
        .map_err(|refusal| Fault::with(format!("ERR {refusal}")))?;
    let facts = call.host.facts();
    let shown = fixed(&facts)
        .into_iter()
        .chain(call.settings.shown())
        .filter(|(name, _)| {
            let name = name.as_bytes();
            patterns.iter().any(|glob| glob.matches(name, &mut 0))
        })
        .map(|(name, value)| (Value::bulk(name), Value::Bulk(Bytes::from(value))));
    Ok(Plan::Answer(Value::Map(shown.collect())))
}

/// All of what is asked for, or nothing of it.
fn set(call: &Call<'_>) -> Result<Plan, Fault> {
    let (pairs, left) = call.arguments[2..].as_chunks::<2>();
    if !left.is_empty() {
        return Err(Fault::SYNTAX);
    }
    let mut names = BTreeSet::new();
    for [name, _] in pairs {
        let name = shown(name).to_ascii_lowercase();
        check_changeable(call, &name)?;
        if names.contains(&name) {
            return Err(failed(&name, "duplicate parameter"));
        }
        names.insert(name);
    }
    let mut read = Vec::with_capacity(pairs.len());
    for [name, value] in pairs {
        let name = shown(name).to_ascii_lowercase();
        if let Some(setting) = Setting::read(&name, value) {
            read.push(setting.map_err(|why| failed(&name, &why))?);
        }
    }
    Ok(Plan::Act(Action::Configure(read)))
}

fn check_changeable(call: &Call<'_>, name: &str) -> Result<(), Fault> {
    if Setting::is_one(name) {
        return Ok(());
    }
    let is_known = fixed(&call.host.facts())
        .iter()
        .any(|(known, _)| *known == name);
    if is_known {
        return Err(failed(name, "can't set immutable config"));
    }
    Err(Fault::with(format!(
        "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
    )))
}

fn failed(name: &str, why: &str) -> Fault {
    Fault::with(format!(
        "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
    ))
}
