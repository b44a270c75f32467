//! Commands on the role of the node and on its end.

use kv_common::id::Address;
use kv_resp::integer;

use crate::call::Call;
use crate::fault::Fault;
use crate::host::Role;
use crate::info::host_and_port;
use crate::plan::{Plan, Task};

/// What FAILOVER says.
#[derive(Default)]
struct Wanted {
    to: Option<(String, u16)>,
    timeout_ms: Option<u64>,
    is_forced: bool,
    is_abort: bool,
}

impl Wanted {
    fn read(call: &Call<'_>) -> Result<Self, Fault> {
        let mut wanted = Self::default();
        let mut at = 1;
        while at < call.count() {
            let left = call.count() - at - 1;
            at += match call.word(at).as_str() {
                "TIMEOUT" if left >= 1 && wanted.timeout_ms.is_none() => {
                    let positive = u64::try_from(call.integer(at + 1)?).ok();
                    let timeout_ms = positive.filter(|ms| *ms > 0);
                    wanted.timeout_ms = Some(
                        timeout_ms
                            .ok_or(Fault::text("ERR FAILOVER timeout must be greater than 0"))?,
                    );
                    2
                }
                "ABORT" if call.count() == 2 => {
                    wanted.is_abort = true;
                    1
                }
                "TO" if left >= 2 && wanted.to.is_none() => {
                    let host = String::from_utf8_lossy(&call.bytes(at + 1)?).into_owned();
                    let port = integer(&call.bytes(at + 2)?).ok_or(Fault::NO_INTEGER)?;
                    wanted.to = Some((host, u16::try_from(port).unwrap_or(0)));
                    3
                }
                "FORCE" if !wanted.is_forced => {
                    wanted.is_forced = true;
                    1
                }
                _ => return Err(Fault::SYNTAX),
            };
        }
        Ok(wanted)
    }
}

/// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]`.
pub(crate) fn failover(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let wanted = Wanted::read(call)?;
    let facts = call.host.facts();
    match (facts.fails_over, wanted.is_abort) {
        (false, false) => {}
        (false, true) => return Err(Fault::text("ERR No failover in progress.")),
        (true, false) => return Err(Fault::text("ERR FAILOVER already in progress.")),
        (true, true) => {
            return Err(Fault::text(
                "ERR the failover is with the coordinator and cannot be aborted; it ends within seconds",
            ));
        }
    }
    if facts.role != Role::Primary {
        return Err(Fault::text(
            "ERR FAILOVER is not valid when server is a replica.",
        ));
    }
    if facts.replicas.is_empty() {
        return Err(Fault::text("ERR FAILOVER requires connected replicas."));
    }
    if wanted.is_forced {
        return Err(Fault::text(
            "ERR FAILOVER with FORCE is never done: a node that lacks acknowledged writes does not become \
             primary",
        ));
    }
    let to: Option<Address> = match &wanted.to {
        None => None,
        Some((host, port)) => {
            let is_meant = |address| host_and_port(address) == (host.as_str(), *port);
            let replica = facts
                .replicas
                .iter()
                .find(|replica| is_meant(&replica.address))
                .ok_or(Fault::text(
                    "ERR FAILOVER target HOST and PORT is not a replica.",
                ))?;
            if !replica.in_sync {
                return Err(Fault::text("ERR FAILOVER target replica is not online."));
            }
            Some(replica.address.clone())
        }
    };
    Ok(Plan::Start(Task::FailOver {
        to,
        timeout_ms: wanted.timeout_ms,
    }))
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]`. What is acknowledged is on the disk already, so that
/// NOSAVE leaves out `db.txt` alone; a primary always hands over, so that NOW and FORCE change nothing.
pub(crate) fn shutdown(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let (mut saves, mut saves_not, mut aborts, mut others) = (false, false, false, false);
    for at in 1..call.count() {
        match call.word(at).as_str() {
            "SAVE" => saves = true,
            "NOSAVE" => saves_not = true,
            "ABORT" => aborts = true,
            "NOW" | "FORCE" => others = true,
            _ => return Err(Fault::SYNTAX),
        }
    }
    if (saves && saves_not) || (aborts && (saves || saves_not || others)) {
        return Err(Fault::SYNTAX);
    }
    match (aborts, call.host.facts().is_leaving) {
        (false, _) => Ok(Plan::Start(Task::Stop { saves: !saves_not })),
        (true, false) => Err(Fault::text("ERR No shutdown in progress.")),
        (true, true) => Err(Fault::text(
            "ERR the node hands its role over and stops; that cannot be aborted",
        )),
    }
}

pub(crate) fn replica_of(_: &mut Call<'_>) -> Result<Plan, Fault> {
    Err(Fault::text(
        "ERR the coordinator decides which node is primary; ask for a FAILOVER instead",
    ))
}
