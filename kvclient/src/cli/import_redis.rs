//! import --redis: every string of a running Redis, with its expiry.
//!
//! Keys are listed page by page (SCAN). Of a page, types and lengths are asked first, so that what cannot be
//! taken never travels; then values and expiries, in portions of a few megabytes. All that is held is a page
//! of keys, a portion's pieces as they come, and what is on its way into the cluster.

mod connection;
mod left_out;
mod page;
mod place;

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use indicatif::ProgressBar;
use kv_common::command::PutCondition;
use kv_common::limits::COMMAND_MAX_BYTES;
use kv_resp::Piece;

use self::connection::{Answers, Asking, Requests, connect};
use self::left_out::{LeftOut, shown};
use self::page::{ExpiryQuestion, Fate, Sized, fate, portions};
pub(crate) use self::place::Place;
use super::Context;
use super::failure::{Failure, Verdict};
use super::import::{Import, Pair};
use super::output::Object;
use super::progress::key_bar;

/// Keys that a Redis is asked for at once. It may give some more.
const PAGE_KEYS: &[u8] = b"512";
/// Keys that a page may have.
const PAGE_KEYS_MAX: u64 = 65_536;
/// The longest password.
const PASSWORD_MAX_BYTES: u64 = 4 << 10;

/// What is imported.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) place: Place,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) pattern: Option<Bytes>,
}

pub(crate) async fn run(context: &mut Context, source: Source) -> Result<Verdict, Failure> {
    let password = source.password_file.as_deref().map(password_of);
    let password = password.transpose()?;
    let (asking, answers) = connect(&source.place.address, context.client.timeout()).await?;
    let mut walk = Walk {
        asking,
        answers,
        expiries: ExpiryQuestion::At,
        import: Import::new(context.client.clone(), PutCondition::Always),
        left_out: LeftOut::default(),
        bar: ProgressBar::hidden(),
    };
    walk.begin(&source.place, password, source.pattern.is_none())
        .await?;
    let walked = walk.all(source.pattern.as_deref()).await;
    let put = walk.import.settle().await;
    walk.bar.finish_and_clear();
    let (pairs, left_out) = (walk.import.pairs(), walk.left_out);
    let place = &source.place;
    let mut text = format!("imported {pairs} pairs from Redis at {place}");
    if let Err(failure) = walked.and(put) {
        eprintln!("kvclient: {text}, then it failed; importing again does no harm");
        return Err(failure);
    }
    if !left_out.is_empty() {
        text = format!("{text}; {}", left_out.text());
    }
    let object = Object::new()
        .with("imported", pairs)
        .with("redis", place.address.to_string())
        .with("database", place.database)
        .with("left_out", left_out.object());
    context.output.either(text, &object)?;
    Ok(if left_out.is_empty() {
        Verdict::Done
    } else {
        Verdict::LeftOut
    })
}

/// The password in a file, without a newline at its end.
fn password_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |cause: std::io::Error| Failure::of_file(file, &cause);
    let opened = std::fs::File::open(file).map_err(failed)?;
    let mut password = Vec::new();
    let mut limited = opened.take(PASSWORD_MAX_BYTES + 1);
    limited.read_to_end(&mut password).map_err(failed)?;
    if password.len() as u64 > PASSWORD_MAX_BYTES {
        let what = format!("a password has at most {PASSWORD_MAX_BYTES} bytes");
        return Err(Failure::of_file(file, &what));
    }
    while password.last().is_some_and(|last| b"\r\n".contains(last)) {
        password.pop();
    }
    Ok(password)
}

/// An import under way.
struct Walk {
    asking: Asking,
    answers: Answers,
    expiries: ExpiryQuestion,
    import: Import,
    left_out: LeftOut,
    bar: ProgressBar,
}

impl Walk {
    /// Says who asks, goes to the database, and learns what this Redis can. `whole`: all of its keys are walked.
    async fn begin(
        &mut self,
        place: &Place,
        password: Option<Vec<u8>>,
        whole: bool,
    ) -> Result<(), Failure> {
        match (&place.user, password) {
            // A user without a password is let in with any.
            (Some(user), password) => {
                let password = password.unwrap_or_default();
                self.told("AUTH", &[b"AUTH", user.as_bytes(), &password])
                    .await?;
            }
            (None, Some(password)) => self.told("AUTH", &[b"AUTH", &password]).await?,
            (None, None) => {}
        }
        if place.database != 0 {
            let database = place.database.to_string();
            self.told("SELECT", &[b"SELECT", database.as_bytes()])
                .await?;
        }
        self.expiries = match self.ask(&[b"PEXPIRETIME", b""]).await? {
            Piece::Integer(_) => ExpiryQuestion::At,
            // An older Redis does not know it. Any other trouble shows at the first page.
            _ => ExpiryQuestion::Left,
        };
        let total = match self.ask(&[b"DBSIZE"]).await? {
            Piece::Integer(total) if whole => u64::try_from(total).ok(),
            _ => None,
        };
        self.bar = key_bar(total);
        Ok(())
    }

    /// Asks for what is done or refused.
    async fn told(&mut self, command: &str, words: &[&[u8]]) -> Result<(), Failure> {
        match self.ask(words).await? {
            Piece::Status(_) => Ok(()),
            other => Err(self.answers.unexpected(command, &other)),
        }
    }

    /// Asks one question with a short answer.
    async fn ask(&mut self, words: &[&[u8]]) -> Result<Piece, Failure> {
        let mut requests = Requests::default();
        requests.push(words);
        self.asking.send(requests).await?;
        self.answers.next().await
    }

