//! What a replica does, in lines that people read.

use bytes::Bytes;
use kv_common::batch::Batch;
use kv_common::command::Reply;
use kv_common::history::History;
use kv_common::id::{NodeId, Seq};
use kv_common::key_event::KeyEvent;
use kv_common::message::control::{HeldRole, NodeReport, NodeToCoordinator};
use kv_common::message::replication::{FollowerToPrimary, PrimaryStamp, PrimaryToFollower};
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kv_common::view::{PrimarySeat, View};
use kvnode_core::promise::Promises;

/// The clock at the beginning of a scenario.
pub(crate) const BEGIN: Monotonic = Monotonic(1_000_000_000);

/// A reading of the clock, as time since the beginning.
pub(crate) fn time(at: Monotonic) -> String {
    format!("{} ms", at.since(BEGIN).as_millis())
}

pub(crate) fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
    format!("[{}]", names.join(","))
}

fn seat(seat: PrimarySeat) -> String {
    format!("{} run {}", seat.node.0, seat.incarnation)
}

pub(crate) fn view(view: &View) -> String {
    let released = view.release.map_or_else(String::new, |release| {
        let by = seat(release.seat);
        format!(", epoch {} released by {by}", release.epoch)
    });
    format!(
        "epoch {}, primary {}, backups {}{released}",
        view.epoch,
        seat(view.primary),
        list(&view.backups)
    )
}

/// Entries of one epoch: `3.6-8`.
pub(crate) fn batch(batch: &Batch) -> String {
    let (first, last) = (batch.first(), batch.last());
    if first == last {
        format!("{}.{first}", batch.epoch())
    } else {
        format!("{}.{first}-{last}", batch.epoch())
    }
}

fn history(history: &History) -> String {
    let mut runs: Vec<String> = Vec::new();
    let (mut first, last) = (Seq(1), history.last().seq);
    while first <= last {
        let epoch = history.position_of(first).epoch;
        let mut end = first;
        while end < last && history.position_of(end.next()).epoch == epoch {
            end = end.next();
        }
        runs.push(if first == end {
            format!("{epoch}:{first}")
        } else {
            format!("{epoch}:{first}-{end}")
        });
        first = end.next();
    }
    if runs.is_empty() {
        "no entries".to_owned()
    } else {
        format!("entries {}", runs.join(","))
    }
}

pub(crate) fn promises(promises: &Promises) -> String {
    let adopted = promises.view.as_ref();
    let mut line = adopted.map_or_else(|| "no view".to_owned(), view);
    if promises.seal > promises.view_epoch() {
        line.push_str(&format!("; sealed at {}", promises.seal));
    }
    if let Some(release) = promises.release {
        line.push_str(&format!("; released epoch {}", release.epoch));
    }
    line
}

pub(crate) fn answer(result: &Result<Reply, Refusal>, lease_until: Option<Monotonic>) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut line = match result {
        Ok(Reply::Done) => "done".to_owned(),
        Ok(Reply::ConditionFailed) => "its condition does not hold".to_owned(),
        Ok(Reply::Value(None)) => "no such key".to_owned(),
        Ok(Reply::Value(Some(value))) if value.len() > 100 => format!("{} bytes", value.len()),
        Ok(Reply::Value(Some(value))) => format!("'{}'", text(value)),
        Ok(Reply::Count(count)) => format!("{count} keys"),
        Ok(Reply::Integer(number)) => format!("the number {number}"),
        Ok(Reply::SessionOpened(session)) => format!("session {session} is open"),
        Ok(Reply::Marked(at)) => format!("marked at {at}"),
        Ok(other) => format!("{other:?}"),
        Err(why) => format!("refused: {why}"),
    };
    if let Some(until) = lease_until {
        line.push_str(&format!(" (if it goes before {})", time(until)));
    }
    line
}

fn marks(stamp: &PrimaryStamp) -> String {
    format!("committed {}, assured {}", stamp.committed, stamp.assured)
}

