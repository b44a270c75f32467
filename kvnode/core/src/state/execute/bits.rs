//! Commands on the bits of values. The highest bit of a byte is the first.

use bytes::{Bytes, BytesMut};
use kv_common::command::Reply;
use kv_common::edit::{BitField, BitFieldOverflow, BitFieldStep, BitOperator};
use kv_common::entry::Change;
use kv_common::refusal::Refusal;

use super::edits::{checked_length, zero_filled};
use super::run::{Found, Run};

impl Run<'_> {
    pub(super) fn set_bit(
        &mut self,
        key: &Bytes,
        offset: u64,
        bit: bool,
    ) -> Result<Reply, Refusal> {
        let found = self.find(key);
        let length = checked_length(offset / 8 + 1)?;
        let mut value = zero_filled(found.as_ref(), length);
        let mask = 0x80 >> (offset % 8);
        let byte = &mut value[length - 1];
        let before = *byte & mask != 0;
        *byte = if bit { *byte | mask } else { *byte & !mask };
        let expires_at = found.as_ref().and_then(Found::expires_at);
        self.write_value(key, value.freeze(), expires_at);
        Ok(Reply::Count(before.into()))
    }

    /// Works on one copy of the value, and writes it once, if a step sets or adds.
    pub(super) fn bit_fields(
        &mut self,
        key: &Bytes,
        steps: &[BitFieldStep],
    ) -> Result<Reply, Refusal> {
        let found = self.find(key);
        let mut needed = 0;
        for step in steps {
            let field = step_field(step);
            let end = field.offset.saturating_add(u64::from(field.bits));
            if !matches!(step, BitFieldStep::Get(_)) {
                needed = needed.max(checked_length(end.div_ceil(8))?);
            }
        }
        if needed == 0 {
            // Nothing is written: a long value is not copied to be read.
            let value = found.as_ref().map_or(&[][..], |found| found.value());
            let numbers = steps.iter().map(|step| read(value, step_field(step)));
            let numbers = numbers.map(|number| Some(narrow(number))).collect();
            return Ok(Reply::Numbers(numbers));
        }
        let mut value = zero_filled(found.as_ref(), needed);
        let numbers = steps.iter().map(|step| take_step(&mut value, step));
        let numbers = numbers.collect();
        let expires_at = found.as_ref().and_then(Found::expires_at);
        self.write_value(key, value.freeze(), expires_at);
        Ok(Reply::Numbers(numbers))
    }

    pub(super) fn combine_bits(
        &mut self,
        operator: BitOperator,
        to: &Bytes,
        from: &[Bytes],
    ) -> Result<Reply, Refusal> {
        let values: Vec<Bytes> = from
            .iter()
            .map(|key| self.find(key).map_or_else(Bytes::new, |f| f.value_bytes()))
            .collect();
        self.spend(values.iter().map(|value| value.len() as u64).sum())?;
        let length = values.iter().map(Bytes::len).max().unwrap_or(0);
        let mut combined = BytesMut::zeroed(length);
        if let Some((first, rest)) = values.split_first() {
            combined[..first.len()].copy_from_slice(first);
            for value in rest {
                combine(operator, &mut combined, value);
            }
        }
        if operator == BitOperator::Not {
            combined.iter_mut().for_each(|byte| *byte = !*byte);
        }
        if length > 0 {
            self.write_value(to, combined.freeze(), None);
        } else if self.find(to).is_some() {
            self.write(Change::Delete { key: to.clone() });
        }
        Ok(Reply::Count(length as u64))
    }
}

/// A shorter value counts as filled up with zero bytes.
fn combine(operator: BitOperator, combined: &mut [u8], value: &[u8]) {
    let (covered, beyond) = combined.split_at_mut(value.len());
    let pairs = covered.iter_mut().zip(value);
    match operator {
        BitOperator::And => {
            pairs.for_each(|(byte, other)| *byte &= other);
            beyond.fill(0);
        }
        BitOperator::Or => pairs.for_each(|(byte, other)| *byte |= other),
        BitOperator::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
        BitOperator::Not => {}
    }
}

