//! HELP, which each command with subcommands has.

use kv_resp::Value;

use crate::call::Call;
use crate::plan::Plan;

/// The answer to HELP, from usages and what they do; none: something else is asked.
pub(crate) fn help(call: &Call<'_>, lines: &[(&'static str, &'static str)]) -> Option<Plan> {
    if call.count() != 2 || !call.is_word(1, "help") {
        return None;
    }
    let name = call.name().to_ascii_uppercase();
    let first = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let own = [("HELP", "Prints this help.")];
    let told = lines.iter().chain(&own).flat_map(|(usage, text)| {
        [
            Value::Status((*usage).into()),
            Value::Status(format!("    {text}").into()),
        ]
    });
    let lines = std::iter::once(Value::Status(first.into())).chain(told);
    Some(Plan::Answer(Value::Array(lines.collect())))
}
