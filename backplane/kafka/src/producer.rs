//! The producer of a process, the thread that polls it, and the lanes that send through it.

use crate::appender::KafkaAppender;
use crate::counts::Counts;
use crate::lane::Queue;
use crate::reader::KafkaLog;
use crate::topics::check_topics;
use crate::{KafkaError, Options};
use millpond_backplane::log::Topic;
use millpond_backplane::metrics::Source;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError as Error, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread does not look whether it is to end. Reports are handled when they come.
const POLL: Duration = Duration::from_millis(100);

/// How often somebody is asked while nobody answers: without traffic nothing else would show that brokers are back.
const LOOK: Duration = Duration::from_secs(1);

/// One process' connection to the log: it outlives its appenders and readers.
#[derive(Debug)]
pub struct Kafka {
    shared: Arc<Shared>,
    polling: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) producer: Arc<Producer>,
    pub(crate) counts: Arc<Counts>,
    stopping: AtomicBool,
}

pub(crate) type Producer = BaseProducer<Reports>;

/// Where reports of delivery go.
pub(crate) struct Reports {
    /// Itself, so that a report can send the next envelope.
    producer: OnceLock<Weak<Producer>>,
    counts: Arc<Counts>,
}

/// A queue, and where it leads.
#[derive(Debug)]
pub(crate) struct Lane {
    topic: String,
    partition: i32,
    /// Bytes that its appender holds, in all of its lanes.
    held: Arc<AtomicUsize>,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Why an envelope was not delivered; in a lane that ends with that, nothing leaves any more.
    failure: Option<String>,
    ends_with_failure: bool,
}

