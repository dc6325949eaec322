//! A router's end: reads partitions that it is asked for, and appends what owners emit.
//!
//! A read never waits for something to come: it takes what the library has fetched. Empty means that nothing more is here
//! yet. Kafka out of reach is empty as well, and is counted; but a reader that has to go to another place then fails, and
//! its owner opens a new one.

use crate::KafkaError;
use crate::counts::Counts;
use crate::demux::{Demux, Name, Tap};
use crate::producer::{Lane, Shared, note, worked};
use millpond_backplane::codec::encode_envelope;
use millpond_backplane::log::{Log, LogError, Logged, Topic};
use millpond_backplane::{Entry, Position, VirtualPartition};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError as Error, RDKafkaErrorCode};
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records taken from the library by one read, before what they brought is looked at.
const RECORDS_PER_READ: usize = 256;
/// How long nothing is asked of the library when it had nothing: an owner of many partitions asks for each of them.
const DRY: Duration = Duration::from_micros(500);
/// How often it is looked whether a partition that brings nothing has something: a library that has lost its way there is
/// sent again.
const STALL_LOOK: Duration = Duration::from_secs(5);
/// Beyond the deadline of a delivery: until its report must have come.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);

pub struct KafkaLog {
    shared: Arc<Shared>,
    consumer: BaseConsumer<Complaints>,
    demux: Demux,
    /// With the names that Kafka has for them.
    topics: [(Topic, String); 2],
    lanes: BTreeMap<Name, Arc<Lane>>,
    /// When the library last had nothing.
    dry: Option<Instant>,
    looked: Instant,
}

/// Where the consumer's complaints go.
struct Complaints(Arc<Counts>);

impl ClientContext for Complaints {
    fn error(&self, error: Error, reason: &str) {
        note(&self.0, &error, reason);
    }
}

impl ConsumerContext for Complaints {}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog")
            .field("demux", &self.demux)
            .finish_non_exhaustive()
    }
}

impl KafkaLog {
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Self, KafkaError> {
        let options = &shared.options;
        let complaints = Complaints(Arc::clone(&shared.counts));
        let consumer = BaseConsumer::from_config_and_context(&options.consumer(), complaints)?;
        let demux = Demux::new(options.epoch, options.reader_bytes_max);
        let named = |topic| (topic, options.topic(topic));
        let topics = [Topic::Commands, Topic::Inboxes].map(named);
        Ok(Self {
            shared,
            consumer,
            demux,
            topics,
            lanes: BTreeMap::new(),
            dry: None,
            looked: Instant::now(),
        })
    }

