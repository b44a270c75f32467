//! MULTI, EXEC and WATCH: commands that are queued, and what is watched meanwhile.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_common::command::Command;
use kv_common::limits::COMMAND_MAX_BYTES;
use kv_resp::Value;

use crate::action::Action;
use crate::call::Call;
use crate::fault::Fault;
use crate::plan::Plan;
use crate::shape::{Piece, Shape};
use crate::table::Spec;

/// What queued commands may come to, with 64 bytes for each argument.
pub(crate) const QUEUE_MAX_BYTES: usize = 64 << 20;
const ARGUMENT_OVERHEAD_BYTES: usize = 64;
/// Keys that a connection may watch.
const WATCHED_MAX: usize = 1024;
/// What the answers of a transaction that need no key may come to: a short request, such as COMMAND, may have
/// a long one.
const ANSWERED_MAX_BYTES: usize = COMMAND_MAX_BYTES;
/// How often a transaction may compare values with LCS, each of which may take some ten milliseconds.
const COMPARISONS_MAX: usize = 32;

/// Commands between MULTI and EXEC.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    requests: Vec<(&'static Spec, Vec<Bytes>)>,
    bytes: usize,
    /// A request could not be queued, so none is executed.
    is_spoilt: bool,
}

impl Queue {
    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Requests in it.
    pub(crate) fn length(&self) -> usize {
        self.requests.len()
    }

    /// A request could not be queued.
    pub(crate) fn spoil(&mut self) {
        self.is_spoilt = true;
    }

    pub(crate) fn push(&mut self, spec: &'static Spec, arguments: &[Bytes]) -> Result<Plan, Fault> {
        self.bytes += arguments
            .iter()
            .map(|argument| argument.len() + ARGUMENT_OVERHEAD_BYTES)
            .sum::<usize>();
        if self.bytes > QUEUE_MAX_BYTES {
            self.is_spoilt = true;
            self.requests = Vec::new();
            return Err(Fault::text("ERR the transaction is too large"));
        }
        if !self.is_spoilt {
            self.requests.push((spec, arguments.to_vec()));
        }
        Ok(Plan::Answer(Value::Status("QUEUED".into())))
    }
}

pub(crate) fn multi(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if call.state.queue.is_some() {
        return Err(Fault::text("ERR MULTI calls can not be nested"));
    }
    call.state.queue = Some(Queue::default());
    Ok(Plan::Answer(Value::OK))
}

pub(crate) fn discard(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if call.state.queue.take().is_none() {
        return Err(Fault::text("ERR DISCARD without MULTI"));
    }
    call.state.take_guards();
    Ok(Plan::Answer(Value::OK))
}

pub(crate) fn watch(call: &mut Call<'_>) -> Result<Plan, Fault> {
    if call.state.queue.is_some() {
        return Err(Fault::text("ERR WATCH inside MULTI is not allowed"));
    }
    let mut seen: BTreeSet<&Bytes> = call.state.guards.iter().map(|guard| &guard.key).collect();
    // What is watched is watched since the first time, and a long value takes its time to be looked at.
    let named = call.arguments.iter().skip(1);
    let keys: Vec<Bytes> = named.filter(|key| seen.insert(*key)).cloned().collect();
    if call.state.guards.len() + keys.len() > WATCHED_MAX {
        return Err(Fault::text("ERR too many keys are watched"));
    }
    Ok(Plan::Ask(
        Command::Fingerprints { keys: keys.clone() },
        Shape::Watch(keys),
    ))
}

pub(crate) fn unwatch(call: &mut Call<'_>) -> Result<Plan, Fault> {
    call.state.take_guards();
    Ok(Plan::Answer(Value::OK))
}

/// The queued commands as one command of the core. Those that need no key are answered here and now,
/// each in its place.
pub(crate) fn exec(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let Some(queue) = call.state.queue.take() else {
        return Err(Fault::text("ERR EXEC without MULTI"));
    };
    let guards = call.state.take_guards();
    if queue.is_spoilt {
        return Err(Fault::text(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let (mut pieces, mut commands) = (Vec::new(), Vec::new());
    let (mut answered_bytes, mut comparisons) = (0, 0);
    let mut settings = call.settings.clone();
    for (spec, arguments) in queue.requests {
        let plan = (spec.run)(&mut Call {
            spec,
            arguments: &arguments,
            state: call.state,
            host: call.host,
            settings: &settings,
        });
        if let Ok(Plan::Act(Action::Configure(changes))) = &plan {
            changes.iter().for_each(|change| settings.change(*change));
        }
        let piece = piece(plan, &mut commands);
        answered_bytes += piece.weight_bytes();
        if matches!(&piece, Piece::Asked { shape, .. } if matches!(shape, Shape::LongestCommon(_)))
        {
            comparisons += 1;
        }
        if comparisons > COMPARISONS_MAX {
            return Err(Fault::text("ERR it has LCS too often").ends_transaction());
        }
        if answered_bytes > ANSWERED_MAX_BYTES {
            return Err(Fault::text("ERR the answers are too large").ends_transaction());
        }
        pieces.push(piece);
    }
    if commands.is_empty() && guards.is_empty() {
        return Ok(Plan::Transact(pieces));
    }
    let transaction = Command::Transaction { guards, commands };
    Ok(Plan::Ask(transaction, Shape::Transaction(pieces)))
}

/// What becomes of a queued command. What the core is asked goes to `commands`.
fn piece(plan: Result<Plan, Fault>, commands: &mut Vec<Command>) -> Piece {
    match plan {
        Ok(Plan::Answer(value) | Plan::Close(value)) => Piece::Answered(value),
        // When the transaction is done, nothing is left to be waited for.
        Ok(Plan::Ask(_, Shape::Copies { on_disk })) => Piece::Act(Action::CountCopies { on_disk }),
        Ok(Plan::Ask(command, shape)) => {
            let writes = command.is_write();
            commands.push(command);
            Piece::Asked { shape, writes }
        }
        Ok(Plan::Act(Action::SaveInBackground { .. })) => Piece::Act(Action::SaveInBackground {
            in_transaction: true,
        }),
        Ok(Plan::Act(action)) => Piece::Act(action),
        Ok(Plan::Start(_) | Plan::AnswerAll(_) | Plan::Transact(_)) => {
            Piece::Answered(Value::error("ERR Command not allowed inside a transaction"))
        }
        Err(fault) => Piece::Answered(fault.into()),
    }
}
