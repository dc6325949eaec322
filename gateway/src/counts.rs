//! What a shard counts: plain numbers on its own thread, shown to others once per tick through a board of atomics.

use crate::close::Reason;
use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use millpond_wire::Tag;

macro_rules! counts {
    ($($name:ident $kind:ident $label:literal $help:literal;)*) => {
        /// Numbers without labels.
        #[derive(Clone, Copy, Default, Debug)]
        pub(crate) struct Numbers { $(pub(crate) $name: u64,)* }

        const NUMBERS: &[(&str, SampleKind, &str)] =
            &[$(($label, SampleKind::$kind, $help),)*];

        impl Numbers {
            fn values(&self) -> [u64; NUMBERS.len()] {
                [$(self.$name,)*]
            }
        }
    };
}

counts! {
    connections Gauge "gateway_connections" "Sockets held.";
    handshakes Gauge "gateway_handshakes" "Sockets without a session yet.";
    hot Gauge "gateway_hot_connections" "Sockets with a multishot read.";
    partial_bytes Gauge "gateway_partial_bytes" "Bytes of unfinished frames.";
    outbox_bytes Gauge "gateway_outbox_bytes" "Bytes that wait for clients.";
    rings Gauge "gateway_rings" "Rings open.";
    enters Counter "gateway_ring_enters_total" "System calls of the rings.";
    overflows Counter "gateway_ring_overflows_total" "Turns with completions held back by a full queue.";
    no_slots Counter "gateway_ring_no_slots_total" "Accepted sockets that found no table with room; closed.";
    promoted Counter "gateway_promoted_total" "Connections that became hot.";
    accepted Counter "gateway_accepted_total" "Sockets accepted.";
    accepts_failed Counter "gateway_accepts_failed_total" "Accepts that the kernel refused.";
    bytes_in Counter "gateway_received_bytes_total" "Bytes read from clients.";
    bytes_out Counter "gateway_sent_bytes_total" "Bytes written to clients.";
    turns Counter "gateway_turns_total" "Turns of the loop: each is one system call of the ring, or more.";
    polls Counter "gateway_polls_total" "Waits for a readable socket.";
    recvs Counter "gateway_reads_total" "Reads that brought bytes.";
    sends Counter "gateway_writes_total" "Writes to sockets.";
    sends_blocked Counter "gateway_writes_blocked_total" "Writes that a full socket cut short.";
    no_buffers Counter "gateway_no_buffers_total" "Reads that found no buffer.";
    asks Counter "gateway_page_asks_total" "Questions to the page readers.";
    asks_refused Counter "gateway_page_asks_refused_total" "Questions for which the readers had no room.";
    appends Counter "gateway_appended_total" "Entries handed to the log.";
    appends_refused Counter "gateway_appends_refused_total" "SENDs for which the log had no room; the client repeats them.";
    marks_dropped Counter "gateway_marks_dropped_total" "Receipts for which the log had no room; the client's next one makes them good.";
    marks_withheld Counter "gateway_marks_withheld_total" "Marks of others for which a client's outbox had no room; the next ones make them good.";
    downlinks Counter "gateway_downlinks_total" "Hints from the routers.";
    not_here Counter "gateway_not_here_total" "Hints and answers for a connection that is gone.";
    unrouted_late Counter "gateway_routes_late_total" "Removals of routes that had to wait for the page readers.";
}

/// Types of frames: one place for each byte that a known type has, the last for all others.
const FRAME_KINDS: usize = 0x48;
const OTHER: usize = FRAME_KINDS;

#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) numbers: Numbers,
    closed: [u64; Reason::ALL.len()],
    frames_in: [u64; FRAME_KINDS + 1],
    frames_out: [u64; FRAME_KINDS + 1],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            closed: [0; Reason::ALL.len()],
            frames_in: [0; FRAME_KINDS + 1],
            frames_out: [0; FRAME_KINDS + 1],
        }
    }
}

fn place(tag: Option<Tag>) -> usize {
    tag.map_or(OTHER, |tag| usize::from(tag.byte()).min(OTHER))
}

