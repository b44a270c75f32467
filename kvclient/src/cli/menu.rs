//! menu: an interactive client that asks for a number, a key and a value. Reads words, so that
//! input may as well come from a file.

use std::io::BufRead;

use bytes::Bytes;
use kv_common::command::PutCondition;
use kvclient::PutOptions;

use super::Context;
use super::failure::{self, Failure, Verdict};

const MENU: &str = "1. get\n2. add/update\n3. delete\n4. quit\nEnter your choice: ";

pub(crate) async fn run(context: &mut Context) -> Result<Verdict, Failure> {
    let mut last = Ok(Verdict::Done);
    loop {
        context.output.bytes(MENU.as_bytes())?;
        context.output.flush()?;
        let Some(choice) = next_word().await? else {
            context.output.line("")?;
            return last;
        };
        let chosen = match choice.as_str() {
            "1" => get(context).await,
            "2" => add_or_update(context).await,
            "3" => delete(context).await,
            "4" => return last,
            other => {
                let line = format!("There is no choice {other}");
                context.output.line(line).map(|()| Verdict::Done)
            }
        };
        if let Err(failure @ Failure::Stream { .. }) = chosen {
            return Err(failure);
        }
        if let Err(failure) = &chosen {
            context.output.flush()?;
            failure::complain(failure);
        }
        last = chosen.map(|_| Verdict::Done);
    }
}

async fn get(context: &mut Context) -> Result<Verdict, Failure> {
    let Some(key) = ask(context, "Enter key: ").await? else {
        return Ok(Verdict::Done);
    };
    let line = match context.client.get(key.clone()).await? {
        Some(value) => [b"Value of ", key.as_bytes(), b" is ", &value[..]].concat(),
        None => format!("There is no key {key}").into_bytes(),
    };
    context.output.line(line)?;
    Ok(Verdict::Done)
}

async fn add_or_update(context: &mut Context) -> Result<Verdict, Failure> {
    let Some(key) = ask(context, "Enter key: ").await? else {
        return Ok(Verdict::Done);
    };
    let Some(value) = ask(context, "Enter value: ").await? else {
        return Ok(Verdict::Done);
    };
    let value = Bytes::from(value);
    let only_new = PutOptions {
        condition: PutCondition::IfAbsent,
        ..PutOptions::default()
    };
    let client = &context.client;
    let added = client
        .put_with(key.clone(), value.clone(), only_new)
        .await?;
    if !added {
        client.put(key.clone(), value.clone()).await?;
    }
    let done = if added { "added" } else { "updated" };
    let line = format!("Key {key} is {done}, its value is ").into_bytes();
    context.output.line([&line[..], &value[..]].concat())?;
    Ok(Verdict::Done)
}

async fn delete(context: &mut Context) -> Result<Verdict, Failure> {
    let Some(key) = ask(context, "Enter key: ").await? else {
        return Ok(Verdict::Done);
    };
    let deleted = context
        .client
        .delete(vec![Bytes::from(key.clone())])
        .await?;
    let line = if deleted > 0 {
        format!("Key {key} is deleted")
    } else {
        format!("There is no key {key}")
    };
    context.output.line(line)?;
    Ok(Verdict::Done)
}

async fn ask(context: &mut Context, prompt: &str) -> Result<Option<String>, Failure> {
    context.output.bytes(prompt.as_bytes())?;
    context.output.flush()?;
    next_word().await
}

/// The next word of standard input, read on a thread of its own so that connections stay served.
async fn next_word() -> Result<Option<String>, Failure> {
    let read = tokio::task::spawn_blocking(|| read_word(std::io::stdin().lock()));
    match read.await {
        Ok(word) => word.map_err(Failure::of_input),
        Err(_) => Ok(None),
    }
}

fn read_word(input: impl BufRead) -> std::io::Result<Option<String>> {
    let mut word = Vec::new();
    for byte in input.bytes() {
        let byte = byte?;
        if !byte.is_ascii_whitespace() {
            word.push(byte);
        } else if !word.is_empty() {
            break;
        }
    }
    let text = String::from_utf8_lossy(&word).into_owned();
    Ok((!word.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::read_word;

    #[test]
    fn words_are_parted_by_any_white_space() {
        let mut input = &b"  1\n\ta key\r\nlast"[..];
        let mut words = Vec::new();
        while let Some(word) = read_word(&mut input).expect("reads") {
            words.push(word);
        }
        assert_eq!(words, ["1", "a", "key", "last"]);
    }
}
