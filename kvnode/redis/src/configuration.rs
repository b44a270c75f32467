//! CONFIG: the settings that clients and tools ask for, under the names that Redis gives them.

use bytes::Bytes;
use kv_common::glob::Glob;
use kv_common::limits::VALUE_MAX_BYTES;
use kv_resp::Value;

use crate::call::Call;
use crate::fault::{Fault, shown};
use crate::host::NodeFacts;
use crate::plan::Plan;

fn settings(facts: &NodeFacts) -> Vec<(&'static str, String)> {
    let fsync = if facts.flushes_always {
        "always"
    } else {
        "everysec"
    };
    vec![
        ("appendfsync", fsync.to_owned()),
        ("appendonly", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", facts.port.to_string()),
        ("proto-max-bulk-len", VALUE_MAX_BYTES.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ]
}

pub(crate) fn config(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match (call.word(1).as_str(), call.count()) {
        ("GET", 3..) => get(call),
        ("SET", 4..) => Err(set(call)?),
        ("GET" | "SET", _) => {
            let name = format!("config|{}", call.word(1).to_ascii_lowercase());
            Err(Fault::arity(&name))
        }
        _ => Err(Fault::unknown_subcommand("config", &call.bytes(1)?)),
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
    let shown = settings(&facts)
        .into_iter()
        .filter(|(name, _)| {
            let name = name.as_bytes();
            patterns.iter().any(|glob| glob.matches(name, &mut 0))
        })
        .map(|(name, value)| (Value::bulk(name), Value::Bulk(Bytes::from(value))));
    Ok(Plan::Answer(Value::Map(shown.collect())))
}

/// Settings are given at the start and stay.
fn set(call: &Call<'_>) -> Result<Fault, Fault> {
    let name = shown(&call.bytes(2)?);
    let facts = call.host.facts();
    let is_known = settings(&facts)
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(&name));
    Ok(Fault::with(if is_known {
        format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable \
             config"
        )
    } else {
        format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
    }))
}
