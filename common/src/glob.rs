//! Patterns over keys.
//!
//! `*` stands for any bytes, `?` for any one byte, `[a-z]` for one byte of a set, `[^a]` for one
//! that is not in it, and `\` takes away the next byte's special meaning, in sets too. A set that
//! is not closed and a `\` at the end stand for themselves. `[]` matches no byte, `[^]` any.

use crate::refusal::Refusal;

/// The longest pattern. Matching takes at most pattern length × key length steps.
const PATTERN_MAX_BYTES: usize = 1024;

/// A pattern, read once for many keys.
#[derive(Debug)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug)]
enum Token {
    Byte(u8),
    AnyByte,
    AnyBytes,
    OneOf(Box<ByteSet>),
}

/// A set of bytes, one bit each.
#[derive(Debug, Default)]
struct ByteSet([u64; 4]);

impl Glob {
    /// Reads a pattern. Every byte string up to the limit is one.
    ///
    /// # Errors
    /// When it is longer than the limit.
    pub fn parse(pattern: &[u8]) -> Result<Self, Refusal> {
        if pattern.len() > PATTERN_MAX_BYTES {
            let why = format!(
                "the pattern has {} bytes; at most {PATTERN_MAX_BYTES} are allowed",
                pattern.len()
            );
            return Err(Refusal::NotAllowed { why });
        }
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((&first, behind)) = rest.split_first() {
            let (token, left) = match first {
                b'*' => (Token::AnyBytes, behind),
                b'?' => (Token::AnyByte, behind),
                b'[' => parse_set(behind).unwrap_or((Token::Byte(b'['), behind)),
                b'\\' => match behind.split_first() {
                    Some((&escaped, left)) => (Token::Byte(escaped), left),
                    None => (Token::Byte(b'\\'), behind),
                },
                byte => (Token::Byte(byte), behind),
            };
            tokens.push(token);
            rest = left;
        }
        Ok(Self { tokens })
    }

    /// Whether the whole key matches. Adds what it cost to `steps`.
    ///
    /// When a byte does not fit, only the last `*` is given one byte more: an earlier one need
    /// never be tried again, for whatever it could take, the later one can take as well.
    #[must_use]
    pub fn matches(&self, key: &[u8], steps: &mut u64) -> bool {
        let (mut token_at, mut key_at) = (0, 0);
        let mut last_star = None;
        loop {
            *steps += 1;
            match self.tokens.get(token_at) {
                Some(Token::AnyBytes) => {
                    last_star = Some((token_at, key_at));
                    token_at += 1;
                    continue;
                }
                Some(token) if key.get(key_at).is_some_and(|byte| token.takes(*byte)) => {
                    token_at += 1;
                    key_at += 1;
                    continue;
                }
                None if key_at == key.len() => return true,
                _ => {}
            }
            match &mut last_star {
                Some((star_at, taken_to)) if *taken_to < key.len() => {
                    *taken_to += 1;
                    token_at = *star_at + 1;
                    key_at = *taken_to;
                }
                _ => return false,
            }
        }
    }
}

/// Reads a set behind its `[`. None: it is not closed.
fn parse_set(behind: &[u8]) -> Option<(Token, &[u8])> {
    let (inverted, mut rest) = match behind.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, behind),
    };
    let mut set = ByteSet::default();
    loop {
        let (&first, left) = rest.split_first()?;
        if first == b']' {
            if inverted {
                set.invert();
            }
            return Some((Token::OneOf(Box::new(set)), left));
        }
        let (low, left) = take_member(rest)?;
        let (high, left) = match left {
            [b'-', next, ..] if *next != b']' => take_member(&left[1..])?,
            _ => (low, left),
        };
        set.add(low.min(high), low.max(high));
        rest = left;
    }
}

/// Takes one byte of a set, which may be escaped.
fn take_member(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [b'\\', escaped, left @ ..] => Some((*escaped, left)),
        [byte, left @ ..] => Some((*byte, left)),
        [] => None,
    }
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::AnyByte => true,
            Self::AnyBytes => false,
            Self::OneOf(set) => set.has(byte),
        }
    }
}

impl ByteSet {
    fn add(&mut self, low: u8, high: u8) {
        for byte in low..=high {
            self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn invert(&mut self) {
        self.0 = self.0.map(|word| !word);
    }
}

#[cfg(test)]
mod tests;
