//! How the node is, in a line for the operator.

use kv_common::message::control::{CopyProgress, DiskHealth, HeldRole, NodeReport};

/// Bytes of a megabyte.
const MEGABYTE: u64 = 1_000_000;

/// Role, epoch, and how far it is. `members` are those of the view that the node adopted.
pub(super) fn status_line(report: &NodeReport, members: usize, coordinator_up: bool) -> String {
    let role = match report.role {
        HeldRole::Primary { epoch } => format!("primary, epoch {epoch}, {members} copies in sync"),
        HeldRole::TakingOver { epoch } => format!("taking over as primary, epoch {epoch}"),
        HeldRole::Follower { epoch } => format!("backup, epoch {epoch}"),
        HeldRole::Copying { epoch } => {
            let progress = report.copy.map(copied);
            let progress = progress.unwrap_or_else(|| "just begun".to_owned());
            format!("fetching a copy, epoch {epoch}: {progress}")
        }
        HeldRole::None => format!("waiting for a primary, epoch {}", report.view_epoch),
    };
    let (applied, keys) = (report.positions.applied, report.keys);
    let disk = match &report.disk {
        DiskHealth::Works | DiskHealth::Slow { .. } => String::new(),
        DiskHealth::Failed(failure) => {
            format!("; the disk is {}: {}", failure.trouble, failure.cause)
        }
    };
    let unfit = match &report.unfit {
        Some(cause) => format!("; needs a copy: {cause}"),
        None => String::new(),
    };
    let coordinator = if coordinator_up {
        ""
    } else {
        "; the coordinator is away"
    };
    format!("{role}, applied {applied}, {keys} keys{disk}{unfit}{coordinator}")
}

fn copied(progress: CopyProgress) -> String {
    let CopyProgress {
        bytes_done,
        bytes_total,
        ..
    } = progress;
    let percent = (bytes_done * 100).checked_div(bytes_total).unwrap_or(0);
    format!(
        "{} % of {} MB",
        percent.min(100),
        bytes_total.div_ceil(MEGABYTE)
    )
}
