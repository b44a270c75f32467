//! Splits a line into words.
//!
//! Words are parted by white space. `'…'` takes everything as it is. In `"…"` and outside quotes,
//! `\xNN` is a byte, `\n`, `\r`, `\t` and `\0` are what they are elsewhere, and `\` before anything
//! else is that.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WordsError {
    #[error("a quote {quote} is not closed")]
    OpenQuote { quote: char },
    #[error("\\x must be followed by two hexadecimal digits")]
    BadByte,
    #[error("the line ends in \\")]
    OpenEscape,
}

/// Splits a line into words.
pub(super) fn split(line: &[u8]) -> Result<Vec<OsString>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut rest = line.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some(b'\'') => break,
                        Some(byte) => word.push(byte),
                        None => return Err(WordsError::OpenQuote { quote: '\'' }),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some(b'"') => break,
                        Some(b'\\') => word.push(escaped(&mut rest)?),
                        Some(byte) => word.push(byte),
                        None => return Err(WordsError::OpenQuote { quote: '"' }),
                    }
                }
            }
            b'\\' => {
                let byte = escaped(&mut rest)?;
                word.get_or_insert_default().push(byte);
            }
            byte if byte.is_ascii_whitespace() => words.extend(word.take()),
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

fn escaped(rest: &mut impl Iterator<Item = u8>) -> Result<u8, WordsError> {
    Ok(match rest.next().ok_or(WordsError::OpenEscape)? {
        b'x' => {
            let high = hex_digit(rest.next())?;
            let low = hex_digit(rest.next())?;
            16 * high + low
        }
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        other => other,
    })
}

fn hex_digit(byte: Option<u8>) -> Result<u8, WordsError> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16));
    let digit = digit.and_then(|digit| u8::try_from(digit).ok());
    digit.ok_or(WordsError::BadByte)
}

#[cfg(test)]
mod tests {
    use super::{WordsError, split};
    use std::os::unix::ffi::OsStrExt;

    fn words(line: &str) -> Vec<Vec<u8>> {
        let words = split(line.as_bytes()).expect("splits");
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn white_space_parts_words_and_quotes_keep_it() {
        assert_eq!(words("  put a\tb \n"), [&b"put"[..], b"a", b"b"]);
        assert_eq!(
            words("put 'two words' \"x y\""),
            [&b"put"[..], b"two words", b"x y"]
        );
        assert_eq!(words("a'b'\"c\"d"), [b"abcd"]);
        assert_eq!(words("put '' \"\""), [&b"put"[..], b"", b""]);
        assert!(words("   ").is_empty());
    }

    #[test]
    fn escapes_name_any_byte_but_not_in_single_quotes() {
        assert_eq!(words(r#""\xff\x00\n\"\\""#), [b"\xff\x00\n\"\\"]);
        assert_eq!(words(r"a\ b\x20c"), [b"a b c"]);
        assert_eq!(words(r"'\x41'"), [br"\x41"]);
    }

    #[test]
    fn what_is_left_open_is_an_error() {
        assert_eq!(split(b"'a"), Err(WordsError::OpenQuote { quote: '\'' }));
        assert_eq!(split(b"\"a"), Err(WordsError::OpenQuote { quote: '"' }));
        assert_eq!(split(b"a\\"), Err(WordsError::OpenEscape));
        assert_eq!(split(br"\x4"), Err(WordsError::BadByte));
        assert_eq!(split(br"\xzz"), Err(WordsError::BadByte));
    }
}
