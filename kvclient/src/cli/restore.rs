//! restore: a backup into an empty cluster. The file is read through before anything is written,
//! and what is there at the end is compared with it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use indicatif::ProgressBar;
use kv_common::command::PutCondition;
use kv_common::db_txt::{DbTxtError, Item, Reader};
use kv_common::time::UnixMs;
use kvclient::Export;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3;

use super::Context;
use super::arguments::RestoreArguments;
use super::backup_file::{BackupHeader, BackupReader};
use super::failure::{Failure, Verdict};
use super::import::Import;
use super::output::{Object, Output};
use super::progress::byte_bar;

/// Pairs that go by themselves within so long are not compared: they may be gone already.
const COMPARED_FROM_MS: u64 = 60 * 60 * 1000;
/// Parts of an export that wait to be compared.
const PARTS_MAX: usize = 4;

/// Reads a backup through, and says whether it is whole.
pub(crate) fn check(output: &mut Output, file: &Path) -> Result<Verdict, Failure> {
    let header = read_through(file, "checking")?;
    let (pairs, at) = (header.pairs, header.at);
    let name = file.display();
    let text = format!("{name} is whole: {pairs} pairs at position {at}");
    let object = Object::new()
        .with("whole", true)
        .with("pairs", pairs)
        .with("file", name.to_string())
        .with("at", at.to_string());
    output.either(text, &object)?;
    Ok(Verdict::Done)
}

pub(crate) async fn run(
    context: &mut Context,
    arguments: &RestoreArguments,
) -> Result<Verdict, Failure> {
    let file = arguments.file.as_path();
    let header = read_through(file, "checking")?;
    let resume = arguments.resume;
    let keys = context.client.count().await?;
    if keys > 0 && !resume {
        return Err(Failure::Usage {
            what: format!(
                "the cluster has {keys} keys; a backup is restored into an empty one (or with --resume, after a restore of the same file that broke off)"
            ),
        });
    }
    put_all(context, file, resume).await?;
    compare(context, file).await?;
    let (pairs, at) = (header.pairs, header.at);
    let text = format!(
        "restored {pairs} pairs of position {at} from {}, and compared them",
        file.display()
    );
    let object = Object::new()
        .with("restored", pairs)
        .with("file", file.display().to_string())
        .with("at", at.to_string());
    context.output.either(text, &object)?;
    Ok(Verdict::Done)
}

/// Opens a backup, with a bar that goes with the reading.
fn open(
    file: &Path,
    doing: &'static str,
) -> Result<(BackupReader<impl Read>, ProgressBar), Failure> {
    let failed = |cause| Failure::of_file(file, &cause);
    let opened = File::open(file).map_err(failed)?;
    let bar = byte_bar(Some(opened.metadata().map_err(failed)?.len()));
    bar.set_message(doing);
    let input = BufReader::with_capacity(256 << 10, bar.wrap_read(opened));
    let reader = BackupReader::begin(input);
    let reader = reader.map_err(|cause| Failure::of_file(file, &cause))?;
    Ok((reader, bar))
}

/// Reads all of a backup, every checksum and every pair.
fn read_through(file: &Path, doing: &'static str) -> Result<BackupHeader, Failure> {
    let (reader, bar) = open(file, doing)?;
    let header = reader.header();
    let summary = summarize(reader, UnixMs::default());
    bar.finish_and_clear();
    let summary = summary.map_err(|cause| Failure::of_file(file, &cause))?;
    if summary.pairs != header.pairs {
        let (found, said) = (summary.pairs, header.pairs);
        let cause =
            format!("the backup is damaged: it has {found} pairs and says that it has {said}");
        return Err(Failure::of_file(file, &cause));
    }
    Ok(header)
}

