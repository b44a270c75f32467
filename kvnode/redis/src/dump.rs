//! DUMP and RESTORE: a value in the form in which Redis hands values from server to server.
//!
//! ```text
//! payload = 0x00               the type: a string
//!           string
//!           version u16        of the form; what is written here is 10, that of Redis 7.0
//!           crc u64            CRC-64/Jones of everything before it
//! string  = 00nnnnnn           length, then so many bytes
//!         | 01nnnnnn n         length of 14 bits, the high ones first
//!         | 0x80 u32           length, big-endian
//!         | 0x81 u64           length, big-endian
//!         | 0xc0 i8 | 0xc1 i16 | 0xc2 i32   a number as text
//!         | 0xc3 length length bytes        compressed with LZF: its length, that of the value
//! ```
//!
//! Numbers are little-endian where nothing else is said. Nothing is written compressed.

use bytes::{BufMut, Bytes, BytesMut};
use kv_common::command::{Command, Expiry, PutCondition};
use kv_common::edit::{Edit, ExpiryEdit};
use kv_common::limits::VALUE_MAX_BYTES;
use kv_common::time::UnixMs;
use kv_resp::integer;

use crate::call::Call;
use crate::fault::Fault;
use crate::plan::Plan;
use crate::shape::Shape;

const STRING_TYPE: u8 = 0;
const VERSION_WRITTEN: u16 = 10;
/// The newest version that strings are known to be the same in.
const VERSION_READ_MAX: u16 = 12;
const BAD_FORMAT: Fault = Fault::text("ERR Bad data format");

