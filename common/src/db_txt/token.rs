//! Tokens, and what is special about some.

use std::borrow::Cow;

use crate::id::{Epoch, Position, Seq};
use crate::time::UnixMs;

/// The first line of an encoded file.
pub(super) const ENCODING: &[u8] = b"%encoding=percent";
const ENCODING_START: &[u8] = b"%encoding=";
/// What begins the line of an expiry.
pub(super) const EXPIRES: &[u8] = b"%expires=";
/// What begins the line of a position.
pub(super) const POSITION: &[u8] = b"%position=";
/// The empty string in an encoded file.
const EMPTY: &[u8] = b"%";

/// A line of one token that is not a pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Special<'token> {
    Expires { at: UnixMs, key: &'token [u8] },
    Position(Position),
}

/// Whether `key` could be taken for one of our own tokens.
pub(super) fn looks_special(key: &[u8]) -> bool {
    [ENCODING_START, EXPIRES, POSITION]
        .iter()
        .any(|start| key.starts_with(start))
}

/// Whether `token` can stand in a file as it is.
pub(super) fn is_plain(token: &[u8]) -> bool {
    !token.is_empty() && token.iter().all(u8::is_ascii_graphic)
}

/// White space as C++ streams know it.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r')
}

/// What a token that stands alone on its line says; nothing if it is none of ours.
pub(super) fn parse_special(token: &[u8]) -> Option<Special<'_>> {
    if let Some(rest) = token.strip_prefix(EXPIRES) {
        let comma = rest.iter().position(|byte| *byte == b',')?;
        let at = UnixMs(parse_number(&rest[..comma])?);
        let key = &rest[comma + 1..];
        return Some(Special::Expires { at, key });
    }
    let rest = token.strip_prefix(POSITION)?;
    let comma = rest.iter().position(|byte| *byte == b',')?;
    Some(Special::Position(Position {
        epoch: Epoch(parse_number(&rest[..comma])?),
        seq: Seq(parse_number(&rest[comma + 1..])?),
    }))
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Encodes a token.
pub(super) fn encode(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_empty() {
        return Cow::Borrowed(EMPTY);
    }
    let stands = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
    if bytes.iter().all(stands) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if stands(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(percent_encoding::percent_encode_byte(*byte).as_bytes());
        }
    }
    Cow::Owned(out)
}

/// Decodes a token; nothing if a `%` is not followed by two hexadecimal digits.
pub(super) fn decode(token: &[u8]) -> Option<Vec<u8>> {
    if token == EMPTY {
        return Some(Vec::new());
    }
    let mut rest = token;
    let mut out = Vec::with_capacity(token.len());
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        out.push(16 * hex_digit(digits[0])? + hex_digit(digits[1])?);
        rest = behind;
    }
    Some(out)
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}
