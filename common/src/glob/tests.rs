//! Patterns, also against a matcher that is slow and plain.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use proptest::sample::select;

use super::{Glob, PATTERN_MAX_BYTES};

fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let glob = Glob::parse(pattern).expect("short enough");
    glob.matches(key, &mut 0)
}

/// The definition of a pattern, read off it byte by byte; tries everything a `*` could take.
fn matches_plainly(pattern: &[u8], key: &[u8]) -> bool {
    match pattern {
        [] => key.is_empty(),
        [b'*', rest @ ..] => (0..=key.len()).any(|taken| matches_plainly(rest, &key[taken..])),
        [b'?', rest @ ..] => !key.is_empty() && matches_plainly(rest, &key[1..]),
        [b'\\', byte, rest @ ..] => key.first() == Some(byte) && matches_plainly(rest, &key[1..]),
        [b'[', rest @ ..] => match set_plainly(rest) {
            Some((takes, rest)) => {
                key.first().is_some_and(|byte| takes[usize::from(*byte)])
                    && matches_plainly(rest, &key[1..])
            }
            None => key.first() == Some(&b'[') && matches_plainly(rest, &key[1..]),
        },
        [byte, rest @ ..] => key.first() == Some(byte) && matches_plainly(rest, &key[1..]),
    }
}

fn set_plainly(rest: &[u8]) -> Option<(Vec<bool>, &[u8])> {
    // Each element is a byte and whether it was escaped; the set ends at a bare `]`.
    let mut elements = Vec::new();
    let mut at = 0;
    while *rest.get(at)? != b']' {
        let escaped = rest[at] == b'\\' && at + 1 < rest.len();
        at += usize::from(escaped);
        elements.push((rest[at], escaped));
        at += 1;
    }
    let inverted = elements.first() == Some(&(b'^', false));
    let mut takes = vec![inverted; 256];
    let mut from = usize::from(inverted);
    while from < elements.len() {
        let low = elements[from].0;
        let is_range = elements.get(from + 1) == Some(&(b'-', false)) && from + 2 < elements.len();
        let last = if is_range { from + 2 } else { from };
        let high = elements[last].0;
        for byte in low.min(high)..=low.max(high) {
            takes[usize::from(byte)] = !inverted;
        }
        from = last + 1;
    }
    Some((takes, &rest[at + 1..]))
}

fn symbols(symbols: &'static [u8], length: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(select(symbols), 0..length)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_plain_matcher(
        pattern in symbols(br"**?[]^-\abcd", 10),
        key in symbols(br"abcd*?[]^-\", 8),
    ) {
        prop_assert_eq!(matches(&pattern, &key), matches_plainly(&pattern, &key));
    }

    #[test]
    fn a_key_with_every_byte_escaped_matches_itself(key in vec(any::<u8>(), 0..50)) {
        let pattern: Vec<u8> = key.iter().flat_map(|byte| [b'\\', *byte]).collect();
        assert!(matches(&pattern, &key));
    }
}

#[test]
fn patterns_mean_what_they_say() {
    for (pattern, key, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("user:*:name", "user:17:name", true),
        ("user:*:name", "user:17:mail", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[c-a]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("[a-]", "-", true),
        (r"[\]]", "]", true),
        (r"\*", "*", true),
        (r"\*", "a", false),
        ("[ab", "[ab", true),
        ("a\\", "a\\", true),
        ("[]", "]", false),
        ("[^]", "x", true),
        ("*b*b*", "abab", true),
    ] {
        let found = matches(pattern.as_bytes(), key.as_bytes());
        assert_eq!(found, expected, "{pattern:?} on {key:?}");
        let plain = matches_plainly(pattern.as_bytes(), key.as_bytes());
        assert_eq!(plain, expected, "the plain matcher, {pattern:?} on {key:?}");
    }
}

#[test]
fn many_stars_cost_no_more_than_the_product() {
    let pattern = b"*a".repeat(300);
    let key = [&b"a".repeat(10_000)[..], b"b"].concat();
    let mut steps = 0;
    let glob = Glob::parse(&pattern).expect("short enough");
    assert!(!glob.matches(&key, &mut steps));
    assert!(steps <= 2 * (pattern.len() * key.len()) as u64, "{steps}");
}

#[test]
fn a_pattern_has_a_longest() {
    assert!(Glob::parse(&[b'['; PATTERN_MAX_BYTES]).is_ok());
    assert!(Glob::parse(&[b'['; PATTERN_MAX_BYTES + 1]).is_err());
}
