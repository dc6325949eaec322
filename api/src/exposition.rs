//! The text that Prometheus reads. The same numbers give the same bytes: families and series are sorted.
//!
//! A family has one HELP and one TYPE line, those of its first sample. A series that several sources give (one per shard,
//! say) is their sum, because a repeated series would make a scraper drop the whole page.

use millpond_backplane::metrics::{Sample, SampleKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;

type Labels = Vec<(&'static str, String)>;

struct Family {
    help: &'static str,
    kind: SampleKind,
    series: BTreeMap<Labels, f64>,
}

/// The exposition of all samples, in format 0.0.4.
pub fn render(samples: Vec<Sample>) -> String {
    let mut text = String::new();
    for (name, family) in families(samples) {
        let kind = match family.kind {
            SampleKind::Counter => "counter",
            SampleKind::Gauge => "gauge",
        };
        let help = escape(family.help, false);
        line(
            &mut text,
            format_args!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"),
        );
        for (labels, value) in family.series {
            let (labels, value) = (braced(&labels), number(value));
            line(&mut text, format_args!("{PREFIX}{name}{labels} {value}"));
        }
    }
    text
}

fn families(samples: Vec<Sample>) -> BTreeMap<&'static str, Family> {
    let mut families = BTreeMap::new();
    for sample in samples {
        let family = families.entry(sample.name).or_insert_with(|| Family {
            help: sample.help,
            kind: sample.kind,
            series: BTreeMap::new(),
        });
        *family.series.entry(sample.labels).or_insert(0.0) += sample.value;
    }
    families
}

fn braced(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value, true)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn escape(text: &str, quotes: bool) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes {
        escaped.replace('"', "\\\"")
    } else {
        escaped
    }
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a String takes every write");
}

const PREFIX: &str = "millpond_";

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &'static str, labels: &[(&'static str, &str)], value: f64) -> Sample {
        Sample {
            name,
            help: "What it counts.",
            kind: SampleKind::Counter,
            labels: labels.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            value,
        }
    }

    #[test]
    fn families_are_sorted_and_have_one_type_line() {
        let text = render(vec![
            sample("b_total", &[("shard", "1")], 2.0),
            sample("a_total", &[], 0.0),
            sample("b_total", &[("shard", "0")], 1.5),
        ]);
        let wanted = "# HELP millpond_a_total What it counts.\n# TYPE millpond_a_total counter\nmillpond_a_total 0\n\
             # HELP millpond_b_total What it counts.\n# TYPE millpond_b_total counter\n\
             millpond_b_total{shard=\"0\"} 1.5\nmillpond_b_total{shard=\"1\"} 2\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn order_of_samples_does_not_show() {
        let mut samples = vec![
            sample("a", &[("x", "1")], 1.0),
            sample("a", &[("x", "2")], 2.0),
            sample("c", &[], 3.0),
        ];
        let forward = render(samples.clone());
        samples.reverse();
        assert_eq!(render(samples), forward);
    }

    #[test]
    fn the_same_series_from_two_sources_is_summed() {
        let text = render(vec![sample("a", &[], 1.0), sample("a", &[], 2.0)]);
        assert!(text.ends_with("\nmillpond_a 3\n"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn gauges_say_so() {
        let mut gauge = sample("a", &[], 1.0);
        gauge.kind = SampleKind::Gauge;
        assert!(render(vec![gauge]).contains("# TYPE millpond_a gauge\n"));
    }

    #[test]
    fn text_is_escaped() {
        let mut odd = sample("a", &[("reason", "say \"no\"\\\nnow")], 1.0);
        odd.help = "one \\ line\nand \"quotes\"";
        let text = render(vec![odd]);
        assert!(
            text.contains("# HELP millpond_a one \\\\ line\\nand \"quotes\"\n"),
            "{text}"
        );
        assert!(
            text.contains("{reason=\"say \\\"no\\\"\\\\\\nnow\"}"),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_those_of_the_format() {
        assert_eq!(number(f64::INFINITY), "+Inf");
        assert_eq!(number(f64::NEG_INFINITY), "-Inf");
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(1e15), "1000000000000000");
        assert_eq!(number(0.25), "0.25");
    }
}
