//! Requests as people type them: words between white space, with quotes.

use bytes::Bytes;

/// The words of a line; none: a quote is not closed, or something follows a closing quote at once.
///
/// Within `"…"` the escapes `\n \r \t \b \a \xHH` and `\` before any other byte count, within `'…'`
/// only `\'`.
pub(crate) fn words(line: &[u8]) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        // The protocol's C origins: a zero byte ends the line.
        if rest.is_empty() || rest[0] == 0 {
            return Some(words);
        }
        let (word, left) = word(rest)?;
        words.push(Bytes::from(word));
        rest = left;
    }
}

fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let Some((&byte, behind)) = rest.split_first() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | 0 => break,
            b'"' => return quoted(behind, word),
            b'\'' => return single_quoted(behind, word),
            byte => word.push(byte),
        }
        rest = behind;
    }
    Some((word, rest))
}

fn quoted(mut rest: &[u8], mut word: Vec<u8>) -> Option<(Vec<u8>, &[u8])> {
    loop {
        match rest {
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(nibble(*high) << 4 | nibble(*low));
                rest = behind;
            }
            [b'\\', escaped, behind @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = behind;
            }
            [b'"', behind @ ..] => return ended(behind, word),
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

fn single_quoted(mut rest: &[u8], mut word: Vec<u8>) -> Option<(Vec<u8>, &[u8])> {
    loop {
        match rest {
            [b'\\', b'\'', behind @ ..] => {
                word.push(b'\'');
                rest = behind;
            }
            [b'\'', behind @ ..] => return ended(behind, word),
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

/// A closing quote is followed by white space or by nothing.
fn ended(behind: &[u8], word: Vec<u8>) -> Option<(Vec<u8>, &[u8])> {
    let separated = behind
        .first()
        .is_none_or(|byte| byte.is_ascii_whitespace() || *byte == 0x0b);
    separated.then_some((word, behind))
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    fn read(line: &str) -> Option<Vec<String>> {
        let words = words(line.as_bytes())?;
        Some(
            words
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect(),
        )
    }

    #[test]
    fn quotes_and_escapes() {
        let plain = read("set  key\tvalue ").expect("reads");
        assert_eq!(plain, ["set", "key", "value"]);
        let quoted = read(r#"set "a b" '' "\x41\n\"" 'it\'s'"#).expect("reads");
        assert_eq!(quoted, ["set", "a b", "", "A\\n\\\"", "it\\'s"]);
        assert_eq!(read("   "), Some(Vec::new()));
    }

    #[test]
    fn a_quote_that_is_not_closed_is_no_line() {
        for line in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\", "a \""] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
