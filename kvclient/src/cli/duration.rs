//! Durations as people write and read them.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads `10s`, `500ms`, `1m 30s`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration; write it as 10s, 500ms or 5m");
    let parsed: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(parsed).map_err(|_| wrong())
}

/// As [`parse`], but not zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    let duration = parse(text)?;
    if duration.is_zero() {
        return Err("the duration must not be zero".to_owned());
    }
    Ok(duration)
}

/// Writes what [`parse`] reads, to the millisecond.
pub(crate) fn text(duration: Duration) -> String {
    let whole_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let rounded = SignedDuration::from_millis(i64::try_from(whole_ms).unwrap_or(i64::MAX));
    format!("{rounded:#}")
}

/// A short latency, in milliseconds.
pub(crate) fn latency_text(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_positive, text};
    use std::time::Duration;

    #[test]
    fn durations_have_a_unit() {
        let ms = Duration::from_millis;
        for (given, expected) in [
            ("10s", ms(10_000)),
            ("500ms", ms(500)),
            ("5m", ms(300_000)),
            ("1m 30s", ms(90_000)),
            ("0s", ms(0)),
        ] {
            assert_eq!(parse(given), Ok(expected), "{given}");
        }
        for wrong in ["", "10", "ten", "-5s", "5 parsecs"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse_positive("0ms").is_err());
    }

    #[test]
    fn what_is_written_can_be_read() {
        for given in [1, 999, 61_500, 3_600_000] {
            let given = Duration::from_millis(given);
            assert_eq!(parse(&text(given)), Ok(given));
        }
    }
}
