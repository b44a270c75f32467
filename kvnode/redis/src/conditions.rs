//! Conditions on the value that a key has, as SET and DELEX take them.

use bytes::Bytes;
use kv_common::command::PutCondition;

use crate::call::Call;
use crate::fault::Fault;

/// Digits of a digest.
const DIGEST_DIGITS: usize = 16;

/// The condition that begins at a place, with the value or the digest behind its name; none: there
/// stands no such condition.
pub(crate) fn value_condition(call: &Call<'_>, at: usize) -> Result<Option<PutCondition>, Fault> {
    let Some(operand) = call.arguments.get(at + 1) else {
        return Ok(None);
    };
    Ok(Some(match call.word(at).as_str() {
        "IFEQ" => PutCondition::IfEquals(operand.clone()),
        "IFNE" => PutCondition::IfDiffers(operand.clone()),
        "IFDEQ" => PutCondition::IfDigestEquals(digest(operand)?),
        "IFDNE" => PutCondition::IfDigestDiffers(digest(operand)?),
        _ => return Ok(None),
    }))
}

/// A digest as DIGEST tells it, with digits in either case.
fn digest(operand: &Bytes) -> Result<u64, Fault> {
    let all_digits = operand.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(operand)
        .ok()
        .filter(|digits| all_digits && digits.len() == DIGEST_DIGITS)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Fault::text(
            "ERR the digest must be exactly 16 hexadecimal characters",
        ))
}
