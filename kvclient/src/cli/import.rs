//! import: every pair, many at once; of a file here, of a Redis in `import_redis`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use indicatif::ProgressBar;
use kv_common::command::{Expiry, PutCondition};
use kv_common::db_txt::{Item, Reader};
use kv_common::time::UnixMs;
use kvclient::{Client, ClientError, PutOptions};
use tokio::task::JoinSet;

use super::Context;
use super::arguments::ImportArguments;
use super::failure::{Failure, Verdict};
use super::import_redis::{self, Source};
use super::output::Object;
use super::progress::byte_bar;

/// Pairs that are on their way at once.
const IN_FLIGHT_MAX: usize = 512;
/// Bytes that are on their way at once; a single pair may have more.
const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;

pub(crate) async fn run(
    context: &mut Context,
    arguments: ImportArguments,
) -> Result<Verdict, Failure> {
    let ImportArguments {
        file,
        redis,
        redis_password_file: password_file,
        pattern,
    } = arguments;
    match (file, redis) {
        (Some(file), _) => from_file(context, &file).await,
        (None, Some(place)) => {
            let source = Source {
                place,
                password_file,
                pattern,
            };
            import_redis::run(context, source).await
        }
        (None, None) => Err(Failure::Usage {
            what: "name a file, or a Redis with --redis".to_owned(),
        }),
    }
}

async fn from_file(context: &mut Context, file: &Path) -> Result<Verdict, Failure> {
    let (input, bar) = open(file)?;
    let reader = Reader::new(BufReader::with_capacity(256 << 10, bar.wrap_read(input)));
    let mut import = Import::new(context.client.clone(), PutCondition::Always);
    let read = import.read(reader, file, &bar).await;
    let put = import.settle().await;
    bar.finish_and_clear();
    let Import { pairs, .. } = import;
    let text = format!("imported {pairs} pairs from {}", file.display());
    if let Err(failure) = read.and(put) {
        eprintln!("kvclient: {text}, then it failed; importing again does no harm");
        return Err(failure);
    }
    let name = file.display().to_string();
    let object = Object::new().with("imported", pairs).with("file", name);
    context.output.either(text, &object)?;
    Ok(Verdict::Done)
}

fn open(file: &Path) -> Result<(Box<dyn Read>, ProgressBar), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), byte_bar(None)));
    }
    let opened = File::open(file).map_err(|cause| Failure::of_file(file, &cause))?;
    let metadata = opened
        .metadata()
        .map_err(|cause| Failure::of_file(file, &cause))?;
    let total_bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(opened), byte_bar(total_bytes)))
}

/// An import under way.
pub(crate) struct Import {
    client: Client,
    /// What must hold for each put.
    condition: PutCondition,
    on_their_way: JoinSet<(Pair, Result<bool, ClientError>)>,
    keys: HashSet<Bytes>,
    bytes: usize,
    /// Pairs that are in.
    pairs: u64,
    /// The line of the newest pair.
    last_line: u64,
    said_several: bool,
    /// The newest pair: the next line may say when it goes.
    held_back: Option<Pair>,
    /// Why the first pair that failed did.
    failed: Option<Failure>,
}

/// A key, its value, and when it goes by itself.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) expires_at: Option<UnixMs>,
}

impl Import {
    pub(crate) fn new(client: Client, condition: PutCondition) -> Self {
        Self {
            client,
            condition,
            on_their_way: JoinSet::new(),
            keys: HashSet::new(),
            bytes: 0,
            pairs: 0,
            last_line: 0,
            said_several: false,
            held_back: None,
            failed: None,
        }
    }