impl Kafka {
    /// Connects to a log whose topics are there.
    ///
    /// # Errors
    /// [`KafkaError`]: no broker answers, topics are missing or have another number of partitions.
    pub fn open(options: Options) -> Result<Self, KafkaError> {
        options.check()?;
        check_topics(&options)?;
        let counts = Arc::<Counts>::default();
        let reports = Reports {
            producer: OnceLock::new(),
            counts: Arc::clone(&counts),
        };
        let producer = Producer::from_config_and_context(&options.producer(), reports)?;
        let producer = Arc::new(producer);
        let itself = producer.context().producer.set(Arc::downgrade(&producer));
        itself.expect("it is set once");
        let shared = Arc::new(Shared {
            options,
            producer,
            counts,
            stopping: AtomicBool::new(false),
        });
        let polled = Arc::clone(&shared);
        let polling = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                let topic = polled.options.topic(Topic::Commands);
                let mut looked = Instant::now();
                while !polled.stopping.load(Ordering::Relaxed) {
                    polled.producer.poll(POLL);
                    if polled.counts.down.value() > 0 && looked.elapsed() > LOOK {
                        looked = Instant::now();
                        polled.look(&topic);
                    }
                }
            })?;
        Ok(Self {
            shared,
            polling: Some(polling),
        })
    }

    /// A gateway shard's end.
    pub fn appender(&self) -> KafkaAppender {
        KafkaAppender::new(Arc::clone(&self.shared))
    }

    /// A router's end.
    ///
    /// # Errors
    /// What the library refuses.
    pub fn log(&self) -> Result<KafkaLog, KafkaError> {
        KafkaLog::new(Arc::clone(&self.shared))
    }

    /// The numbers, for whoever shows them.
    pub fn counts(&self) -> Arc<dyn Source> {
        Arc::<Counts>::clone(&self.shared.counts)
    }

    /// `Err` when only a restart helps.
    pub fn health(&self) -> Result<(), String> {
        match self.shared.producer.client().fatal_error() {
            Some((_, why)) => Err(format!("the producer of the log has given up: {why}")),
            None => Ok(()),
        }
    }

    /// Whether the brokers were out of reach when last heard of.
    pub fn is_down(&self) -> bool {
        self.shared.counts.down.value() > 0
    }

    /// Waits until everything that was handed over is delivered or has failed.
    pub fn flush(&self, patience: Duration) -> bool {
        self.shared.producer.flush(patience).is_ok()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(polling) = self.polling.take() {
            let _panicked = polling.join();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("brokers", &self.options.brokers)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn look(&self, topic: &str) {
        let client = self.producer.client();
        if client.fetch_metadata(Some(topic), POLL).is_ok() {
            tracing::info!("brokers of the log answer again");
            self.counts.down.set(0);
        }
    }

    pub(crate) fn lane(&self, topic: Topic, partition: i32, held: &Arc<AtomicUsize>) -> Arc<Lane> {
        let options = &self.options;
        let queue = Queue::new(options.envelopes_in_flight_max, options.envelope_bytes);
        Lane::new(options.topic(topic), partition, queue, false, held)
    }

    /// A lane in which one envelope is under way at a time, and nothing follows one that failed: what it has delivered is
    /// always a prefix.
    pub(crate) fn strict_lane(&self, topic: Topic, partition: i32) -> Arc<Lane> {
        let queue = Queue::new(1, crate::options::ENVELOPE_BYTES_MAX);
        Lane::new(
            self.options.topic(topic),
            partition,
            queue,
            true,
            &Arc::default(),
        )
    }
}

impl Lane {
    fn new(
        topic: String,
        partition: i32,
        queue: Queue,
        ends_with_failure: bool,
        held: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        Arc::new(Self {
            topic,
            partition,
            held: Arc::clone(held),
            state: Mutex::new(State {
                queue,
                failure: None,
                ends_with_failure,
            }),
            moved: Condvar::new(),
        })
    }

    /// Adds an entry, given as an envelope of it alone.
    pub(crate) fn push(&self, alone: &[u8]) {
        self.held.fetch_add(alone.len(), Ordering::Relaxed);
        self.lock().queue.push(alone);
    }

    /// Sends what may leave. Under the lock, so that envelopes leave in order, whoever sends them.
    pub(crate) fn send(self: &Arc<Self>, producer: &Producer, counts: &Counts) {
        let mut state = self.lock();
        while state.failure.is_none() || !state.ends_with_failure {
            let Some(envelope) = state.queue.next() else {
                return;
            };
            let record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, Arc::clone(self));
            let record = record.partition(self.partition).payload(&envelope.bytes);
            let sent = producer.send(record).map_err(|(error, _)| error);
            match sent {
                Ok(()) => state.queue.left(&envelope, Instant::now()),
                Err(Error::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    return state.queue.give_back(envelope);
                }
                Err(error) => {
                    self.held
                        .fetch_sub(envelope.pushed_bytes(), Ordering::Relaxed);
                    self.fail(&mut state, envelope.entries, error.to_string(), counts);
                }
            }
        }
    }

    /// Whether a later flush has to send what waits.
    pub(crate) fn is_stuck(&self) -> bool {
        self.lock().queue.is_stuck()
    }

    /// Waits until everything is delivered.
    ///
    /// # Errors
    /// What failed; or that it took longer than `patience`, when anything may still be delivered. Nothing of this lane
    /// that has not left leaves any more.
    pub(crate) fn wait(&self, patience: Duration) -> Result<(), String> {
        let unfinished = |state: &mut State| state.failure.is_none() && !state.queue.is_empty();
        let waited = self
            .moved
            .wait_timeout_while(self.lock(), patience, unfinished);
        let (mut state, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        if timed_out.timed_out() && state.failure.is_none() {
            state.failure = Some("no report of its delivery in time".to_owned());
        }
        match state.failure.clone() {
            Some(why) => {
                state.queue.clear();
                Err(why)
            }
            None => Ok(()),
        }
    }

    /// The oldest envelope under way has ended.
    fn end(&self, state: &mut State, failure: Option<String>, counts: &Counts) {
        let Some(ended) = state.queue.ended() else {
            return;
        };
        self.held.fetch_sub(ended.pushed_bytes, Ordering::Relaxed);
        match failure {
            None => counts.delivered(ended.entries, ended.since.elapsed()),
            Some(why) => self.fail(state, ended.entries, why, counts),
        }
        self.moved.notify_all();
    }

    fn fail(&self, state: &mut State, entries: u64, why: String, counts: &Counts) {
        counts.failed.add(entries);
        let (topic, partition) = (&self.topic, self.partition);
        tracing::warn!(
            topic,
            partition,
            entries,
            why,
            "an envelope was not delivered"
        );
        state.failure = Some(why);
        self.moved.notify_all();
    }

    /// Every change leaves the queue whole, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn error(&self, error: Error, reason: &str) {
        note(&self.counts, &error, reason);
    }
}

/// What a client complains of is information: it goes on trying.
pub(crate) fn note(counts: &Counts, error: &Error, reason: &str) {
    counts.errors.add(1);
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
        if counts.down.value() == 0 {
            tracing::warn!("no broker of the log answers");
        }
        counts.down.set(1);
    } else {
        tracing::debug!(%error, reason, "the log");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Lane>;

    fn delivery(&self, result: &DeliveryResult<'_>, lane: Self::DeliveryOpaque) {
        let failure = result.as_ref().err().map(|(error, _)| error.to_string());
        lane.end(&mut lane.lock(), failure, &self.counts);
        if let Some(producer) = self.producer.get().and_then(Weak::upgrade) {
            lane.send(&producer, &self.counts);
        }
    }
}

/// The library's own type of results, for those who only look whether it worked.
pub(crate) fn worked<T>(result: KafkaResult<T>, counts: &Counts) -> Option<T> {
    result.inspect_err(|error| note(counts, error, "")).ok()
}