    /// Reads until everything that was in the partitions asked for when it was called has been fetched, or for as long as
    /// `patience`; says whether it has.
    pub fn catch_up(&mut self, patience: Duration) -> Result<bool, LogError> {
        let until = Instant::now() + patience;
        let mut ends = BTreeMap::new();
        let names: Vec<_> = self.demux.taps().map(|(name, _)| *name).collect();
        for name in names {
            ends.insert(name, self.watermarks(name, patience)?.1);
        }
        loop {
            self.poll()?;
            let arrived = |(name, tap): (&Name, &mut Tap)| {
                ends.get(name).is_none_or(|end| tap.next >= *end) && !tap.moved
            };
            if self.demux.taps().all(arrived) {
                return Ok(true);
            }
            if Instant::now() > until {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Takes what the library has.
    fn poll(&mut self) -> Result<(), LogError> {
        if self.looked.elapsed() > STALL_LOOK {
            self.look_for_stalls();
        }
        if self.demux.taps().any(|(_, tap)| tap.moved) {
            self.assign()?;
        }
        for _ in 0..RECORDS_PER_READ {
            match self.consumer.poll(Duration::ZERO) {
                None => {
                    self.dry = Some(Instant::now());
                    break;
                }
                Some(Ok(message)) => {
                    let Some(topic) = self.topic(message.topic()) else {
                        continue;
                    };
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    let append_ms = message.timestamp().to_millis().unwrap_or(0);
                    let append_ms = u64::try_from(append_ms).unwrap_or(0);
                    let payload = message.payload().unwrap_or_default();
                    let name = (topic, message.partition());
                    self.shared.counts.read_envelopes.add(1);
                    if let Err(what) = self.demux.record(name, offset, append_ms, payload) {
                        self.shared.counts.corrupt.add(1);
                        tracing::error!(?name, offset, what, "a record of the log does not decode");
                    }
                }
                Some(Err(error)) => self.meet(&error)?,
            }
        }
        let (pause, resume) = self.demux.flow();
        if !pause.is_empty() {
            worked(self.consumer.pause(&self.list(&pause)), &self.shared.counts);
        }
        if !resume.is_empty() {
            worked(
                self.consumer.resume(&self.list(&resume)),
                &self.shared.counts,
            );
        }
        Ok(())
    }

    /// Partitions that have something which does not come are assigned again.
    fn look_for_stalls(&mut self) {
        self.looked = Instant::now();
        let mut still = Vec::new();
        for (name, tap) in self.demux.taps() {
            if tap.seen == tap.next && !tap.paused && !tap.moved {
                still.push((*name, tap.next));
            }
            tap.seen = tap.next;
        }
        for (name, next) in still {
            let Ok((_, end)) = self.watermarks(name, self.shared.options.request_timeout) else {
                return;
            };
            if end > next {
                tracing::warn!(?name, next, end, "a partition of the log stood still");
                self.shared.counts.stalls.add(1);
                let stalled = self.demux.taps().filter(|(known, _)| **known == name);
                stalled.for_each(|(_, tap)| tap.moved = true);
            }
        }
    }

    /// A place that Kafka does not have (any more) makes all places be looked at; the rest is information.
    fn meet(&mut self, error: &Error) -> Result<(), LogError> {
        let lost = [
            RDKafkaErrorCode::AutoOffsetReset,
            RDKafkaErrorCode::OffsetOutOfRange,
            RDKafkaErrorCode::NoOffset,
        ];
        if error
            .rdkafka_error_code()
            .is_some_and(|code| lost.contains(&code))
        {
            self.demux.taps().for_each(|(_, tap)| tap.moved = true);
            return Ok(());
        }
        if matches!(error, Error::MessageConsumptionFatal(_)) {
            return Err(LogError::Unreadable(error.to_string()));
        }
        note(&self.shared.counts, error, "while reading");
        Ok(())
    }

    /// Tells Kafka where to read on, after a look at what there is. What cannot be told now is told later: nothing has
    /// changed then.
    fn assign(&mut self) -> Result<(), LogError> {
        let moved = self.demux.taps().filter(|(_, tap)| tap.moved);
        let moved: Vec<_> = moved.map(|(name, tap)| (*name, tap.next)).collect();
        let mut places = BTreeMap::new();
        for (name, next) in moved {
            let (first, end) = self.watermarks(name, self.shared.options.request_timeout)?;
            if next > end {
                return Err(LogError::Unreadable(format!(
                    "{name:?} is to be read on from offset {next} and ends at {end}: it is another log"
                )));
            }
            places.insert(name, (first, next.max(first)));
        }
        let mut list = TopicPartitionList::new();
        let (mut paused, options) = (Vec::new(), &self.shared.options);
        for (name, tap) in self.demux.taps() {
            let next = places.get(name).map_or(tap.next, |(_, next)| *next);
            let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
            list.add_partition_offset(&options.topic(name.0), name.1, offset)
                .map_err(unreadable)?;
            if tap.paused {
                paused.push(*name);
            }
        }
        self.consumer.assign(&list).map_err(unreadable)?;
        for (name, tap) in self.demux.taps() {
            if let Some((first, next)) = places.get(name) {
                (tap.first, tap.next, tap.moved) = (*first, *next, false);
                self.shared.counts.moves.add(1);
            }
        }
        if !paused.is_empty() {
            worked(
                self.consumer.pause(&self.list(&paused)),
                &self.shared.counts,
            );
        }
        Ok(())
    }

    /// The first record that there is, and the one that will be the next.
    fn watermarks(&self, (topic, real): Name, patience: Duration) -> Result<(u64, u64), LogError> {
        let name = self.shared.options.topic(topic);
        let marks = self.consumer.fetch_watermarks(&name, real, patience);
        let (first, end) = marks.map_err(unreadable)?;
        Ok((
            u64::try_from(first).unwrap_or(0),
            u64::try_from(end).unwrap_or(0),
        ))
    }

    /// One envelope for each partition of Kafka, all under way at a time; each lane's stream stays a prefix.
    fn append_all<'a>(
        &mut self,
        topic: Topic,
        entries: impl IntoIterator<Item = (VirtualPartition, &'a [Entry])>,
    ) -> Result<(), LogError> {
        let mut alone = Vec::new();
        let mut touched = BTreeMap::new();
        for (partition, entries) in entries {
            let real = self.shared.options.real(partition);
            let lane = self.lanes.entry((topic, real));
            let lane = lane.or_insert_with(|| self.shared.strict_lane(topic, real));
            for entry in entries {
                alone.clear();
                encode_envelope(std::slice::from_ref(entry), &mut alone);
                lane.push(&alone);
            }
            touched.insert(real, Arc::clone(lane));
        }
        for lane in touched.values() {
            lane.send(&self.shared.producer, &self.shared.counts);
        }
        let patience = self.shared.options.delivery_timeout + REPORT_PATIENCE;
        let mut failed = None;
        for (real, lane) in touched {
            if let Err(why) = lane.wait(patience) {
                self.lanes.remove(&(topic, real));
                failed = Some(why);
            }
        }
        failed.map_or(Ok(()), |why| Err(LogError::Append(why)))
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        let known = self.topics.iter().find(|(_, known)| known == name);
        known.map(|(topic, _)| *topic)
    }

    fn list(&self, names: &[Name]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, real) in names {
            list.add_partition(&self.shared.options.topic(*topic), *real);
        }
        list
    }
}

impl Log for KafkaLog {
    fn read(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
        max: usize,
    ) -> Result<Vec<Logged>, LogError> {
        let real = self.shared.options.real(partition);
        let here = self.demux.take(topic, real, partition, after, max)?;
        if !here.is_empty() {
            return Ok(here);
        }
        let dry = self.dry.is_some_and(|dry| dry.elapsed() < DRY);
        if dry && self.demux.taps().all(|(_, tap)| !tap.moved) {
            return Ok(Vec::new());
        }
        self.poll()?;
        self.demux.take(topic, real, partition, after, max)
    }

    fn begin(&mut self, topic: Topic, partition: VirtualPartition, after: Position) {
        let real = self.shared.options.real(partition);
        // What is wrong with a place is told by the read.
        let _later = self.demux.take(topic, real, partition, after, 0);
    }

    fn passed(&self, topic: Topic, partition: VirtualPartition) -> Position {
        self.demux
            .passed(topic, self.shared.options.real(partition), partition)
    }

    fn append_some(
        &mut self,
        topic: Topic,
        entries: &mut BTreeMap<VirtualPartition, Vec<Entry>>,
    ) -> Result<(), LogError> {
        let all = std::mem::take(entries);
        self.append_all(topic, all.iter().map(|(at, entries)| (*at, &entries[..])))
    }

    fn append(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        entries: &[Entry],
    ) -> Result<(), LogError> {
        self.append_all(topic, [(partition, entries)])
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn unreadable(error: Error) -> LogError {
    LogError::Unreadable(error.to_string())
}
