//! Load from `kvclient bench --verify`, in the background: it remembers what was acknowledged and at its
//! end reads every key back.

use std::io::Read;
use std::process::Child;

use serde::Deserialize;

use crate::daemon::KilledOnDrop;
use crate::user::User;
use crate::wait::{PATIENCE, wait_until};

/// What load to make.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Clients that each wait for their answer before they ask again.
    pub clients: u32,
    /// How long, in seconds.
    pub duration_s: u32,
    /// How many of a hundred operations are reads.
    pub reads_percent: u32,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            clients: 4,
            duration_s: 6,
            reads_percent: 20,
        }
    }
}

/// Load that is under way. Killed when the value goes.
#[derive(Debug)]
pub struct Load {
    child: KilledOnDrop,
}

/// What `kvclient bench --verify` says at its end.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadResult {
    /// Operations that were answered.
    pub operations: u64,
    /// Operations that were refused, or that nobody answered in time.
    pub errors: u64,
    /// What the verification found.
    pub verified: Verification,
}

/// What the verification at the end of a load found.
#[derive(Clone, Debug, Deserialize)]
pub struct Verification {
    /// Keys that were read back.
    pub keys: u64,
    /// Keys that do not hold what was acknowledged last.
    pub wrong: u64,
}

impl Load {
    /// Starts load for `user`.
    ///
    /// # Panics
    /// When `kvclient` does not start.
    #[must_use]
    pub fn start(user: &User, options: LoadOptions) -> Self {
        let clients = options.clients.to_string();
        let duration = format!("{}s", options.duration_s);
        let reads = options.reads_percent.to_string();
        let arguments = [
            "bench",
            "--verify",
            "--clients",
            &clients,
            "--duration",
            &duration,
            "--reads",
            &reads,
        ];
        let child = user.and(&["--output", "json"]).command(&arguments).spawn();
        Self {
            child: KilledOnDrop(child.expect("kvclient starts")),
        }
    }

    /// Waits until it is over.
    ///
    /// # Panics
    /// When it does not end, or says nothing that is understood.
    #[must_use]
    pub fn finish(self) -> LoadResult {
        let Self { mut child } = self;
        wait_until("the load to end", PATIENCE, || match child.0.try_wait() {
            Ok(Some(_)) => Ok(()),
            seen => Err(format!("{seen:?}")),
        });
        let (stdout, stderr) = output_of(&mut child.0);
        let last = stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .unwrap_or_else(|cause| panic!("no result ({cause}): {stdout}{stderr}"))
    }
}

fn output_of(ended: &mut Child) -> (String, String) {
    let mut stdout = String::new();
    let mut stderr = String::new();
    let out = ended.stdout.take().expect("piped");
    let errors = ended.stderr.take().expect("piped");
    { out }.read_to_string(&mut stdout).expect("text");
    { errors }.read_to_string(&mut stderr).expect("text");
    (stdout, stderr)
}

impl LoadResult {
    /// Checks that every acknowledged write is there.
    ///
    /// # Panics
    /// When one is not.
    pub fn expect_nothing_lost(&self) {
        assert!(self.operations > 0 && self.verified.keys > 0, "{self:?}");
        assert_eq!(self.verified.wrong, 0, "{self:?}");
    }

    /// Checks that every acknowledged write is there, and that every operation was answered.
    ///
    /// # Panics
    /// When not.
    pub fn expect_nothing_lost_or_failed(&self) {
        self.expect_nothing_lost();
        assert_eq!(self.errors, 0, "{self:?}");
    }
}