pub(crate) fn dump(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::Dump))
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`.
pub(crate) fn restore(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let (mut replaces, mut is_absolute, mut at) = (false, false, 4);
    while at < call.count() {
        match call.word(at).as_str() {
            "REPLACE" => replaces = true,
            "ABSTTL" => is_absolute = true,
            // How often and when keys are used is not tracked.
            "IDLETIME" if at + 1 < call.count() => {
                at += 1;
                if call.integer(at)? < 0 {
                    return Err(Fault::text("ERR Invalid IDLETIME value, must be >= 0"));
                }
            }
            "FREQ" if at + 1 < call.count() => {
                at += 1;
                if !(0..=255).contains(&call.integer(at)?) {
                    return Err(Fault::text(
                        "ERR Invalid FREQ value, must be >= 0 and <= 255",
                    ));
                }
            }
            _ => return Err(Fault::SYNTAX),
        }
        at += 1;
    }
    let ttl_ms = u64::try_from(call.integer(2)?)
        .map_err(|_| Fault::text("ERR Invalid TTL value, must be >= 0"))?;
    let value = unpacked(&call.bytes(3)?)?;
    let expiry = match ttl_ms {
        0 => ExpiryEdit::Drop,
        at if is_absolute => ExpiryEdit::Replace(Expiry::At(UnixMs(at))),
        after => ExpiryEdit::Replace(Expiry::AfterMs(after)),
    };
    let condition = if replaces {
        PutCondition::Always
    } else {
        PutCondition::IfAbsent
    };
    let edit = Edit::Set {
        value,
        expiry,
        condition,
        returns_old: false,
    };
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Edit { key, edit }, Shape::Restored))
}

/// A value as a payload.
pub(crate) fn packed(value: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(value.len() + 16);
    payload.put_u8(STRING_TYPE);
    let number = integer(value).and_then(|number| i32::try_from(number).ok());
    match (number, value.len()) {
        (Some(number), _) => {
            if let Ok(number) = i8::try_from(number) {
                payload.put_u8(0xc0);
                payload.put_i8(number);
            } else if let Ok(number) = i16::try_from(number) {
                payload.put_u8(0xc1);
                payload.put_i16_le(number);
            } else {
                payload.put_u8(0xc2);
                payload.put_i32_le(number);
            }
        }
        (None, length @ 0..64) => payload.put_u8(length as u8),
        (None, length @ 64..16_384) => payload.put_u16(0x4000 | length as u16),
        (None, length) => {
            payload.put_u8(0x80);
            // A value has far less than 4 GiB.
            payload.put_u32(length as u32);
        }
    }
    if number.is_none() {
        payload.put_slice(value);
    }
    payload.put_u16_le(VERSION_WRITTEN);
    payload.put_u64_le(crc64(&payload));
    payload.freeze()
}

/// The value in a payload.
fn unpacked(payload: &[u8]) -> Result<Bytes, Fault> {
    let wrong = Fault::text("ERR DUMP payload version or checksum are wrong");
    let (covered, crc) = payload.split_last_chunk::<8>().ok_or(wrong.clone())?;
    let (content, version) = covered.split_last_chunk::<2>().ok_or(wrong.clone())?;
    let genuine = crc64(covered) == u64::from_le_bytes(*crc);
    if !genuine || u16::from_le_bytes(*version) > VERSION_READ_MAX {
        return Err(wrong);
    }
    let Some((&STRING_TYPE, string)) = content.split_first() else {
        return Err(Fault::text(
            "ERR Bad data format: there are strings here and no other type",
        ));
    };
    read_string(string).ok_or(BAD_FORMAT)
}

fn read_string(string: &[u8]) -> Option<Bytes> {
    let number = |text: String| Some(Bytes::from(text));
    match string {
        [0xc0, byte] => number(i8::from_le_bytes([*byte]).to_string()),
        [0xc1, bytes @ ..] => number(i16::from_le_bytes(bytes.try_into().ok()?).to_string()),
        [0xc2, bytes @ ..] => number(i32::from_le_bytes(bytes.try_into().ok()?).to_string()),
        [0xc3, rest @ ..] => {
            let (compressed_length, rest) = read_length(rest)?;
            let (length, rest) = read_length(rest)?;
            if rest.len() != compressed_length || length > VALUE_MAX_BYTES {
                return None;
            }
            decompress(rest, length)
        }
        _ => {
            let (length, rest) = read_length(string)?;
            (rest.len() == length).then(|| Bytes::copy_from_slice(rest))
        }
    }
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..0x40 => Some((first.into(), rest)),
        0x40..0x80 => {
            let (&second, rest) = rest.split_first()?;
            Some((usize::from(first & 0x3f) << 8 | usize::from(second), rest))
        }
        0x80 => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*length) as usize, rest))
        }
        0x81 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
            Some((length, rest))
        }
        _ => None,
    }
}

/// LZF: runs of literal bytes, and copies of what came up to 8 KiB earlier.
fn decompress(mut input: &[u8], length: usize) -> Option<Bytes> {
    let mut output = Vec::new();
    while let Some((&control, rest)) = input.split_first() {
        input = rest;
        if control < 32 {
            let (literal, rest) = input.split_at_checked(usize::from(control) + 1)?;
            output.extend_from_slice(literal);
            input = rest;
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                let (&more, rest) = input.split_first()?;
                count += usize::from(more);
                input = rest;
            }
            let (&low, rest) = input.split_first()?;
            input = rest;
            let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
            let from = output.len().checked_sub(back)?;
            for index in from..from + count + 2 {
                output.push(output[index]);
            }
        }
        if output.len() > length {
            return None;
        }
    }
    (output.len() == length).then(|| Bytes::from(output))
}

/// The reversed polynomial of CRC-64/Jones.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// What a byte does to the checksum, and what it does when up to seven others follow: eight bytes are taken at
/// once, because the longest value is looked at within a turn.
const CRC_TABLES: [[u64; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut index = 0;
        while index < 256 {
            let crc = tables[behind - 1][index];
            tables[behind][index] = crc >> 8 ^ tables[0][(crc & 0xff) as usize];
            index += 1;
        }
        behind += 1;
    }
    tables
};

fn crc64(bytes: &[u8]) -> u64 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &CRC_TABLES;
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(0, |crc, word| {
        let [a, b, c, d, e, f, g, h] = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        let first = t7[usize::from(a)] ^ t6[usize::from(b)] ^ t5[usize::from(c)];
        let last = t4[usize::from(d)] ^ t3[usize::from(e)] ^ t2[usize::from(f)];
        first ^ last ^ t1[usize::from(g)] ^ t0[usize::from(h)]
    });
    rest.iter().fold(crc, |crc, byte| {
        crc >> 8 ^ t0[usize::from(crc as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::{POLYNOMIAL, crc64, decompress, packed, unpacked};

    #[test]
    fn the_checksum_is_the_one_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let bytes: Vec<u8> = (0..100u8).map(|number| number.wrapping_mul(31)).collect();
        for length in 0..bytes.len() {
            let one_by_one = bytes[..length].iter().fold(0u64, |crc, byte| {
                let crc = crc ^ u64::from(*byte);
                (0..8).fold(crc, |crc, _| crc >> 1 ^ (POLYNOMIAL * (crc & 1)))
            });
            assert_eq!(crc64(&bytes[..length]), one_by_one, "{length} bytes");
        }
    }

    #[test]
    fn values_come_back() {
        let long = vec![b'x'; 20_000];
        for value in [
            &b""[..],
            b"text",
            b"0",
            b"-7",
            b"300",
            b"-70000",
            b"2147483648",
            b"007",
            &long[..63],
            &long[..64],
            &long[..16_383],
            &long[..16_384],
            &long,
        ] {
            assert_eq!(unpacked(&packed(value)).expect("our own"), value);
        }
    }

    #[test]
    fn a_payload_with_any_byte_changed_is_refused() {
        let payload = packed(b"some text");
        for index in 0..payload.len() {
            let mut changed = payload.to_vec();
            changed[index] ^= 0x10;
            assert!(unpacked(&changed).is_err(), "byte {index}");
            assert!(unpacked(&payload[..index]).is_err(), "{index} bytes");
        }
    }

    #[test]
    fn what_is_compressed_is_read_and_nonsense_is_not() {
        // "a", then a copy of 1 byte back, 7 + 2 + 2 = 11 times.
        assert_eq!(
            decompress(&[0, b'a', 0xe0, 2, 0], 12).expect("reads"),
            &[b'a'; 12][..]
        );
        for (bytes, length) in [
            (&[0, b'a', 0xe0, 2, 0][..], 11),
            (&[0, b'a', 0xe0, 2, 1], 12),
            (&[5, b'a'], 6),
            (&[0x20], 3),
            (&[], 1),
        ] {
            assert_eq!(decompress(bytes, length), None, "{bytes:?}");
        }
    }
}
