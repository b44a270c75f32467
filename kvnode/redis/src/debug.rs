//! DEBUG, which an operator has to allow.

use kv_resp::Value;

use crate::call::Call;
use crate::fault::Fault;
use crate::help::help;
use crate::plan::{Plan, Task};
use crate::server_state::DebugAccess;

/// The longest sleep.
const SLEEP_MAX_S: f64 = 3600.0;

const NOT_ALLOWED: Fault = Fault::text(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
     from a local connection, otherwise you need to set this option in the configuration file, and then \
     restart the server.",
);

const HELP: &[(&str, &str)] = &[(
    "SLEEP <seconds>",
    "Answers after that time. Until then no other request of this connection is looked at.",
)];

pub(crate) fn debug(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let is_allowed = match call.host.server().debug_access {
        DebugAccess::No => false,
        DebugAccess::Local => is_local(&call.state.info.peer),
        DebugAccess::Yes => true,
    };
    if !is_allowed {
        return Err(NOT_ALLOWED);
    }
    if let Some(plan) = help(call, HELP) {
        return Ok(plan);
    }
    match (call.word(1).as_str(), call.count()) {
        ("SLEEP", 3) => sleep(call),
        _ => Err(Fault::wrong_subcommand("debug", &call.bytes(1)?)),
    }
}

fn is_local(peer: &str) -> bool {
    let address = peer.parse::<std::net::SocketAddr>();
    address.is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

fn sleep(call: &Call<'_>) -> Result<Plan, Fault> {
    let seconds = std::str::from_utf8(&call.bytes(2)?)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|seconds| (0.0..=SLEEP_MAX_S).contains(seconds))
        .ok_or(Fault::text("ERR DEBUG SLEEP takes 0 to 3600 seconds"))?;
    if seconds == 0.0 {
        return Ok(Plan::Answer(Value::OK));
    }
    let time = std::time::Duration::from_secs_f64(seconds);
    Ok(Plan::Start(Task::Sleep(time)))
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn local_is_what_does_not_leave_the_machine() {
        for peer in [
            "127.0.0.1:5",
            "127.8.9.1:5",
            "[::1]:5",
            "[::ffff:127.0.0.1]:5",
        ] {
            assert!(is_local(peer), "{peer}");
        }
        for peer in [
            "10.0.0.1:5",
            "[2001:db8::1]:5",
            "unknown:0",
            "127.0.0.1.example:5",
        ] {
            assert!(!is_local(peer), "{peer}");
        }
    }
}
