//! Publish and subscribe, among the clients of one node.

use bytes::Bytes;
use kv_common::glob::Glob;
use kv_common::limits::KEY_MAX_BYTES;
use kv_resp::{SubscriptionError, Value};

use crate::action::Action;
use crate::call::Call;
use crate::fault::Fault;
use crate::help::help;
use crate::plan::Plan;

pub(crate) fn subscribe(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let channels = call.rest(1);
    spoken(call.state.subscriptions.subscribe(&channels))
}

pub(crate) fn subscribe_patterns(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let patterns = call.rest(1);
    spoken(call.state.subscriptions.subscribe_patterns(&patterns))
}

pub(crate) fn unsubscribe(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let channels = call.rest(1);
    Ok(Plan::AnswerAll(
        call.state.subscriptions.unsubscribe(&channels),
    ))
}

pub(crate) fn unsubscribe_patterns(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let patterns = call.rest(1);
    let subscriptions = &mut call.state.subscriptions;
    Ok(Plan::AnswerAll(
        subscriptions.unsubscribe_patterns(&patterns),
    ))
}

fn spoken(messages: Result<Vec<Value>, SubscriptionError>) -> Result<Plan, Fault> {
    messages
        .map(Plan::AnswerAll)
        .map_err(|error| Fault::with(format!("ERR {error}")))
}

/// The longest name of a channel: that of the notifications about the longest key is as long.
const CHANNEL_MAX_BYTES: usize = KEY_MAX_BYTES + 64;

pub(crate) fn publish(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if call.bytes(1)?.len() > CHANNEL_MAX_BYTES {
        return Err(Fault::with(format!(
            "ERR the name of a channel has at most {CHANNEL_MAX_BYTES} bytes"
        )));
    }
    Ok(Plan::Act(Action::Publish {
        channel: call.bytes(1)?,
        payload: call.bytes(2)?,
    }))
}

const HELP: &[(&str, &str)] = &[
    (
        "CHANNELS [<pattern>]",
        "Lists the channels that clients listen to, all or those that match.",
    ),
    ("NUMPAT", "Counts the patterns that clients listen to."),
    (
        "NUMSUB [<channel> ...]",
        "Tells how many clients listen to each of the channels.",
    ),
];

/// `PUBSUB CHANNELS [pattern]`, `PUBSUB NUMSUB channel…`, `PUBSUB NUMPAT`.
pub(crate) fn pubsub(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if let Some(plan) = help(call, HELP) {
        return Ok(plan);
    }
    let mut heard = call.host.heard();
    for channel in call.state.subscriptions.channels() {
        *heard.channels.entry(channel.clone()).or_insert(0) += 1;
    }
    let own_patterns = call.state.subscriptions.patterns();
    heard.patterns.extend(own_patterns.cloned());
    let value = match (call.word(1).as_str(), call.count()) {
        ("CHANNELS", 2 | 3) => {
            let pattern = if call.count() == 3 {
                call.bytes(2)?
            } else {
                Bytes::from_static(b"*")
            };
            let glob =
                Glob::parse(&pattern).map_err(|refusal| Fault::with(format!("ERR {refusal}")))?;
            let channels = heard.channels.into_keys();
            let matching = channels.filter(|channel| glob.matches(channel, &mut 0));
            Value::Array(matching.map(Value::Bulk).collect())
        }
        ("NUMSUB", _) => {
            let count = |channel: Bytes| {
                let count = heard.channels.get(&channel).copied().unwrap_or(0);
                [Value::Bulk(channel), Value::count(count)]
            };
            Value::Array(call.rest(2).into_iter().flat_map(count).collect())
        }
        ("NUMPAT", 2) => Value::count(heard.patterns.len() as u64),
        _ => return Err(Fault::wrong_subcommand("pubsub", &call.bytes(1)?)),
    };
    Ok(Plan::Answer(value))
}