impl Counts {
    /// All counts by name, for tests that ask whether something ever happened.
    #[cfg(test)]
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let numbers = NUMBERS.iter().map(|(name, ..)| *name);
        let reasons = Reason::ALL.iter().map(|reason| reason.name());
        let values = self.numbers.values().into_iter().chain(self.closed);
        numbers.chain(reasons).zip(values)
    }

    pub(crate) fn closed(&mut self, reason: Reason) {
        self.closed[reason.index()] += 1;
    }

    pub(crate) fn frame_in(&mut self, tag: Option<Tag>) {
        self.frames_in[place(tag)] += 1;
    }

    pub(crate) fn frame_out(&mut self, tag: Tag) {
        self.frames_out[place(Some(tag))] += 1;
    }
}

/// Where others read a shard's counts.
#[derive(Debug)]
pub(crate) struct Board {
    shard: u16,
    numbers: [Counter; NUMBERS.len()],
    closed: [Counter; Reason::ALL.len()],
    frames_in: [Counter; FRAME_KINDS + 1],
    frames_out: [Counter; FRAME_KINDS + 1],
}

impl Board {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            numbers: std::array::from_fn(|_| Counter::default()),
            closed: std::array::from_fn(|_| Counter::default()),
            frames_in: std::array::from_fn(|_| Counter::default()),
            frames_out: std::array::from_fn(|_| Counter::default()),
        }
    }

    pub(crate) fn show(&self, counts: &Counts) {
        let show = |board: &[Counter], values: &[u64]| {
            let pairs = board.iter().zip(values);
            pairs.for_each(|(counter, value)| counter.set(*value));
        };
        show(&self.numbers, &counts.numbers.values());
        show(&self.closed, &counts.closed);
        show(&self.frames_in, &counts.frames_in);
        show(&self.frames_out, &counts.frames_out);
    }

    fn sample(
        &self,
        (name, kind, help): (&'static str, SampleKind, &'static str),
        label: Option<(&'static str, &str)>,
        counter: &Counter,
    ) -> Sample {
        let mut labels = vec![("shard", self.shard.to_string())];
        labels.extend(label.map(|(key, value)| (key, value.to_owned())));
        Sample {
            labels,
            ..Sample::of(name, help, kind, counter.value())
        }
    }

    fn frames(
        &self,
        about: (&'static str, SampleKind, &'static str),
        counters: &[Counter],
        into: &mut Vec<Sample>,
    ) {
        for tag in Tag::ALL {
            let label = Some(("type", tag.name()));
            into.push(self.sample(about, label, &counters[place(Some(tag))]));
        }
        into.push(self.sample(about, Some(("type", "other")), &counters[OTHER]));
    }
}

impl Source for Board {
    fn samples(&self, into: &mut Vec<Sample>) {
        for (about, counter) in NUMBERS.iter().zip(&self.numbers) {
            into.push(self.sample(*about, None, counter));
        }
        let about = (
            "gateway_closed_total",
            SampleKind::Counter,
            "Connections ended, by reason.",
        );
        for (reason, counter) in Reason::ALL.iter().zip(&self.closed) {
            into.push(self.sample(about, Some(("reason", reason.name())), counter));
        }
        let about = (
            "gateway_frames_in_total",
            SampleKind::Counter,
            "Frames from clients, by type.",
        );
        self.frames(about, &self.frames_in, into);
        let about = (
            "gateway_frames_out_total",
            SampleKind::Counter,
            "Frames to clients, by type.",
        );
        self.frames(about, &self.frames_out, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_type_has_a_place_of_its_own() {
        let mut places: Vec<_> = Tag::ALL.iter().map(|tag| place(Some(*tag))).collect();
        places.push(place(None));
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), Tag::ALL.len() + 1);
    }

    #[test]
    fn the_board_shows_what_was_counted() {
        let mut counts = Counts::default();
        counts.numbers.accepted = 3;
        counts.closed(Reason::Bye);
        counts.frame_in(Some(Tag::HistoryPage));
        let board = Board::new(1);
        board.show(&counts);
        let mut samples = Vec::new();
        board.samples(&mut samples);
        let shown: Vec<_> = samples.iter().filter(|sample| sample.value > 0.0).collect();
        assert_eq!(shown.len(), 3);
        assert_eq!(shown[0].name, "gateway_accepted_total");
    }
}
