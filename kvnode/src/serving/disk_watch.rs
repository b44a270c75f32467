//! A disk that failed, watched until it works again.
//!
//! What this run holds of the disk it no longer trusts: nobody knows which of its last writes are
//! there. So the run goes on without a role, tells everybody why, and ends when the disk takes
//! writes again. The program then starts anew and reads what is really there, as after a crash.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use kv_common::message::control::DiskTrouble;
use kvnode_storage::DataDir;
use tokio::time::sleep;

use super::Serving;

/// Between two trials of a disk that is full or read-only: somebody is about to see to it.
const TRIAL_PAUSE: Duration = Duration::from_secs(1);
/// The same of one that failed for no reason that a trial could see: it may well fail again.
const FAILING_TRIAL_PAUSE: Duration = Duration::from_secs(15);

/// Ends the run when the disk works again.
pub(super) fn spawn(serving: &Weak<Serving>, dir: &Arc<DataDir>, trouble: DiskTrouble) {
    if let Some(serving) = serving.upgrade() {
        tokio::task::spawn_local(watch(serving, Arc::clone(dir), trouble));
    }
}

async fn watch(serving: Rc<Serving>, dir: Arc<DataDir>, trouble: DiskTrouble) {
    let pause = match trouble {
        DiskTrouble::Full | DiskTrouble::ReadOnly => TRIAL_PAUSE,
        DiskTrouble::Failing => FAILING_TRIAL_PAUSE,
    };
    loop {
        sleep(pause).await;
        let dir = Arc::clone(&dir);
        match tokio::task::spawn_blocking(move || dir.try_disk()).await {
            Ok(Ok(())) => return serving.disk_works_again(),
            Ok(Err(error)) => tracing::debug!(%error, "the disk does not work yet"),
            Err(error) => {
                tracing::error!(%error, "the disk is not tried any more");
                return;
            }
        }
    }
}
