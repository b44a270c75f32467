//! Commands that read a value and write it in one step.

use bytes::{Bytes, BytesMut};
use kv_common::command::{PutCondition, Reply};
use kv_common::edit::{Edit, ExpiryEdit};
use kv_common::entry::Change;
use kv_common::limits::VALUE_MAX_BYTES;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;

use super::decimal::Decimal;
use super::run::{Found, Run};

impl Run<'_> {
    pub(super) fn edit(&mut self, key: &Bytes, edit: &Edit) -> Result<Reply, Refusal> {
        Ok(match edit {
            Edit::Set {
                value,
                expiry,
                condition,
                returns_old,
            } => self.set(key, value, *expiry, condition, *returns_old),
            Edit::GetAndExpire(expiry) => self.get_and_expire(key, *expiry),
            Edit::Take => self.take(key),
            Edit::Remove(condition) => self.remove_if(key, condition),
            Edit::Expire { expiry, condition } => self.expire(key, *expiry, *condition),
            Edit::Append(tail) => self.append(key, tail)?,
            Edit::Overwrite { offset, part } => self.overwrite(key, *offset, part)?,
            Edit::AddDecimal(by) => self.add_decimal(key, by)?,
            Edit::SetBit { offset, bit } => self.set_bit(key, *offset, *bit)?,
            Edit::BitFields(steps) => self.bit_fields(key, steps)?,
        })
    }

    fn set(
        &mut self,
        key: &Bytes,
        value: &Bytes,
        expiry: ExpiryEdit,
        condition: &PutCondition,
        returns_old: bool,
    ) -> Reply {
        let looks = returns_old || expiry == ExpiryEdit::Keep;
        let found = if looks { self.find(key) } else { None };
        let holds = self.holds(key, condition);
        if holds {
            let old_expiry = found.as_ref().and_then(Found::expires_at);
            let expires_at = self.edited(expiry, old_expiry);
            self.write_value(key, value.clone(), expires_at);
        }
        match (returns_old, holds) {
            (true, _) => Reply::Value(found.map(|found| found.value_bytes())),
            (false, true) => Reply::Done,
            (false, false) => Reply::ConditionFailed,
        }
    }

    fn edited(&self, edit: ExpiryEdit, old: Option<UnixMs>) -> Option<UnixMs> {
        match edit {
            ExpiryEdit::Drop => None,
            ExpiryEdit::Keep => old,
            ExpiryEdit::Replace(expiry) => Some(self.resolve(expiry)),
        }
    }

    fn get_and_expire(&mut self, key: &Bytes, edit: ExpiryEdit) -> Reply {
        let Some(found) = self.find(key) else {
            return Reply::Value(None);
        };
        let (value, old) = (found.value_bytes(), found.expires_at());
        let new = self.edited(edit, old);
        if new != old {
            self.write_value(key, value.clone(), new);
        }
        Reply::Value(Some(value))
    }

    fn take(&mut self, key: &Bytes) -> Reply {
        let value = self.find(key).map(|found| found.value_bytes());
        if value.is_some() {
            self.write(Change::Delete { key: key.clone() });
        }
        Reply::Value(value)
    }

    fn remove_if(&mut self, key: &Bytes, condition: &PutCondition) -> Reply {
        let goes = self.find(key).is_some() && self.holds(key, condition);
        if goes {
            self.write(Change::Delete { key: key.clone() });
        }
        Reply::Count(goes.into())
    }

    fn append(&mut self, key: &Bytes, tail: &Bytes) -> Result<Reply, Refusal> {
        let found = self.find(key);
        let before = found.as_ref().map_or(0, |found| found.value().len());
        let length = checked_length(before as u64 + tail.len() as u64)?;
        // An empty value is made of nothing, and nothing is changed by adding nothing.
        if found.is_none() || !tail.is_empty() {
            let mut value = BytesMut::with_capacity(length);
            value.extend_from_slice(found.as_ref().map_or(&[], |found| found.value()));
            value.extend_from_slice(tail);
            let expires_at = found.as_ref().and_then(Found::expires_at);
            self.write_value(key, value.freeze(), expires_at);
        }
        Ok(Reply::Count(length as u64))
    }

    fn overwrite(&mut self, key: &Bytes, offset: u64, part: &Bytes) -> Result<Reply, Refusal> {
        let found = self.find(key);
        let before = found.as_ref().map_or(0, |found| found.value().len());
        if part.is_empty() {
            return Ok(Reply::Count(before as u64));
        }
        let end = checked_length(offset.saturating_add(part.len() as u64))?;
        let mut value = zero_filled(found.as_ref(), end);
        value[end - part.len()..end].copy_from_slice(part);
        let length = value.len() as u64;
        let expires_at = found.as_ref().and_then(Found::expires_at);
        self.write_value(key, value.freeze(), expires_at);
        Ok(Reply::Count(length))
    }

    fn add_decimal(&mut self, key: &Bytes, by: &[u8]) -> Result<Reply, Refusal> {
        let found = self.find(key);
        let by = Decimal::parse(by).ok_or(Refusal::NotADecimal)?;
        let before = match &found {
            None => Decimal::ZERO,
            Some(found) => Decimal::parse(found.value()).ok_or(Refusal::NotADecimal)?,
        };
        let sum = before.checked_add(by).ok_or(Refusal::DecimalOverflow)?;
        let value = Bytes::from(sum.to_string());
        let expires_at = found.as_ref().and_then(Found::expires_at);
        self.write_value(key, value.clone(), expires_at);
        Ok(Reply::Value(Some(value)))
    }
}

/// A length that a value may have.
pub(super) fn checked_length(bytes: u64) -> Result<usize, Refusal> {
    usize::try_from(bytes)
        .ok()
        .filter(|length| *length <= VALUE_MAX_BYTES)
        .ok_or(Refusal::ValueTooLong {
            bytes,
            max: VALUE_MAX_BYTES as u64,
        })
}

/// The value, made at least so long with zero bytes.
pub(super) fn zero_filled(found: Option<&Found<'_>>, length_min: usize) -> BytesMut {
    let value = found.map_or(&[][..], |found| found.value());
    let mut filled = BytesMut::with_capacity(length_min.max(value.len()));
    filled.extend_from_slice(value);
    if filled.len() < length_min {
        filled.resize(length_min, 0);
    }
    filled
}
