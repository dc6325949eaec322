//! Why the log cannot be opened.

/// Errors of starting; what a running log meets is a [`LogError`](millpond_backplane::log::LogError).
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("the options of the log: {0}")]
    Options(String),
    #[error("no broker of {brokers} answers: {what}")]
    Unreachable { brokers: String, what: String },
    #[error(
        "the topic {topic} has {found} partitions and {wanted} are configured: the number can never be changed"
    )]
    Partitions {
        topic: String,
        found: usize,
        wanted: u16,
    },
    #[error("the topic {0} is missing: make the topics first")]
    NoTopic(String),
    #[error("kafka: {0}")]
    Client(#[from] rdkafka::error::KafkaError),
    #[error("no thread for the log: {0}")]
    Thread(#[from] std::io::Error),
}