    /// How many pairs are in.
    pub(crate) fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Puts every pair that the reader gives. Some may be on their way when this returns.
    pub(crate) async fn read(
        &mut self,
        mut reader: Reader<impl std::io::BufRead>,
        file: &Path,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        loop {
            let item = reader
                .next_item()
                .map_err(|cause| Failure::of_file(file, &cause))?;
            match item {
                Some(Item::Pair { key, value }) => {
                    self.look_at_line(reader.line(), file, bar);
                    let pair = Pair {
                        key,
                        value,
                        expires_at: None,
                    };
                    if let Some(before) = self.held_back.replace(pair) {
                        self.put(before).await?;
                    }
                }
                Some(Item::Expires { key, at }) => {
                    if !self.expires(&key, at).await? {
                        let key = String::from_utf8_lossy(&key);
                        let what = format!("the expiry of '{key}' is ignored: no such key");
                        warn(file, &what, bar);
                    }
                }
                // A position is where the data came from; here it gets another.
                Some(Item::Position(_)) => {}
                Some(Item::OddToken { line }) => {
                    warn(file, &format!("line {line}: an odd token is ignored"), bar);
                }
                None => break,
            }
        }
        match self.held_back.take() {
            Some(last) => self.put(last).await,
            None => Ok(()),
        }
    }

    /// Says once that a line holds more than one pair: whoever has spaces in values did not mean that.
    fn look_at_line(&mut self, line: u64, file: &Path, bar: &ProgressBar) {
        if line == self.last_line && !self.said_several {
            self.said_several = true;
            let what = "is read as several pairs, as the old programs did; values with spaces need \
                        the encoding that an export writes";
            warn(file, &format!("line {line} {what}"), bar);
        }
        self.last_line = line;
    }

    /// Takes note of when a key goes. Returns whether there is such a key.
    async fn expires(&mut self, key: &Bytes, at: UnixMs) -> Result<bool, Failure> {
        match &mut self.held_back {
            Some(pair) if pair.key == *key => {
                pair.expires_at = Some(at);
                return Ok(true);
            }
            _ => {}
        }
        while self.keys.contains(key) {
            self.settle_one().await;
        }
        Ok(self.client.expire(key.clone(), Expiry::At(at)).await?)
    }

    /// Sends a pair, once there is room. A key that is on its way already is waited for, so that
    /// the later pair wins.
    pub(crate) async fn put(&mut self, pair: Pair) -> Result<(), Failure> {
        let size = pair.key.len() + pair.value.len();
        while self.on_their_way.len() >= IN_FLIGHT_MAX
            || (self.bytes + size > IN_FLIGHT_BYTES_MAX && !self.on_their_way.is_empty())
            || self.keys.contains(&pair.key)
        {
            self.settle_one().await;
        }
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        self.keys.insert(pair.key.clone());
        self.bytes += size;
        let client = self.client.clone();
        let options = PutOptions {
            expiry: pair.expires_at.map(Expiry::At),
            condition: self.condition.clone(),
        };
        self.on_their_way.spawn(async move {
            let put = client.put_with(pair.key.clone(), pair.value.clone(), options);
            let result = put.await;
            (pair, result)
        });
        Ok(())
    }

    /// Waits for what is on its way.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        while !self.on_their_way.is_empty() {
            self.settle_one().await;
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    async fn settle_one(&mut self) {
        match self.on_their_way.join_next().await {
            Some(Ok((pair, result))) => {
                self.keys.remove(&pair.key);
                self.bytes -= pair.key.len() + pair.value.len();
                let failure = match result {
                    Ok(true) => {
                        self.pairs += 1;
                        return;
                    }
                    Ok(false) => {
                        let key = pair.key.escape_ascii();
                        let what = format!(
                            "somebody else writes to this cluster: '{key}' is there already"
                        );
                        Failure::Usage { what }
                    }
                    Err(error) => Failure::Client(error),
                };
                self.failed.get_or_insert(failure);
            }
            Some(Err(_)) => {
                self.failed.get_or_insert(ClientError::Closed.into());
            }
            None => {}
        }
    }
}

fn warn(file: &Path, what: &str, bar: &ProgressBar) {
    bar.suspend(|| eprintln!("kvclient: {}: {what}", file.display()));
}
