//! What the two ends count.

use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};

#[derive(Default, Debug)]
pub(crate) struct Sent {
    pub(crate) frames: Counter,
    pub(crate) hints: Counter,
    pub(crate) bytes: Counter,
    /// Hints for gateways that were full, gone, or not to be found.
    pub(crate) dropped: Counter,
    pub(crate) connects: Counter,
    pub(crate) failures: Counter,
}

#[derive(Default, Debug)]
pub(crate) struct Received {
    pub(crate) frames: Counter,
    pub(crate) hints: Counter,
    pub(crate) bytes: Counter,
    /// Hints for another gateway or epoch.
    pub(crate) elsewhere: Counter,
    pub(crate) streams: Counter,
    /// Streams that were refused, or ended by what came over them.
    pub(crate) refused: Counter,
}

fn samples(counters: &[(&'static str, &'static str, &Counter)], into: &mut Vec<Sample>) {
    let sample = |(name, help, counter): &(&'static str, &'static str, &Counter)| {
        Sample::of(name, help, SampleKind::Counter, counter.value())
    };
    into.extend(counters.iter().map(sample));
}

impl Source for Sent {
    fn samples(&self, into: &mut Vec<Sample>) {
        let counters = [
            (
                "link_frames_sent_total",
                "Frames written to gateways.",
                &self.frames,
            ),
            ("link_hints_sent_total", "Hints in them.", &self.hints),
            ("link_bytes_sent_total", "Bytes of them.", &self.bytes),
            (
                "link_hints_dropped_total",
                "Hints for gateways that were full, gone, or not to be found.",
                &self.dropped,
            ),
            (
                "link_connects_total",
                "Streams made to gateways.",
                &self.connects,
            ),
            (
                "link_failures_total",
                "Streams that could not be made, or broke.",
                &self.failures,
            ),
        ];
        samples(&counters, into);
    }
}

impl Source for Received {
    fn samples(&self, into: &mut Vec<Sample>) {
        let counters = [
            (
                "link_frames_received_total",
                "Frames read from routers.",
                &self.frames,
            ),
            ("link_hints_received_total", "Hints in them.", &self.hints),
            ("link_bytes_received_total", "Bytes of them.", &self.bytes),
            (
                "link_hints_elsewhere_total",
                "Hints for another gateway or epoch.",
                &self.elsewhere,
            ),
            (
                "link_streams_total",
                "Streams that routers made.",
                &self.streams,
            ),
            (
                "link_refused_total",
                "Streams refused, or ended by what came over them.",
                &self.refused,
            ),
        ];
        samples(&counters, into);
    }
}