async fn put_all(context: &Context, file: &Path, resume: bool) -> Result<(), Failure> {
    let (reader, bar) = open(file, "restoring")?;
    let condition = if resume {
        PutCondition::Always
    } else {
        PutCondition::IfAbsent
    };
    let mut import = Import::new(context.client.clone(), condition);
    let read = import.read(Reader::new(reader), file, &bar).await;
    let put = import.settle().await;
    bar.finish_and_clear();
    let outcome = read.and(put);
    if outcome.is_err() {
        let pairs = import.pairs();
        eprintln!("kvclient: {pairs} pairs were restored, then it failed; go on with --resume");
    }
    outcome
}

/// Compares what the cluster has with the backup.
async fn compare(context: &Context, file: &Path) -> Result<(), Failure> {
    let from = UnixMs(kv_daemon::clock::now().unix.0 + COMPARED_FROM_MS);
    let (reader, bar) = open(file, "comparing")?;
    let expected = summarize(reader, from);
    bar.finish_and_clear();
    let expected = expected.map_err(|cause| Failure::of_file(file, &cause))?;
    let export = context.client.export().await?;
    let found = summarize_export(export, from).await?;
    if found == expected {
        return Ok(());
    }
    Err(Failure::Internal {
        what: format!(
            "the cluster does not hold what the backup holds: {} pairs instead of {}, or others; did somebody write meanwhile?",
            found.pairs, expected.pairs
        ),
    })
}

/// What a key space comes to, without the pairs that go before a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summary {
    pairs: u64,
    digest: u128,
}

/// Reads pairs in key order. Those that go before `from` do not count.
fn summarize(input: impl std::io::BufRead, from: UnixMs) -> Result<Summary, DbTxtError> {
    let mut reader = Reader::new(input);
    let mut pairs = 0;
    let mut digest = Xxh3::new();
    let mut count = |key: &Bytes, value: &Bytes, expires_at: Option<UnixMs>| {
        if expires_at.is_some_and(|at| at < from) {
            return;
        }
        pairs += 1;
        for part in [key, value] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update(&expires_at.map_or(u64::MAX, |at| at.0).to_le_bytes());
    };
    let mut last: Option<(Bytes, Bytes)> = None;
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Pair { key, value } => {
                if let Some((key, value)) = last.replace((key, value)) {
                    count(&key, &value, None);
                }
            }
            Item::Expires { at, .. } => {
                if let Some((key, value)) = last.take() {
                    count(&key, &value, Some(at));
                }
            }
            Item::Position(_) | Item::OddToken { .. } => {}
        }
    }
    if let Some((key, value)) = last {
        count(&key, &value, None);
    }
    Ok(Summary {
        pairs,
        digest: digest.digest128(),
    })
}

/// The same for an export, on a thread beside the one that receives it.
async fn summarize_export(mut export: Export, from: UnixMs) -> Result<Summary, Failure> {
    let (parts, received) = mpsc::channel(PARTS_MAX);
    let summary = tokio::task::spawn_blocking(move || {
        let part = Bytes::new();
        summarize(BufReader::new(Received { received, part }), from)
    });
    let bar = byte_bar(Some(export.summary().bytes));
    bar.set_message("comparing");
    let mut broke_off = None;
    loop {
        match export.next_part().await {
            Ok(Some(part)) => {
                bar.inc(part.len() as u64);
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                broke_off = Some(error);
                break;
            }
        }
    }
    drop(parts);
    bar.finish_and_clear();
    let summary = summary.await;
    if let Some(error) = broke_off {
        return Err(error.into());
    }
    let internal = |what: String| Failure::Internal { what };
    let summary = summary.map_err(|error| internal(error.to_string()))?;
    summary.map_err(|error| internal(format!("what the cluster holds cannot be read: {error}")))
}

/// Reads what is received.
struct Received {
    received: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for Received {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.part.is_empty() {
            match self.received.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let count = self.part.len().min(out.len());
        out[..count].copy_from_slice(&self.part.split_to(count));
        Ok(count)
    }
}
