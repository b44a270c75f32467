//! Decimal numbers with a fraction, added exactly: no digit comes or goes because of a conversion to
//! binary and back.

use std::fmt;

/// Digits behind the point.
const SCALE: usize = 17;
const ONE: i128 = 10i128.pow(SCALE as u32);
/// The longest text that is read as a number.
const TEXT_MAX_BYTES: usize = 256;

/// A number with 17 digits behind the point, and up to 21 before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal(i128);

impl Decimal {
    pub(super) const ZERO: Self = Self(0);

    /// Reads `[+-] digits [. digits] [e [+-] digits]`, with a digit on at least one side of the
    /// point. Digits beyond the 17th behind the point are rounded. None: it is no such number, or
    /// too large.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_MAX_BYTES {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (digits, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 {
            return None;
        }
        // The digits as one whole number stand `shift` places from where they belong.
        let shift = exponent + SCALE as i64 - fraction.len() as i64;
        let mut number = 0i128;
        let mut dropped = None;
        let count = (whole.len() + fraction.len()) as i64;
        for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
            if !digit.is_ascii_digit() {
                return None;
            }
            if index as i64 >= count + shift {
                dropped = dropped.or(Some(digit));
                continue;
            }
            number = number.checked_mul(10)?.checked_add((digit - b'0').into())?;
        }
        if count + shift >= 0 && dropped.is_some_and(|digit| digit >= b'5') {
            number += 1;
        }
        if number != 0 {
            for _ in 0..shift.max(0) {
                number = number.checked_mul(10)?;
            }
        }
        Some(Self(if negative { -number } else { number }))
    }

    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let exponent: i64 = text.parse().ok()?;
    (-10_000..=10_000).contains(&exponent).then_some(exponent)
}

/// Without an exponent, and without zeros at the end of the fraction.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (
            self.0.unsigned_abs() / ONE as u128,
            self.0.unsigned_abs() % ONE as u128,
        );
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if fraction > 0 {
            let digits = format!("{fraction:0SCALE$}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (Decimal::parse(a.as_bytes())?, Decimal::parse(b.as_bytes())?);
        a.checked_add(b).map(|sum| sum.to_string())
    }

    #[test]
    fn sums_are_exact() {
        for (a, b, expected) in [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("-1.5", "0.5", "-1"),
            ("-0.5", "0.25", "-0.25"),
            ("3", "1e-17", "3.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "5e-18", "0.00000000000000001"),
            ("0", "4e-19", "0"),
            ("1.", ".5", "1.5"),
            ("0e9999", "+7", "7"),
            ("99999999999999999999", "1", "100000000000000000000"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "", "-", ".", "e5", "1e", "1e99999", "1e30", "abc", "1 ", " 1", "1.2.3", "0x10", "nan",
            "inf", "--1", "1e5.5",
        ] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Decimal::parse(&[b'1'; 300]), None);
    }
}
