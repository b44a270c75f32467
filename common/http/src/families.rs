//! Metrics with names, help and labels, as text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::histogram::Reading;

/// Names and values.
pub type Labels = Vec<(&'static str, String)>;

/// What a value is measured in; the end of the metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Neither seconds nor bytes.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    fn known(self) -> Option<prometheus_client::registry::Unit> {
        match self {
            Self::None => None,
            Self::Seconds => Some(prometheus_client::registry::Unit::Seconds),
            Self::Bytes => Some(prometheus_client::registry::Unit::Bytes),
        }
    }
}

/// Takes metrics, family by family. A family without a sample is left out.
#[derive(Debug, Default)]
pub struct Families {
    families: Vec<Family>,
}

#[derive(Clone, Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Unit,
    samples: Samples,
}

#[derive(Clone, Debug)]
enum Samples {
    Gauges(Vec<(Labels, f64)>),
    Counters(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Reading)>),
}

impl Families {
    /// Values that go up and down. `name` is without the unit.
    pub fn gauges(
        &mut self,
        name: &'static str,
        unit: Unit,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let samples: Vec<_> = samples.into_iter().collect();
        self.push(
            name,
            unit,
            help,
            samples.is_empty(),
            Samples::Gauges(samples),
        );
    }

    /// One value that goes up and down.
    pub fn gauge(&mut self, name: &'static str, unit: Unit, help: &'static str, value: f64) {
        self.gauges(name, unit, help, [(Labels::new(), value)]);
    }

    /// Values that only go up. `name` is without the unit and without `_total`.
    pub fn counters(
        &mut self,
        name: &'static str,
        unit: Unit,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let samples: Vec<_> = samples.into_iter().collect();
        self.push(
            name,
            unit,
            help,
            samples.is_empty(),
            Samples::Counters(samples),
        );
    }

    /// One value that only goes up.
    pub fn counter(&mut self, name: &'static str, unit: Unit, help: &'static str, value: f64) {
        self.counters(name, unit, help, [(Labels::new(), value)]);
    }

    /// Durations. `name` is without `_seconds`.
    pub fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Reading)>,
    ) {
        let samples: Vec<_> = samples.into_iter().collect();
        let is_empty = samples.is_empty();
        self.push(
            name,
            Unit::Seconds,
            help,
            is_empty,
            Samples::Histograms(samples),
        );
    }

    fn push(
        &mut self,
        name: &'static str,
        unit: Unit,
        help: &'static str,
        is_empty: bool,
        samples: Samples,
    ) {
        if !is_empty {
            self.families.push(Family {
                name,
                help,
                unit,
                samples,
            });
        }
    }

    /// All of it in the OpenMetrics format, which Prometheus reads.
    pub(crate) fn into_text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.families {
            let kind = match family.samples {
                Samples::Gauges(_) => MetricType::Gauge,
                Samples::Counters(_) => MetricType::Counter,
                Samples::Histograms(_) => MetricType::Histogram,
            };
            let unit = family.unit.known();
            let metrics =
                encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
            encode_samples(metrics, &family.samples)?;
        }
        Ok(())
    }
}

fn encode_samples(mut metrics: MetricEncoder<'_>, samples: &Samples) -> fmt::Result {
    match samples {
        Samples::Gauges(samples) => {
            for (labels, value) in samples {
                labelled(&mut metrics, labels, |metric| metric.encode_gauge(value))?;
            }
        }
        Samples::Counters(samples) => {
            for (labels, value) in samples {
                labelled(&mut metrics, labels, |metric| {
                    metric.encode_counter::<NoLabelSet, _, f64>(value, None)
                })?;
            }
        }
        Samples::Histograms(samples) => {
            for (labels, reading) in samples {
                let Reading {
                    buckets,
                    sum,
                    count,
                } = reading;
                labelled(&mut metrics, labels, |metric| {
                    metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
                })?;
            }
        }
    }
    Ok(())
}

fn labelled(
    metrics: &mut MetricEncoder<'_>,
    labels: &Labels,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        encode(metrics)
    } else {
        encode(&mut metrics.encode_family(labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Families, Unit};
    use crate::histogram::Histogram;
    use std::time::Duration;

    #[test]
    fn the_text_is_what_prometheus_expects() {
        let mut families = Families::default();
        let odd = vec![("name", "a \"b\"\\".to_owned())];
        families.gauges("kv_lag", Unit::Bytes, "How far", [(odd, 1.5)]);
        families.counter("kv_turns", Unit::None, "How many", 7.0);
        families.gauges("kv_absent", Unit::None, "Nothing", []);
        let histogram = Histogram::default();
        histogram.observe(Duration::from_secs(9));
        families.histograms("kv_time", "How long", [(Vec::new(), histogram.read())]);
        let text = families.into_text();
        for expected in [
            "# HELP kv_lag_bytes How far\n# TYPE kv_lag_bytes gauge\n",
            "kv_lag_bytes{name=\"a \\\"b\\\"\\\\\"} 1.5\n",
            "# TYPE kv_turns counter\nkv_turns_total 7.0\n",
            "kv_time_seconds_bucket{le=\"5.0\"} 0\n",
            "kv_time_seconds_bucket{le=\"+Inf\"} 1\n",
            "kv_time_seconds_count 1\n",
            "kv_time_seconds_sum 9.0\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("kv_absent") && text.ends_with("# EOF\n"));
    }
}
