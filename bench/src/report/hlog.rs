//! Latencies as an HdrHistogram interval log: text, one line per operation, each a compressed histogram of the second
//! version in base64, as <https://github.com/HdrHistogram/HdrHistogram> and its plotters read them.
//!
//! One interval is the whole run. Values are nanoseconds, the maxima in the lines milliseconds; an answer that never
//! came stands at the highest value, one hour.

use super::Distribution;
use anyhow::{Context, anyhow};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::time::{Duration, UNIX_EPOCH};

/// The whole log of a run that began then and took this long.
pub(super) fn log(
    distributions: &[Distribution],
    started_unix_ms: u64,
    lasted: Duration,
) -> anyhow::Result<Vec<u8>> {
    let started = UNIX_EPOCH + Duration::from_millis(started_unix_ms);
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[Values in nanoseconds; an answer that never came is the highest, one hour]")
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut bytes, &mut serializer)
        .context("writing to memory")?;
    for distribution in distributions {
        let name = tag(&distribution.name);
        let histogram = distribution.latency.histogram();
        log.write_histogram(histogram, Duration::ZERO, lasted, Tag::new(&name))
            .map_err(|error| anyhow!("the histogram of {name}: {error}"))?;
    }
    Ok(bytes)
}

const NS_PER_MS: f64 = 1e6;

/// A name as a tag may be: without commas, blanks and line ends.
fn tag(name: &str) -> String {
    name.replace(
        |letter: char| letter == ',' || letter.is_whitespace() || letter.is_control(),
        "-",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{Latency, Origin};
    use base64::Engine;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn distribution(name: &str, latency: &Latency) -> Distribution {
        Distribution::new(name.to_owned(), Origin::IntendedSend, latency)
    }

    #[test]
    fn a_reader_finds_every_histogram_again() {
        let (mut fast, mut lossy) = (Latency::default(), Latency::default());
        (1..=10_000).for_each(|us| fast.record(us * 1_000));
        lossy.record(7);
        lossy.lose(2);
        let name = "ack, of\nwhom\u{7}?";
        let distributions = [distribution("echo", &fast), distribution(name, &lossy)];
        let bytes = log(&distributions, 1_700_000_000_123, Duration::from_secs(3)).unwrap();
        let entries = IntervalLogIterator::new(&bytes)
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        let [
            LogEntry::StartTime(start),
            LogEntry::BaseTime(base),
            rest @ ..,
        ] = &entries[..]
        else {
            panic!("{entries:?}");
        };
        assert_eq!((start.as_millis(), start), (1_700_000_000_123, base));
        let read = rest.iter().map(|entry| {
            let LogEntry::Interval(interval) = entry else {
                panic!("{entry:?}");
            };
            assert_eq!(interval.duration(), Duration::from_secs(3));
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .unwrap();
            let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            (interval.tag().unwrap().as_str(), read)
        });
        let expected = [
            ("echo", fast.histogram().clone()),
            ("ack--of-whom-?", lossy.histogram().clone()),
        ];
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }
}
