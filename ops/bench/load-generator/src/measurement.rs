//! What a run came to, as a JSON object on a line.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a run came to. A report reads many of these, with the row and the contender beside them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Measurement {
    pub(crate) row: String,
    pub(crate) contender: String,
    /// Where the run stands on the x axis of a curve; absent for one that is on none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<f64>,
    /// By name; a name ends in its unit.
    pub(crate) figures: std::collections::BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
}

/// What stands beside the figures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Labels {
    /// The row that this is a run of
    #[arg(long, default_value = "run")]
    row: String,
    /// Who is measured
    #[arg(long, default_value = "server")]
    contender: String,
    /// Where the run stands on the x axis of a curve
    #[arg(long)]
    x: Option<f64>,
}

impl Measurement {
    pub(crate) fn new(labels: &Labels) -> Self {
        Self {
            row: labels.row.clone(),
            contender: labels.contender.clone(),
            x: labels.x,
            figures: std::collections::BTreeMap::new(),
            first_error: None,
        }
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// The quantiles of latencies in nanoseconds.
    pub(crate) fn latencies(&mut self, latencies: &Histogram<u64>) {
        for (name, quantile) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
            let at_ns = latencies.value_at_quantile(quantile);
            self.figure(name, at_ns as f64 / 1e6);
        }
        self.figure("max_ms", latencies.max() as f64 / 1e6);
    }

    pub(crate) fn print(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

/// A time such as 500ms, 10s or 2m.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "write a time such as 500ms or 10s")?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        _ => Err("a time has a unit: ms, s or m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_duration;
    use std::time::Duration;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "10", "10h", "-1s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
