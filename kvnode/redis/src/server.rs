//! Commands on the node.

use kv_common::command::Command;
use kv_resp::{Value, integer};

use crate::action::Action;
use crate::call::Call;
use crate::fault::Fault;
use crate::plan::{Plan, Task};
use crate::shape::Shape;

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

/// `WAIT replicas timeout`. A write is answered when every copy in sync holds it, so there is nothing
/// to wait for but the writes under way.
pub(crate) fn wait(call: &mut Call<'_>) -> Result<Plan, Fault> {
    call.integer(1)?;
    check_timeout(call, 2)?;
    let shape = Shape::Copies { on_disk: false };
    Ok(Plan::Ask(Command::CountKeys, shape))
}

/// `WAITAOF local replicas timeout`.
pub(crate) fn wait_for_disks(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if !matches!(call.integer(1)?, 0 | 1) {
        return Err(Fault::text(
            "ERR value is out of range, value must between 0 and 1",
        ));
    }
    call.unsigned(
        2,
        Fault::text("ERR value is out of range, must be positive"),
    )?;
    check_timeout(call, 3)?;
    let shape = Shape::Copies { on_disk: true };
    Ok(Plan::Ask(Command::CountKeys, shape))
}

fn check_timeout(call: &Call<'_>, index: usize) -> Result<(), Fault> {
    let timeout_ms = integer(&call.bytes(index)?)
        .ok_or(Fault::text("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(Fault::text("ERR timeout is negative"));
    }
    Ok(())
}

pub(crate) fn save(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Start(Task::Save))
}

pub(crate) fn save_in_background(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match (call.word(1).as_str(), call.count()) {
        (_, 1) | ("SCHEDULE", 2) => Ok(Plan::Act(Action::SaveInBackground {
            in_transaction: false,
        })),
        _ => Err(Fault::SYNTAX),
    }
}
