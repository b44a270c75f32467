//! Replies of a RESP2 server.

use bytes::{Buf, Bytes, BytesMut};

use crate::failure::Failure;

/// A longer reply comes from no server that this is meant for.
const REPLY_BYTES_MAX: usize = 1 << 30;
/// Replies within replies.
const DEPTH_MAX: u32 = 4;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Bytes>),
    Array(Vec<Reply>),
}

/// Takes the first reply out of `input`; none if it is not there as a whole yet.
pub(crate) fn take(input: &mut BytesMut) -> Result<Option<Reply>, Failure> {
    let Some(length) = length_of(input, 0)? else {
        return Ok(None);
    };
    let mut whole = input.split_to(length).freeze();
    read(&mut whole).map(Some)
}

/// How long the reply at the start of `input` is; none if that cannot be told yet.
fn length_of(input: &[u8], depth: u32) -> Result<Option<usize>, Failure> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let head = end + 1;
    match input[0] {
        b'$' => {
            let length = number(&input[1..end])?;
            let whole = usize::try_from(length).map_or(head, |length| head + length + 2);
            if whole > REPLY_BYTES_MAX {
                return Err(Failure::NotUnderstood(format!("a reply of {whole} bytes")));
            }
            Ok((input.len() >= whole).then_some(whole))
        }
        b'*' if depth < DEPTH_MAX => {
            let mut at = head;
            for _ in 0..number(&input[1..end])?.max(0) {
                match length_of(&input[at..], depth + 1)? {
                    Some(length) => at += length,
                    None => return Ok(None),
                }
            }
            Ok(Some(at))
        }
        b'+' | b'-' | b':' => Ok(Some(head)),
        other => Err(Failure::NotUnderstood(format!(
            "a reply that begins with {:?}",
            char::from(other)
        ))),
    }
}

/// Reads a reply that is there as a whole.
fn read(input: &mut Bytes) -> Result<Reply, Failure> {
    let end = input.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Failure::NotUnderstood("half a reply".to_owned()))?;
    let line = input.split_to(end + 1);
    let content = line.slice(1..line.len().saturating_sub(2).max(1));
    let text = || String::from_utf8_lossy(&content).into_owned();
    Ok(match line[0] {
        b'+' => Reply::Status(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Integer(number(&content)?),
        b'$' => Reply::Bulk(match usize::try_from(number(&content)?) {
            Err(_) => None,
            Ok(length) => {
                let value = input.split_to(length);
                input.advance(2);
                Some(value)
            }
        }),
        _ => {
            let mut parts = Vec::new();
            for _ in 0..number(&content)?.max(0) {
                parts.push(read(input)?);
            }
            Reply::Array(parts)
        }
    })
}

fn number(digits: &[u8]) -> Result<i64, Failure> {
    let text = std::str::from_utf8(digits).ok().map(str::trim_end);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::NotUnderstood(format!("the number {}", digits.escape_ascii())))
}

#[cfg(test)]
mod tests {
    use super::{Reply, take};
    use bytes::{Bytes, BytesMut};

    #[test]
    fn replies_are_taken_one_by_one_however_they_come() {
        let whole = b"+OK\r\n:2\r\n$5\r\nhello\r\n$-1\r\n*2\r\n$1\r\na\r\n:-3\r\n-ERR no\r\n";
        let expected = [
            Reply::Status("OK".to_owned()),
            Reply::Integer(2),
            Reply::Bulk(Some(Bytes::from_static(b"hello"))),
            Reply::Bulk(None),
            Reply::Array(vec![
                Reply::Bulk(Some(Bytes::from_static(b"a"))),
                Reply::Integer(-3),
            ]),
            Reply::Error("ERR no".to_owned()),
        ];
        for step in [1, 3, whole.len()] {
            let mut input = BytesMut::new();
            let mut taken = Vec::new();
            for part in whole.chunks(step) {
                input.extend_from_slice(part);
                while let Some(reply) = take(&mut input).expect("sound replies") {
                    taken.push(reply);
                }
            }
            assert_eq!(taken, expected, "in parts of {step}");
            assert!(input.is_empty());
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for wrong in [
            "hello\r\n",
            ":x\r\n",
            "$99999999999\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            let mut input = BytesMut::from(wrong);
            assert!(take(&mut input).is_err(), "{wrong:?}");
        }
    }
}
