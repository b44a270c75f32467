//! Commands on the bits of values. The highest bit of a byte is the first.

use std::ops::Range;

use kv_common::command::Command;
use kv_common::edit::{BitField, BitFieldOverflow, BitFieldStep, BitOperator, Edit};
use kv_common::limits::VALUE_MAX_BYTES;
use kv_resp::{integer, unsigned};

use crate::call::Call;
use crate::fault::Fault;
use crate::plan::Plan;
use crate::shape::Shape;
use crate::strings::{clamped_range, sub_range};

const BAD_OFFSET: Fault = Fault::text("ERR bit offset is not an integer or out of range");
const BAD_BIT: Fault = Fault::text("ERR bit is not an integer or out of range");
const BAD_FIELD: Fault = Fault::text(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

fn offset(call: &Call<'_>, index: usize) -> Result<u64, Fault> {
    let offset = call.unsigned(index, BAD_OFFSET)?;
    if offset / 8 >= VALUE_MAX_BYTES as u64 {
        return Err(BAD_OFFSET);
    }
    Ok(offset)
}

pub(crate) fn get(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let offset = offset(call, 2)?;
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::Bit { offset }))
}

pub(crate) fn set(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let offset = offset(call, 2)?;
    let bit = match &call.bytes(3)?[..] {
        b"0" => false,
        b"1" => true,
        _ => return Err(BAD_BIT),
    };
    let edit = Edit::SetBit { offset, bit };
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Edit { key, edit }, Shape::Plain))
}

/// What two places mean in so many units.
type Places = fn(usize, i64, i64) -> Range<usize>;

/// Where to look, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct BitRange {
    start: i64,
    end: i64,
    in_bits: bool,
    /// Whether the client said where it ends.
    is_closed: bool,
}

impl BitRange {
    const WHOLE: Self = Self {
        start: 0,
        end: -1,
        in_bits: false,
        is_closed: false,
    };

    /// The bits that are meant, of a value of so many bytes.
    fn bits(&self, bytes: usize, places: Places) -> Range<usize> {
        let unit = if self.in_bits { 1 } else { 8 };
        let range = places(bytes * 8 / unit, self.start, self.end);
        range.start * unit..range.end * unit
    }
}

/// `[start [end [BYTE | BIT]]]`; a count takes both ends or none.
fn range(call: &Call<'_>, from: usize, needs_end: bool) -> Result<BitRange, Fault> {
    let given = call.count().saturating_sub(from);
    if given == 0 {
        return Ok(BitRange::WHOLE);
    }
    if given > 3 || (needs_end && given == 1) {
        return Err(Fault::SYNTAX);
    }
    let in_bits = match (given, call.word(from + 2).as_str()) {
        (3, "BIT") => true,
        (3, "BYTE") | (1 | 2, _) => false,
        _ => return Err(Fault::SYNTAX),
    };
    Ok(BitRange {
        start: call.integer(from)?,
        end: if given > 1 {
            call.integer(from + 1)?
        } else {
            -1
        },
        in_bits,
        is_closed: given > 1,
    })
}

pub(crate) fn count(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let range = range(call, 2, true)?;
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::BitCount(range)))
}

pub(crate) fn position(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let bit = match call.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(Fault::text("ERR The bit argument must be 1 or 0.")),
    };
    let range = range(call, 3, false)?;
    let key = call.bytes(1)?;
    let shape = Shape::BitPosition { bit, range };
    Ok(Plan::Ask(Command::Get { key }, shape))
}

pub(crate) fn get_bit(value: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8)
        .ok()
        .and_then(|at| value.get(at));
    byte.is_some_and(|byte| byte & (0x80 >> (offset % 8)) != 0)
}

pub(crate) fn bit_count(value: &[u8], range: &BitRange) -> u64 {
    let bits = range.bits(value.len(), sub_range);
    if bits.is_empty() {
        return 0;
    }
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    let whole: u64 = value[first..=last]
        .iter()
        .map(|byte| u64::from(byte.count_ones()))
        .sum();
    let before = match bits.start % 8 {
        0 => 0,
        skipped => value[first] >> (8 - skipped),
    };
    let behind_bits = 7 - (bits.end - 1) % 8;
    let behind = u16::from(value[last]) & ((1 << behind_bits) - 1);
    whole - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

/// -1: there is none. In an open range, a 0 is found right behind the end of a value of ones.
pub(crate) fn bit_position(value: Option<&[u8]>, bit: bool, range: &BitRange) -> i64 {
    let Some(value) = value else {
        return if bit { -1 } else { 0 };
    };
    let bits = range.bits(value.len(), clamped_range);
    let skipped = if bit { 0x00 } else { 0xff };
    let mut at = bits.start;
    while at < bits.end {
        if at.is_multiple_of(8) && at + 8 <= bits.end && value[at / 8] == skipped {
            at += 8;
            continue;
        }
        if get_bit(value, at as u64) == bit {
            return at as i64;
        }
        at += 1;
    }
    if !bit && !range.is_closed && !bits.is_empty() {
        return bits.end as i64;
    }
    -1
}

pub(crate) fn combine(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let operator = match call.word(1).as_str() {
        "AND" => BitOperator::And,
        "OR" => BitOperator::Or,
        "XOR" => BitOperator::Xor,
        "NOT" => BitOperator::Not,
        _ => return Err(Fault::SYNTAX),
    };
    let (to, from) = (call.bytes(2)?, call.rest(3));
    if operator == BitOperator::Not && from.len() != 1 {
        return Err(Fault::text(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    let command = Command::CombineBits { operator, to, from };
    Ok(Plan::Ask(command, Shape::Plain))
}

pub(crate) fn fields(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let steps = steps(call)?;
    let edit = Edit::BitFields(steps);
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Edit { key, edit }, Shape::Plain))
}

pub(crate) fn fields_read_only(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let steps = steps(call)?;
    let fields = steps
        .into_iter()
        .map(|step| match step {
            BitFieldStep::Get(field) => Ok(field),
            _ => Err(Fault::text(
                "ERR BITFIELD_RO only supports the GET subcommand",
            )),
        })
        .collect::<Result<Vec<BitField>, Fault>>()?;
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::BitFields(fields)))
}

