//! get, put, incr.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;

use bytes::Bytes;
use kv_common::command::{Expiry, PutCondition};
use kv_common::limits::VALUE_MAX_BYTES;
use kvclient::PutOptions;

use super::arguments::{GetArguments, PutArguments};
use super::failure::{Failure, Verdict};
use super::output::Object;
use super::{Context, duration};

pub(crate) async fn get(
    context: &mut Context,
    arguments: GetArguments,
) -> Result<Verdict, Failure> {
    let GetArguments { key, no_newline } = arguments;
    let value = context.client.get(key.clone()).await?;
    let object = Object::new().with_bytes("key", &key);
    let Some(value) = value else {
        let object = object.with("value", serde_json::Value::Null);
        context.output.negative("no such key", &object)?;
        return Ok(Verdict::Negative);
    };
    if context.output.is_json() {
        context.output.object(&object.with_bytes("value", &value))?;
    } else {
        context.output.bytes(&value)?;
        if !no_newline {
            context.output.bytes(b"\n")?;
        }
    }
    Ok(Verdict::Done)
}

pub(crate) async fn put(
    context: &mut Context,
    arguments: PutArguments,
) -> Result<Verdict, Failure> {
    let value = match &arguments.value[..] {
        b"-" => read_value()?,
        _ => arguments.value,
    };
    let condition = match (arguments.if_absent, arguments.if_equals) {
        (true, _) => PutCondition::IfAbsent,
        (false, Some(old)) => PutCondition::IfEquals(old),
        (false, None) => PutCondition::Always,
    };
    let options = PutOptions {
        expiry: arguments
            .expires
            .map(|after| Expiry::AfterMs(duration::millis(after))),
        condition,
    };
    let key = arguments.key;
    let done = context.client.put_with(key.clone(), value, options).await?;
    let object = Object::new().with_bytes("key", &key).with("done", done);
    if done {
        context.output.either("done", &object)?;
        return Ok(Verdict::Done);
    }
    let no = "the condition does not hold; nothing was changed";
    context.output.negative(no, &object)?;
    Ok(Verdict::Negative)
}

pub(crate) async fn incr(context: &mut Context, key: Bytes, by: i64) -> Result<Verdict, Failure> {
    let number = context.client.incr(key.clone(), by).await?;
    let object = Object::new().with_bytes("key", &key).with("value", number);
    context.output.either(number.to_string(), &object)?;
    Ok(Verdict::Done)
}

/// All of standard input, or a refusal as soon as it is too long.
fn read_value() -> Result<Bytes, Failure> {
    let max = VALUE_MAX_BYTES as u64;
    let bytes = bytes_left_in_file().map_err(Failure::of_input)?;
    if bytes.is_some_and(|bytes| bytes > max) {
        return Err(Failure::InputTooLong { bytes });
    }
    let mut value = Vec::new();
    let mut input = std::io::stdin().lock().take(max + 1);
    input.read_to_end(&mut value).map_err(Failure::of_input)?;
    if value.len() > VALUE_MAX_BYTES {
        return Err(Failure::InputTooLong { bytes: None });
    }
    Ok(Bytes::from(value))
}

/// What is left to read of standard input, if it is a file.
fn bytes_left_in_file() -> std::io::Result<Option<u64>> {
    let mut file = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(metadata.len().saturating_sub(file.stream_position()?)))
}