pub(crate) fn to_follower(message: &PrimaryToFollower) -> String {
    match message {
        PrimaryToFollower::Match {
            stamp,
            view: named,
            history: ours,
            log_from,
        } => format!(
            "match {}; {} from {log_from} on, {}",
            view(named),
            history(ours),
            marks(stamp)
        ),
        PrimaryToFollower::Append { stamp, batch: sent } => {
            let sent = Batch::parse(sent.clone()).expect("a batch of ours is read");
            format!(
                "append {} in epoch {}, {}",
                batch(&sent),
                stamp.epoch,
                marks(stamp)
            )
        }
        PrimaryToFollower::Beat { stamp } => {
            format!("beat in epoch {}, {}", stamp.epoch, marks(stamp))
        }
        PrimaryToFollower::AppendPiece { .. } => "a piece of a batch".to_owned(),
    }
}

pub(crate) fn to_primary(message: &FollowerToPrimary) -> String {
    match message {
        FollowerToPrimary::Matched {
            epoch,
            answers,
            common,
            held,
        } => format!(
            "matched in epoch {epoch} at {common}, holds {held} (answers {})",
            time(*answers)
        ),
        FollowerToPrimary::NeedsCopy { epoch, answers } => {
            let answers = time(*answers);
            format!("needs a copy in epoch {epoch} (answers {answers})")
        }
        FollowerToPrimary::Ack {
            epoch,
            answers,
            held,
        } => {
            let answers = time(*answers);
            format!("ack in epoch {epoch}, holds {held} (answers {answers})")
        }
        FollowerToPrimary::Refused { epoch, why } => format!("refused in epoch {epoch}: {why}"),
    }
}

pub(crate) fn to_coordinator(message: &NodeToCoordinator) -> String {
    match message {
        NodeToCoordinator::Sealed(answer) => {
            let position = answer.position.map_or_else(
                || "no position to offer".to_owned(),
                |at| format!("position {at}"),
            );
            let sick = if answer.healthy { "" } else { ", not healthy" };
            let uncertain = if answer.tail_certain {
                ""
            } else {
                ", its tail may be gone"
            };
            let release = answer.release.map_or_else(String::new, |release| {
                format!(", epoch {} released", release.epoch)
            });
            format!(
                "sealed {}, {position}{sick}{uncertain}{release}",
                answer.epoch
            )
        }
        NodeToCoordinator::Propose(proposal) => format!(
            "propose backups {} in place of epoch {}: {}",
            list(&proposal.backups),
            proposal.replaces,
            proposal.why
        ),
        NodeToCoordinator::HandoverFailed { epoch, why, .. } => {
            format!("epoch {epoch} is not handed over: {why}")
        }
        NodeToCoordinator::Register(_) | NodeToCoordinator::Heartbeat(_) => {
            "a message of the shell's".to_owned()
        }
    }
}

pub(crate) fn report(report: &NodeReport) -> String {
    let role = match report.role {
        HeldRole::None => "no role".to_owned(),
        HeldRole::Follower { epoch } => format!("follower in epoch {epoch}"),
        HeldRole::Copying { epoch } => format!("copying in epoch {epoch}"),
        HeldRole::TakingOver { epoch } => format!("taking over epoch {epoch}"),
        HeldRole::Primary { epoch } => format!("primary of epoch {epoch}"),
    };
    let at = report.positions;
    format!(
        "{role}; view {}, seal {}; appended {}, held {}, committed {}, applied {}, assured {}; {} keys",
        report.view_epoch,
        report.seal,
        at.appended,
        at.held,
        at.committed,
        at.applied,
        at.assured,
        report.keys
    )
}

pub(crate) fn key_events(events: &[KeyEvent]) -> String {
    let told = events.iter().map(|event| {
        let key = String::from_utf8_lossy(&event.key);
        format!("{:?} {key}", event.kind)
    });
    told.collect::<Vec<_>>().join(", ")
}
