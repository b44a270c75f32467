//! One key with its value, as the table keeps it.
//!
//! ```text
//! form = head        7 bits a byte, lowest first, bit 7 set on all but the last byte:
//!                    key length × 2, plus 1 when there is an expiry
//!        expires_at  u64, little-endian, only with an expiry
//!        key
//!        value       to the end
//! ```
//!
//! A small value is kept in this form, in one allocation with everything else. A large one is
//! kept beside its key as shared bytes, so that reading it copies nothing.

use bytes::Bytes;
use kv_common::time::UnixMs;

/// Values from this length on are shared, not copied, when they are read.
const SHARED_FROM_BYTES: usize = 16 << 10;

/// The longest head: key lengths go to 2^16, so 18 bits of it are used. The remainder allows for
/// any length that fits in memory.
const HEAD_MAX_BYTES: usize = 10;

const EXPIRY_BYTES: usize = 8;

/// A key, its value, and when it goes.
#[derive(Debug)]
pub(crate) enum Record {
    /// In the form above.
    Packed(Box<[u8]>),
    /// With a large value.
    Shared(Box<Shared>),
}

/// The parts of a record with a large value.
#[derive(Debug)]
pub(crate) struct Shared {
    key: Box<[u8]>,
    value: Bytes,
    expires_at: Option<UnixMs>,
}

// The table holds one of these for each key, beside the allocation behind it.
const _: () = assert!(size_of::<Record>() == 16);

impl Record {
    pub(crate) fn new(key: &[u8], value: &[u8], expires_at: Option<UnixMs>) -> Self {
        if value.len() >= SHARED_FROM_BYTES {
            return Self::Shared(Box::new(Shared {
                key: key.into(),
                value: Bytes::copy_from_slice(value),
                expires_at,
            }));
        }
        let head = Head::new(key.len(), expires_at);
        let mut form = Vec::with_capacity(head.bytes().len() + key.len() + value.len());
        form.extend_from_slice(head.bytes());
        form.extend_from_slice(key);
        form.extend_from_slice(value);
        Self::Packed(form.into_boxed_slice())
    }

    /// Replaces value and expiry, without a new allocation where the lengths allow it.
    pub(crate) fn replace(&mut self, value: &[u8], expires_at: Option<UnixMs>) {
        if let Self::Packed(form) = self {
            let parts = Parts::of(form);
            if parts.value_length(form) == value.len()
                && parts.expires_at.is_some() == expires_at.is_some()
            {
                if let Some(at) = expires_at {
                    let expiry_from = parts.key_from - EXPIRY_BYTES;
                    form[expiry_from..parts.key_from].copy_from_slice(&at.0.to_le_bytes());
                }
                form[parts.value_from..].copy_from_slice(value);
                return;
            }
        }
        *self = Self::new(self.key(), value, expires_at);
    }

    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Packed(form) => {
                let parts = Parts::of(form);
                &form[parts.key_from..parts.value_from]
            }
            Self::Shared(shared) => &shared.key,
        }
    }

    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Packed(form) => &form[Parts::of(form).value_from..],
            Self::Shared(shared) => &shared.value,
        }
    }

    /// Reads the first and the last byte of what a small record takes; a longer one is read for much longer anyway.
    pub(crate) fn touch(&self) -> u8 {
        match self {
            Self::Packed(form) => form[0] ^ form[form.len() - 1],
            Self::Shared(shared) => shared.key.first().copied().unwrap_or(0),
        }
    }

    /// The value as bytes that outlive the record.
    pub(crate) fn value_bytes(&self) -> Bytes {
        match self {
            Self::Packed(_) => Bytes::copy_from_slice(self.value()),
            Self::Shared(shared) => shared.value.clone(),
        }
    }

    pub(crate) fn expires_at(&self) -> Option<UnixMs> {
        match self {
            Self::Packed(form) => Parts::of(form).expires_at,
            Self::Shared(shared) => shared.expires_at,
        }
    }

    /// Hands the bytes of the form, in order, to `take`; the same bytes however they are kept.
    pub(crate) fn for_each_part(&self, mut take: impl FnMut(&[u8])) {
        match self {
            Self::Packed(form) => take(form),
            Self::Shared(shared) => {
                take(Head::new(shared.key.len(), shared.expires_at).bytes());
                take(&shared.key);
                take(&shared.value);
            }
        }
    }
}

/// Everything of the form that stands before the key.
struct Head {
    bytes: [u8; HEAD_MAX_BYTES + EXPIRY_BYTES],
    length: usize,
}

impl Head {
    fn new(key_length: usize, expires_at: Option<UnixMs>) -> Self {
        let mut head = Self {
            bytes: [0; HEAD_MAX_BYTES + EXPIRY_BYTES],
            length: 0,
        };
        let mut left = (key_length as u64) << 1 | u64::from(expires_at.is_some());
        while left >= 0x80 {
            head.push(&[(left & 0x7f) as u8 | 0x80]);
            left >>= 7;
        }
        head.push(&[left as u8]);
        if let Some(at) = expires_at {
            head.push(&at.0.to_le_bytes());
        }
        head
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Where the parts of a form are.
struct Parts {
    key_from: usize,
    value_from: usize,
    expires_at: Option<UnixMs>,
}

impl Parts {
    /// Reads the head of a form, which this file wrote.
    fn of(form: &[u8]) -> Self {
        let mut number = 0u64;
        let mut at = 0;
        loop {
            let byte = form[at];
            number |= u64::from(byte & 0x7f) << (7 * at);
            at += 1;
            if byte < 0x80 {
                break;
            }
        }
        let mut expires_at = None;
        if number & 1 == 1 {
            let mut bytes = [0; EXPIRY_BYTES];
            bytes.copy_from_slice(&form[at..at + EXPIRY_BYTES]);
            expires_at = Some(UnixMs(u64::from_le_bytes(bytes)));
            at += EXPIRY_BYTES;
        }
        Self {
            key_from: at,
            value_from: at + (number >> 1) as usize,
            expires_at,
        }
    }

    fn value_length(&self, form: &[u8]) -> usize {
        form.len() - self.value_from
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, SHARED_FROM_BYTES};
    use kv_common::time::UnixMs;

    #[test]
    fn parts_come_back_for_all_lengths() {
        for key_length in [0, 1, 63, 64, 8191, 8192, 65_536] {
            for value_length in [0, 1, SHARED_FROM_BYTES - 1, SHARED_FROM_BYTES] {
                for expires_at in [None, Some(UnixMs(0)), Some(UnixMs(u64::MAX))] {
                    let key = vec![b'k'; key_length];
                    let value = vec![b'v'; value_length];
                    let record = Record::new(&key, &value, expires_at);
                    assert_eq!(record.key(), key);
                    assert_eq!(record.value(), value);
                    assert_eq!(record.value_bytes(), value);
                    assert_eq!(record.expires_at(), expires_at);
                }
            }
        }
    }

    #[test]
    fn a_replaced_record_is_as_a_new_one() {
        let values: [&[u8]; 4] = [b"", b"old", b"new", &[7; SHARED_FROM_BYTES]];
        let expiries = [None, Some(UnixMs(5)), Some(UnixMs(6))];
        for first in values {
            for second in values {
                for (before, after) in expiries.iter().zip(expiries.iter().rev()) {
                    let mut record = Record::new(b"key", first, *before);
                    record.replace(second, *after);
                    assert_eq!(record.key(), b"key");
                    assert_eq!(record.value(), second);
                    assert_eq!(record.expires_at(), *after);
                }
            }
        }
    }
}
