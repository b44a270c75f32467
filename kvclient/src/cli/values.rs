//! get, put, incr.

use std::io::Read;

use bytes::Bytes;
use kv_common::command::{Expiry, PutCondition};
use kv_common::limits::VALUE_MAX_BYTES;
use kv_common::refusal::Refusal;
use kvclient::{ClientError, PutOptions};

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
    let mut value = Vec::new();
    let mut input = std::io::stdin().lock().take(VALUE_MAX_BYTES as u64 + 1);
    input.read_to_end(&mut value).map_err(Failure::of_input)?;
    if value.len() > VALUE_MAX_BYTES {
        return Err(Failure::Client(ClientError::Refused(
            Refusal::ValueTooLong {
                bytes: value.len() as u64,
                max: VALUE_MAX_BYTES as u64,
            },
        )));
    }
    Ok(Bytes::from(value))
}