    async fn all(&mut self, pattern: Option<&[u8]>) -> Result<(), Failure> {
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let (next, keys) = self.page(&cursor, pattern).await?;
            self.bar.inc(keys.len() as u64);
            let taken = self.sized(keys).await?;
            for portion in portions(&taken) {
                self.values(portion).await?;
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// The next cursor, and the keys of a page.
    async fn page(
        &mut self,
        cursor: &[u8],
        pattern: Option<&[u8]>,
    ) -> Result<(Bytes, Vec<Bytes>), Failure> {
        let mut words = vec![&b"SCAN"[..], cursor, b"COUNT", PAGE_KEYS];
        if let Some(pattern) = pattern {
            words.extend([b"MATCH", pattern]);
        }
        match self.ask(&words).await? {
            Piece::Array(2) => {}
            other => return Err(self.answers.unexpected("SCAN", &other)),
        }
        let next = match self.answers.next().await? {
            Piece::Bulk(next) => next,
            other => return Err(self.answers.unexpected("SCAN", &other)),
        };
        let count = match self.answers.next().await? {
            Piece::Array(count) if count <= PAGE_KEYS_MAX => count,
            other => return Err(self.answers.unexpected("SCAN", &other)),
        };
        let mut keys = Vec::new();
        let mut bytes = 0;
        for _ in 0..count {
            match self.answers.next().await? {
                Piece::Bulk(key) => {
                    bytes += key.len();
                    keys.push(key);
                }
                Piece::TooLong { beginning, .. } => self.leave_out("key too long", &beginning),
                other => return Err(self.answers.unexpected("SCAN", &other)),
            }
            if bytes > COMMAND_MAX_BYTES {
                let what = format!("lists more than {COMMAND_MAX_BYTES} bytes of keys at once");
                return Err(self.answers.unfit(what));
            }
        }
        Ok((next, keys))
    }

    /// Which of the keys are strings that can be taken, and how long they are.
    async fn sized(&mut self, keys: Vec<Bytes>) -> Result<Vec<Sized>, Failure> {
        let mut requests = Requests::default();
        for key in &keys {
            requests.push(&[b"TYPE", key]);
            requests.push(&[b"STRLEN", key]);
        }
        let answers = &mut self.answers;
        let receiving = async {
            let mut known = Vec::with_capacity(keys.len());
            for key in keys {
                let kind = match answers.next().await? {
                    Piece::Status(kind) => kind,
                    other => return Err(answers.unexpected("TYPE", &other)),
                };
                let bytes = match answers.next().await? {
                    Piece::Integer(bytes) => u64::try_from(bytes).ok(),
                    Piece::Error(text) if text.starts_with("WRONGTYPE") => None,
                    other => return Err(answers.unexpected("STRLEN", &other)),
                };
                known.push((key, kind, bytes));
            }
            Ok(known)
        };
        let ((), known) = tokio::try_join!(self.asking.send(requests), receiving)?;
        let mut taken = Vec::new();
        for (key, kind, bytes) in known {
            match fate(&key, &kind, bytes) {
                Fate::Taken => taken.push(Sized {
                    key,
                    value_bytes: bytes.unwrap_or_default(),
                }),
                Fate::Gone => {}
                Fate::LeftOut(reason) => self.leave_out(&reason, &key),
            }
        }
        Ok(taken)
    }

    /// Takes the values of a portion over.
    async fn values(&mut self, portion: &[Sized]) -> Result<(), Failure> {
        let mut requests = Requests::default();
        for Sized { key, .. } in portion {
            requests.push(&[b"GET", key]);
            requests.push(&[self.expiries.command(), key]);
        }
        let asked_at = kv_daemon::clock::now().unix;
        let expiries = self.expiries;
        let (answers, import) = (&mut self.answers, &mut self.import);
        let receiving = async {
            let mut left_out = Vec::new();
            for Sized { key, .. } in portion {
                let value = match answers.next().await? {
                    Piece::Bulk(value) => Some(value),
                    Piece::Null => None,
                    Piece::TooLong { .. } => {
                        left_out.push(("value too long", key));
                        None
                    }
                    Piece::Error(text) if text.starts_with("WRONGTYPE") => {
                        left_out.push(("changed type", key));
                        None
                    }
                    other => return Err(answers.unexpected("GET", &other)),
                };
                let expires_at = match answers.next().await? {
                    Piece::Integer(answer) => expiries.expires_at(answer, asked_at),
                    other => return Err(answers.unexpected("the question for expiries", &other)),
                };
                if let (Some(value), Some(expires_at)) = (value, expires_at) {
                    let key = key.clone();
                    let pair = Pair {
                        key,
                        value,
                        expires_at,
                    };
                    import.put(pair).await?;
                }
            }
            Ok(left_out)
        };
        let ((), left_out) = tokio::try_join!(self.asking.send(requests), receiving)?;
        for (reason, key) in left_out {
            self.leave_out(reason, key);
        }
        Ok(())
    }

    /// Takes note of a key that is left out. One that only this store finds too long is named at once.
    fn leave_out(&mut self, reason: &str, key: &Bytes) {
        self.left_out.add(reason, key);
        if reason.ends_with("too long") {
            let key = shown(key);
            self.bar
                .suspend(|| eprintln!("kvclient: '{key}' is left out: {reason}"));
        }
    }
}
