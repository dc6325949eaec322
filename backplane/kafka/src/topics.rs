//! The topics: made when they are missing, never changed.

use crate::{KafkaError, Options};
use millpond_backplane::log::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::Producer as _;
use std::time::{Duration, Instant};

/// From the making of a topic until every broker knows it.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Makes what is missing, and waits until it can be used.
///
/// # Errors
/// No broker that answers, topics with another number of partitions, or what a broker refuses.
pub fn make_topics(options: &Options) -> Result<(), KafkaError> {
    options.check()?;
    let admin: AdminClient<DefaultClientContext> = options.client().create()?;
    // A quorum of copies has what is acknowledged.
    let in_sync = (options.replicas / 2 + 1).to_string();
    let retention = options.retention.as_millis().to_string();
    let names = options.topics();
    let topics: Vec<_> = names
        .iter()
        .map(|name| {
            let replicas = TopicReplication::Fixed(i32::from(options.replicas));
            NewTopic::new(name, i32::from(options.partitions), replicas)
                .set("min.insync.replicas", &in_sync)
                .set("retention.ms", &retention)
                .set("message.timestamp.type", "LogAppendTime")
                .set("unclean.leader.election.enable", "false")
        })
        .collect();
    let made = admin.create_topics(&topics, &AdminOptions::new().request_timeout(Some(SETTLE)));
    for result in block_on(made)? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(rdkafka::error::KafkaError::AdminOp(code).into()),
        }
    }
    let until = Instant::now() + SETTLE;
    loop {
        let checked = check_topics(options);
        match checked {
            Err(KafkaError::NoTopic(_)) if Instant::now() < until => std::thread::sleep(LOOK),
            checked => return checked,
        }
    }
}

/// Whether the topics are there, and as they are configured.
pub(crate) fn check_topics(options: &Options) -> Result<(), KafkaError> {
    let client: BaseProducer = options.client().create()?;
    for topic in [Topic::Commands, Topic::Inboxes] {
        let name = options.topic(topic);
        let metadata = client.client().fetch_metadata(Some(&name), SETTLE / 2);
        let metadata = metadata.map_err(|error| KafkaError::Unreachable {
            brokers: options.brokers.join(","),
            what: error.to_string(),
        })?;
        let known = metadata.topics().iter().find(|known| known.name() == name);
        let partitions = known.map(rdkafka::metadata::MetadataTopic::partitions);
        let leads = |partition: &rdkafka::metadata::MetadataPartition| partition.leader() >= 0;
        match partitions {
            Some(partitions) if partitions.len() == usize::from(options.partitions) => {
                if !partitions.iter().all(leads) {
                    return Err(KafkaError::NoTopic(name));
                }
            }
            Some(partitions) if !partitions.is_empty() => {
                return Err(KafkaError::Partitions {
                    topic: name,
                    found: partitions.len(),
                    wanted: options.partitions,
                });
            }
            Some(_) | None => return Err(KafkaError::NoTopic(name)),
        }
    }
    Ok(())
}

/// Waits for one future of the library, which wakes from a thread of its own.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park_timeout(LOOK),
        }
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}