fn step_field(step: &BitFieldStep) -> BitField {
    match step {
        BitFieldStep::Get(field) | BitFieldStep::Set(field, ..) | BitFieldStep::Add(field, ..) => {
            *field
        }
    }
}

fn take_step(value: &mut [u8], step: &BitFieldStep) -> Option<i64> {
    let field = step_field(step);
    let before = read(value, field);
    let (wanted, overflow) = match step {
        BitFieldStep::Get(_) => return Some(narrow(before)),
        BitFieldStep::Set(_, number, overflow) => (i128::from(*number), *overflow),
        BitFieldStep::Add(_, by, overflow) => (before + i128::from(*by), *overflow),
    };
    let fitted = fit(wanted, field, overflow)?;
    write(value, field, fitted);
    Some(narrow(match step {
        BitFieldStep::Set(..) => before,
        _ => fitted,
    }))
}

/// Every field fits 64 bits with a sign: one without has at most 63.
fn narrow(number: i128) -> i64 {
    number as i64
}

/// Bits beyond the end are zero.
fn read(value: &[u8], field: BitField) -> i128 {
    let mut number = 0i128;
    for at in field.offset..field.offset.saturating_add(u64::from(field.bits)) {
        let byte = usize::try_from(at / 8).ok().and_then(|at| value.get(at));
        let bit = byte.is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
        number = number << 1 | i128::from(bit);
    }
    if field.signed && number >> (field.bits - 1) & 1 == 1 {
        number -= 1 << field.bits;
    }
    number
}

fn write(value: &mut [u8], field: BitField, number: i128) {
    for index in 0..field.bits {
        let at = field.offset + u64::from(index);
        let set = number >> (field.bits - 1 - index) & 1 == 1;
        let mask = 0x80 >> (at % 8);
        if let Some(byte) = usize::try_from(at / 8)
            .ok()
            .and_then(|at| value.get_mut(at))
        {
            *byte = if set { *byte | mask } else { *byte & !mask };
        }
    }
}

fn fit(number: i128, field: BitField, overflow: BitFieldOverflow) -> Option<i128> {
    let (min, max) = if field.signed {
        let half = 1i128 << (field.bits - 1);
        (-half, half - 1)
    } else {
        (0, (1i128 << field.bits) - 1)
    };
    if (min..=max).contains(&number) {
        return Some(number);
    }
    match overflow {
        BitFieldOverflow::Fail => None,
        BitFieldOverflow::Saturate => Some(if number < min { min } else { max }),
        BitFieldOverflow::Wrap => Some((number - min).rem_euclid(max - min + 1) + min),
    }
}

#[cfg(test)]
mod tests {
    use super::{fit, read, write};
    use kv_common::edit::{BitField, BitFieldOverflow};

    #[test]
    fn numbers_come_back_at_any_place() {
        for bits in 1..=64 {
            for offset in [0, 1, 7, 8, 13] {
                let signed = bits == 64 || offset == 1;
                let field = BitField {
                    signed,
                    bits,
                    offset,
                };
                let (low, high) = if signed {
                    (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
                } else {
                    (0, (1i128 << bits) - 1)
                };
                for number in [low, 0, high] {
                    let mut value = [0xa5; 12];
                    write(&mut value, field, number);
                    assert_eq!(read(&value, field), number, "{field:?}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_wraps_saturates_or_fails() {
        let field = BitField {
            signed: true,
            bits: 8,
            offset: 0,
        };
        assert_eq!(fit(128, field, BitFieldOverflow::Wrap), Some(-128));
        assert_eq!(fit(-129, field, BitFieldOverflow::Wrap), Some(127));
        assert_eq!(fit(300, field, BitFieldOverflow::Saturate), Some(127));
        assert_eq!(fit(-300, field, BitFieldOverflow::Saturate), Some(-128));
        assert_eq!(fit(128, field, BitFieldOverflow::Fail), None);
        assert_eq!(fit(127, field, BitFieldOverflow::Fail), Some(127));
    }
}
