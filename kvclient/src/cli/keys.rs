//! delete, exists, ttl, expire, persist, scan, count.

use std::time::Duration;

use bytes::Bytes;
use kv_common::command::{Expiry, KeyExpiry};

use super::failure::{Failure, Verdict};
use super::output::Object;
use super::{Context, duration};

pub(crate) async fn delete(context: &mut Context, keys: Vec<Bytes>) -> Result<Verdict, Failure> {
    let deleted = context.client.delete(keys).await?;
    count_of_keys(context, "deleted", deleted)
}

pub(crate) async fn exists(context: &mut Context, keys: Vec<Bytes>) -> Result<Verdict, Failure> {
    let there = context.client.exists(keys).await?;
    count_of_keys(context, "exist", there)
}

fn count_of_keys(context: &mut Context, name: &str, count: u64) -> Result<Verdict, Failure> {
    let object = Object::new().with(name, count);
    context.output.either(count.to_string(), &object)?;
    Ok(if count > 0 {
        Verdict::Done
    } else {
        Verdict::Negative
    })
}

pub(crate) async fn ttl(context: &mut Context, key: Bytes) -> Result<Verdict, Failure> {
    let expiry = context.client.ttl(key.clone()).await?;
    let object = Object::new().with_bytes("key", &key);
    match expiry {
        KeyExpiry::NoKey => {
            let object = object.with("found", false);
            context.output.negative("no such key", &object)?;
            return Ok(Verdict::Negative);
        }
        KeyExpiry::Never => {
            let object = object.with("expires_in_ms", serde_json::Value::Null);
            context.output.either("never", &object)?;
        }
        KeyExpiry::InMs(in_ms) => {
            let text = duration::text(Duration::from_millis(in_ms));
            let object = object.with("expires_in_ms", in_ms);
            context.output.either(text, &object)?;
        }
    }
    Ok(Verdict::Done)
}

pub(crate) async fn expire(
    context: &mut Context,
    key: Bytes,
    after: Duration,
) -> Result<Verdict, Failure> {
    let expiry = Expiry::AfterMs(duration::millis(after));
    let done = context.client.expire(key.clone(), expiry).await?;
    done_or_not(context, &key, done, "no such key")
}

pub(crate) async fn persist(context: &mut Context, key: Bytes) -> Result<Verdict, Failure> {
    let done = context.client.persist(key.clone()).await?;
    done_or_not(context, &key, done, "no such key, or it stays anyway")
}

fn done_or_not(
    context: &mut Context,
    key: &Bytes,
    done: bool,
    no: &str,
) -> Result<Verdict, Failure> {
    let object = Object::new().with_bytes("key", key).with("done", done);
    if done {
        context.output.either("done", &object)?;
        return Ok(Verdict::Done);
    }
    context.output.negative(no, &object)?;
    Ok(Verdict::Negative)
}

pub(crate) async fn scan(
    context: &mut Context,
    pattern: Option<Bytes>,
    limit: Option<u64>,
) -> Result<Verdict, Failure> {
    let mut scan = context.client.scan(pattern);
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(key) = scan.next_key().await?
    {
        left -= 1;
        let object = Object::new().with_bytes("key", &key);
        context.output.either(&key, &object)?;
    }
    Ok(Verdict::Done)
}

pub(crate) async fn count(context: &mut Context) -> Result<Verdict, Failure> {
    let keys = context.client.count().await?;
    let object = Object::new().with("keys", keys);
    context.output.either(keys.to_string(), &object)?;
    Ok(Verdict::Done)
}
