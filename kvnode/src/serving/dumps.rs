//! The key space as text: `db.txt` on demand and at an interval, exports for clients.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::id::Seq;
use kv_common::message::client::{DumpSummary, NodeToClient};
use kv_common::message::control::HeldRole;
use kv_common::refusal::Refusal;
use kv_common::time::{Monotonic, Now, UnixMs};
use kv_daemon::clock;
use kv_resp::Value;
use kvnode_storage::{DumpError, Export, QueueError};

use crate::cli::DumpInterval;

use super::client_output::ClientOutput;
use super::redis_client::RedisClient;
use super::shard::Shard;

/// One part of an export.
const PART_BYTES: usize = 256 << 10;

/// Dumps and exports under way.
#[derive(Debug)]
pub(super) struct Dumps {
    path: PathBuf,
    interval: DumpInterval,
    next_due: Monotonic,
    /// What the newest `db.txt` of this run holds, at least.
    dumped: Seq,
    last_token: u64,
    under_way: BTreeMap<u64, Asked>,
    /// When `db.txt` was written last.
    saved_at: UnixMs,
}

/// Who asked for a dump or an export.
#[derive(Debug)]
enum Asked {
    Interval {
        at: Seq,
    },
    Client {
        output: Rc<ClientOutput>,
        id: u64,
    },
    /// Nobody waits if there is none.
    Redis(Option<(Rc<RedisClient>, u64)>),
}

impl Dumps {
    pub(super) fn new(path: PathBuf, interval: DumpInterval, now: Now, dumped: Seq) -> Self {
        let mut dumps = Self {
            path,
            interval,
            next_due: now.monotonic,
            dumped,
            last_token: 0,
            under_way: BTreeMap::new(),
            saved_at: now.unix,
        };
        dumps.plan_next(now.monotonic);
        dumps
    }

    /// When the next dump by interval is due.
    pub(super) fn next_due(&self) -> Monotonic {
        self.next_due
    }

    /// When `db.txt` was written last, or this run began.
    pub(super) fn saved_at(&self) -> UnixMs {
        self.saved_at
    }

    /// Whether it is being written.
    pub(super) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    fn plan_next(&mut self, now: Monotonic) {
        self.next_due = self
            .interval
            .0
            .map_or(Monotonic(u64::MAX), |interval| now.after(interval));
    }

    fn begin(&mut self, asked: Asked) -> u64 {
        self.last_token += 1;
        self.under_way.insert(self.last_token, asked);
        self.last_token
    }
}

impl Shard {
    /// Writes `db.txt` as often as `interval` says, counted from now.
    pub(super) fn change_dump_interval(&mut self, now: Now, interval: DumpInterval) {
        if self.dumps.interval != interval {
            self.dumps.interval = interval;
            self.dumps.plan_next(now.monotonic);
        }
    }

    /// Writes `db.txt` if that is due and anything was written since.
    pub(super) fn dump_if_due(&mut self, now: Now) {
        if self.dumps.next_due > now.monotonic {
            return;
        }
        self.dumps.plan_next(now.monotonic);
        let at = self.replica.applied().seq;
        let by_interval = |asked: &Asked| matches!(asked, Asked::Interval { .. });
        let is_under_way = self.dumps.under_way.values().any(by_interval);
        if at == self.dumps.dumped || is_under_way || self.why_no_dump().is_some() {
            return;
        }
        let token = self.dumps.begin(Asked::Interval { at });
        let path = self.dumps.path.clone();
        if let Err(error) = self.storage.checkpoint.dump(token, at, path) {
            self.dumps.under_way.remove(&token);
            tracing::warn!(%error, "db.txt is not written");
        }
    }

    pub(super) fn ask_dump(&mut self, output: &Rc<ClientOutput>, id: u64) {
        let dumped = match self.why_no_dump() {
            Some(why) => Err(Refusal::NotAllowed { why }),
            None => {
                let output = Rc::clone(output);
                let token = self.dumps.begin(Asked::Client { output, id });
                let path = self.dumps.path.clone();
                let at = self.replica.applied().seq;
                let taken = self.storage.checkpoint.dump(token, at, path);
                self.forget_unless_taken(token, taken)
            }
        };
        match dumped {
            Ok(()) => output.begins(),
            Err(refusal) => {
                let result = Err(refusal);
                self.send_client(output, NodeToClient::Dumped { id, result });
            }
        }
    }

    /// Writes `db.txt` for a Redis client, who is answered when it is written if it waits.
    pub(super) fn dump_for_redis(
        &mut self,
        waits: Option<(Rc<RedisClient>, u64)>,
    ) -> Result<(), Refusal> {
        if let Some(why) = self.why_no_dump() {
            return Err(Refusal::NotAllowed { why });
        }
        let token = self.dumps.begin(Asked::Redis(waits));
        let path = self.dumps.path.clone();
        let at = self.replica.applied().seq;
        let taken = self.storage.checkpoint.dump(token, at, path);
        self.forget_unless_taken(token, taken)
    }

