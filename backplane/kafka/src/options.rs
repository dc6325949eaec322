//! What the driver is told, and the settings that it makes of it.

use crate::KafkaError;
use millpond_backplane::VirtualPartition;
use millpond_backplane::log::Topic;
use rdkafka::ClientConfig;
use std::time::Duration;

/// How to reach Kafka, and how the log lies there. Prefix, partitions and epoch have to be the same in a whole cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port` of the brokers that are asked first.
    pub brokers: Vec<String>,
    /// What the names of topics begin with.
    pub prefix: String,
    /// Partitions of each topic. Part of the format: the 256 virtual ones are mapped onto them.
    pub partitions: u16,
    /// Brokers that keep each partition; taken when the topics are made.
    pub replicas: u8,
    /// How long Kafka keeps what has been read; taken when the topics are made.
    pub retention: Duration,
    /// The epoch of every position: changed only when offsets begin anew.
    pub epoch: u32,
    /// Envelopes of one appender that are under way to one partition. More only wait in the broker.
    pub envelopes_in_flight_max: usize,
    /// An envelope is closed when it has so many bytes.
    pub envelope_bytes: usize,
    /// Bytes that an appender may hold; beyond, it is full.
    pub appender_bytes_max: usize,
    /// Bytes that a reader may hold for one partition of Kafka; beyond, it is read no further.
    pub reader_bytes_max: usize,
    /// A broker that answers nothing for so long is left: a frozen one must not hold up its partitions for a minute.
    pub request_timeout: Duration,
    /// From an append to its failure.
    pub delivery_timeout: Duration,
    /// How long a broker waits for something to come before it answers that nothing has: what a reader waits longer when it
    /// has moved.
    pub fetch_wait: Duration,
}

impl Options {
    pub fn new(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            prefix: "millpond".to_owned(),
            partitions: 8,
            replicas: 3,
            retention: Duration::from_secs(7 * 24 * 3_600),
            epoch: 1,
            envelopes_in_flight_max: 2,
            envelope_bytes: 64 * 1024,
            appender_bytes_max: 32 * 1024 * 1024,
            reader_bytes_max: 16 * 1024 * 1024,
            request_timeout: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(10),
            fetch_wait: Duration::from_millis(20),
        }
    }

    pub(crate) fn check(&self) -> Result<(), KafkaError> {
        let refuse = |what: String| Err(KafkaError::Options(what));
        if self.brokers.is_empty() {
            return refuse("no broker is named".to_owned());
        }
        if !(1..=256).contains(&self.partitions) {
            return refuse(format!("{} partitions are not 1 to 256", self.partitions));
        }
        if self.epoch == 0 {
            return refuse("the epoch is 0, which is before every record".to_owned());
        }
        if self.envelopes_in_flight_max == 0 || self.envelope_bytes > ENVELOPE_BYTES_MAX {
            return refuse(format!(
                "{} envelopes of {} bytes under way: wanted one at least, of {ENVELOPE_BYTES_MAX} bytes at most",
                self.envelopes_in_flight_max, self.envelope_bytes
            ));
        }
        let letters = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if self.prefix.is_empty() || self.prefix.len() > 200 || !self.prefix.chars().all(letters) {
            return refuse(format!("the prefix {:?} cannot begin a topic", self.prefix));
        }
        Ok(())
    }

    /// Part of the format.
    pub(crate) fn real(&self, partition: VirtualPartition) -> i32 {
        i32::from(u16::from(partition.0) % self.partitions)
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        let name = match topic {
            Topic::Commands => "commands",
            Topic::Inboxes => "inboxes",
        };
        format!("{}-{name}", self.prefix)
    }

    /// The names of all topics.
    pub fn topics(&self) -> [String; 2] {
        [Topic::Commands, Topic::Inboxes].map(|topic| self.topic(topic))
    }

    /// What producers, consumers and administrators have in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers.join(","))
            .set("socket.timeout.ms", millis(self.request_timeout))
            .set(
                "socket.connection.setup.timeout.ms",
                millis(self.request_timeout.max(SECOND)),
            )
            .set("socket.nagle.disable", "true")
            // A partition without a leader is asked for again by the next refresh at the latest: five minutes by default.
            .set("topic.metadata.refresh.interval.ms", "2000")
            // Asking for a topic must not make one with the brokers' settings.
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("retry.backoff.ms", "50")
            .set("retry.backoff.max.ms", "500");
        config
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // Envelopes are batches already.
            .set("linger.ms", "0")
            .set("request.timeout.ms", millis(self.request_timeout))
            .set("delivery.timeout.ms", millis(self.delivery_timeout))
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
        config
    }

    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // Asked for by the library; nobody joins it.
            .set("group.id", format!("{}-reader", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A missing offset stops the partition: a jump to the end would lose what lies between.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", millis(self.fetch_wait))
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "16384");
        config
    }
}

/// An envelope of a router may be this long: what one batch emits to one partition goes as one, so that no part of it can
/// be in the log without what stands before it.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 768 * 1024;
/// Kafka's own default for the longest message, with room for its heads.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
