//! Numbers in values.
//!
//! A number is decimal text of a whole number of 64 bits with sign, in exactly the form that
//! counting itself writes: an optional `-`, then digits without leading zeros; no `+`, no white
//! space, no `-0`.

use bytes::Bytes;
use kv_common::command::Reply;
use kv_common::entry::Change;
use kv_common::refusal::Refusal;

use super::run::{Found, Run};

impl Run<'_> {
    pub(super) fn incr(&mut self, key: &Bytes, by: i64) -> Result<Reply, Refusal> {
        let found = self.find(key);
        let number = match &found {
            None => 0,
            Some(found) => parse(found.value()).ok_or(Refusal::NotANumber)?,
        };
        let sum = number.checked_add(by).ok_or(Refusal::Overflow)?;
        self.write(Change::Put {
            key: key.clone(),
            value: Bytes::from(sum.to_string()),
            expires_at: found.as_ref().and_then(Found::expires_at),
        });
        Ok(Reply::Integer(sum))
    }
}

fn parse(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let canonical = match digits {
        [b'0'] => value.len() == 1,
        [b'1'..=b'9', ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_the_form_that_counting_writes_is_a_number() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(parse(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "-01",
            "+1",
            " 1",
            "1 ",
            "1a",
            "1.0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999999",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(&[b'1', 0xff]), None);
    }
}