    /// The core has answered the read that an export begins with.
    pub(super) fn export_allowed(
        &mut self,
        output: Rc<ClientOutput>,
        id: u64,
        result: Result<Reply, Refusal>,
    ) {
        let begun = result.and_then(|_| {
            let at = self.replica.applied().seq;
            let output = Rc::clone(&output);
            let token = self.dumps.begin(Asked::Client { output, id });
            let near = self.dumps.path.clone();
            let taken = self.storage.checkpoint.export(token, at, near);
            self.forget_unless_taken(token, taken)
        });
        if let Err(refusal) = begun {
            self.refuse_export(&output, id, refusal);
        }
    }

    fn forget_unless_taken(
        &mut self,
        token: u64,
        taken: Result<(), QueueError>,
    ) -> Result<(), Refusal> {
        taken.map_err(|error| {
            self.dumps.under_way.remove(&token);
            let cause = error.to_string();
            Refusal::DiskFailed { cause }
        })
    }

    fn refuse_export(&mut self, output: &Rc<ClientOutput>, id: u64, refusal: Refusal) {
        output.ends();
        let result = Err(refusal);
        self.send_client(output, NodeToClient::ExportBegins { id, result });
    }

    /// Why this node's data is not what `db.txt` is to hold, if so.
    fn why_no_dump(&self) -> Option<String> {
        if matches!(self.replica.role(), HeldRole::Copying { .. }) {
            Some("this node fetches a copy; ask again when it is done".to_owned())
        } else if self.storage.unfit {
            Some("this node's data is damaged; it waits for a copy".to_owned())
        } else {
            None
        }
    }

    pub(super) fn dumped(&mut self, token: u64, outcome: Result<DumpSummary, DumpError>) {
        match &outcome {
            Ok(summary) => {
                tracing::info!(
                    path = summary.path,
                    keys = summary.keys,
                    bytes = summary.bytes,
                    position = %summary.at,
                    "wrote the key space as text"
                );
                self.dumps.saved_at = clock::now().unix;
            }
            Err(error) => tracing::warn!(%error, "db.txt is not written"),
        }
        match self.dumps.under_way.remove(&token) {
            Some(Asked::Interval { at }) if outcome.is_ok() => self.dumps.dumped = at,
            Some(Asked::Client { output, id }) => {
                output.ends();
                let result = outcome.map_err(|error| refusal(&error));
                self.send_client(&output, NodeToClient::Dumped { id, result });
            }
            Some(Asked::Redis(Some((client, slot)))) => {
                let value = match outcome {
                    Ok(_) => Value::OK,
                    Err(error) => Value::error(format!("ERR {error}")),
                };
                self.put_redis(&client, slot, value);
            }
            Some(Asked::Interval { .. } | Asked::Redis(None)) | None => {}
        }
    }

    pub(super) fn exported(&mut self, token: u64, outcome: Result<Export, DumpError>) {
        let Some(Asked::Client { output, id }) = self.dumps.under_way.remove(&token) else {
            return;
        };
        match outcome {
            Ok(Export { file, summary }) => {
                let result = Ok(summary);
                self.send_client(&output, NodeToClient::ExportBegins { id, result });
                tokio::task::spawn_local(stream(output, id, file));
            }
            Err(error) => self.refuse_export(&output, id, refusal(&error)),
        }
    }
}

fn refusal(error: &DumpError) -> Refusal {
    match error {
        DumpError::Io { .. } | DumpError::Checkpoint(_) => Refusal::DiskFailed {
            cause: error.to_string(),
        },
        DumpError::NotApplied { .. } => Refusal::NotFound {
            what: error.to_string(),
        },
    }
}

/// Streams an export, as fast as the client takes it.
async fn stream(output: Rc<ClientOutput>, id: u64, file: File) {
    let mut file = file;
    loop {
        output.room().await;
        if output.is_closed() {
            return;
        }
        let read = tokio::task::spawn_blocking(move || next_part(file)).await;
        match read {
            Ok(Ok((_, part))) if part.is_empty() => {
                output.ends();
                output.put(NodeToClient::ExportEnds { id });
                output.flush();
                return;
            }
            Ok(Ok((rest, part))) => {
                file = rest;
                output.put(NodeToClient::ExportPart { id, bytes: part });
                output.flush();
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "an export cannot be read back");
                // There is no message for this: the client sees that no end came.
                return output.close();
            }
            Err(error) => {
                tracing::error!(%error, "an export was given up");
                return output.close();
            }
        }
    }
}

fn next_part(mut file: File) -> io::Result<(File, Bytes)> {
    let mut part = Vec::with_capacity(PART_BYTES);
    file.by_ref()
        .take(PART_BYTES as u64)
        .read_to_end(&mut part)?;
    Ok((file, Bytes::from(part)))
}