fn steps(call: &Call<'_>) -> Result<Vec<BitFieldStep>, Fault> {
    let (mut steps, mut overflow, mut at) = (Vec::new(), BitFieldOverflow::Wrap, 2);
    while at < call.count() {
        let word = call.word(at);
        let left = call.count() - at - 1;
        match word.as_str() {
            "OVERFLOW" if left >= 1 => {
                overflow = match call.word(at + 1).as_str() {
                    "WRAP" => BitFieldOverflow::Wrap,
                    "SAT" => BitFieldOverflow::Saturate,
                    "FAIL" => BitFieldOverflow::Fail,
                    _ => return Err(Fault::text("ERR Invalid OVERFLOW type specified")),
                };
                at += 2;
            }
            "GET" if left >= 2 => {
                steps.push(BitFieldStep::Get(field(call, at + 1)?));
                at += 3;
            }
            "SET" | "INCRBY" if left >= 3 => {
                let field = field(call, at + 1)?;
                let number = call.integer(at + 3)?;
                steps.push(match word.as_str() {
                    "SET" => BitFieldStep::Set(field, number, overflow),
                    _ => BitFieldStep::Add(field, number, overflow),
                });
                at += 4;
            }
            _ => return Err(Fault::SYNTAX),
        }
    }
    Ok(steps)
}

/// A type such as `u8`, and a place: a bit, or with `#` so many times the type's width.
fn field(call: &Call<'_>, index: usize) -> Result<BitField, Fault> {
    let kind = call.bytes(index)?;
    let (signed, bits) = match kind.split_first() {
        Some((b'i', bits)) => (true, bits),
        Some((b'u', bits)) => (false, bits),
        _ => return Err(BAD_FIELD),
    };
    let max = if signed { 64 } else { 63 };
    let bits = integer(bits)
        .and_then(|bits| u8::try_from(bits).ok())
        .filter(|bits| (1..=max).contains(bits))
        .ok_or(BAD_FIELD)?;
    let place = call.bytes(index + 1)?;
    let offset = match place.strip_prefix(b"#") {
        Some(times) => unsigned(times).and_then(|times| times.checked_mul(bits.into())),
        None => unsigned(&place),
    };
    let offset = offset
        .filter(|offset| offset / 8 < VALUE_MAX_BYTES as u64)
        .ok_or(BAD_OFFSET)?;
    Ok(BitField {
        signed,
        bits,
        offset,
    })
}

/// The number in a field; bits beyond the end are zero.
pub(crate) fn read_field(value: &[u8], field: &BitField) -> i64 {
    let mut number = 0u64;
    for at in field.offset..field.offset + u64::from(field.bits) {
        number = number << 1 | u64::from(get_bit(value, at));
    }
    let unused = 64 - u32::from(field.bits);
    if field.signed {
        (number << unused) as i64 >> unused
    } else {
        number as i64
    }
}

#[cfg(test)]
mod tests {
    use super::{BitRange, bit_count, bit_position};

    fn bits(start: i64, end: i64) -> BitRange {
        BitRange {
            start,
            end,
            in_bits: true,
            is_closed: true,
        }
    }

    #[test]
    fn counts_agree_with_counting_one_by_one() {
        let value = [0xa5, 0x0f, 0xff, 0x00, 0x81];
        for start in 0..40 {
            for end in start..40 {
                let one_by_one = (start..=end)
                    .filter(|at| value[*at as usize / 8] & (0x80 >> (at % 8)) != 0)
                    .count() as u64;
                assert_eq!(bit_count(&value, &bits(start, end)), one_by_one);
            }
        }
        assert_eq!(bit_count(&[], &BitRange::WHOLE), 0);
    }

    #[test]
    fn positions_of_zeros_reach_beyond_an_open_end() {
        let ones = [0xff, 0xff];
        assert_eq!(bit_position(Some(&ones), false, &BitRange::WHOLE), 16);
        assert_eq!(bit_position(Some(&ones), false, &bits(0, -1)), -1);
        assert_eq!(bit_position(Some(&ones), true, &bits(3, 9)), 3);
        assert_eq!(bit_position(Some(&ones), true, &bits(-1, -100)), -1);
        assert_eq!(bit_position(Some(&ones), true, &bits(-50, -100)), 0);
        assert_eq!(bit_position(Some(&[0, 1]), true, &BitRange::WHOLE), 15);
        assert_eq!(bit_position(None, false, &BitRange::WHOLE), 0);
        assert_eq!(bit_position(None, true, &BitRange::WHOLE), -1);
    }
}
