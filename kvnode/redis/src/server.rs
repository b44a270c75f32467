//! Commands on the node.

use kv_resp::Value;

use crate::call::Call;
use crate::fault::Fault;
use crate::plan::{Plan, Task};

pub(crate) fn time(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let micros = call.host.now_micros();
    Ok(Plan::Answer(Value::Array(vec![
        Value::bulk((micros / 1_000_000).to_string()),
        Value::bulk((micros % 1_000_000).to_string()),
    ])))
}

pub(crate) fn last_save(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let at_ms = call.host.facts().saved_at.0;
    Ok(Plan::Answer(Value::count(at_ms / 1000)))
}

pub(crate) fn save(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Start(Task::Save))
}

pub(crate) fn save_in_background(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match (call.word(1).as_str(), call.count()) {
        (_, 1) | ("SCHEDULE", 2) => Ok(Plan::Start(Task::SaveInBackground)),
        _ => Err(Fault::SYNTAX),
    }
}

pub(crate) fn failover(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Err(Fault::text(
        "ERR the coordinator decides which node is primary; send it SENTINEL FAILOVER instead",
    ))
}

pub(crate) fn replica_of(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Err(Fault::text(
        "ERR the coordinator decides which node is primary; ask it for a failover instead",
    ))
}
