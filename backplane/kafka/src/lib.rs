//! The log in Apache Kafka.
//!
//! One record of Kafka is one envelope: all entries that one tick of one appender brought for one of few partitions, onto
//! which the 256 virtual ones are mapped. What costs a broker is partitions touched per tick, not messages.
//!
//! Appenders ([`KafkaAppender`], one per gateway shard) fill envelopes and have a bounded number of them under way; a
//! report of delivery sends the next one, from the thread that polls the shared producer. Readers ([`KafkaLog`], one per
//! owner of partitions) assign partitions by hand and learn positions by reading, never from a report of delivery. There
//! are no transactions and no groups: what makes effects exactly-once are positions (`millpond_backplane::log`).
#![forbid(unsafe_code)]

mod appender;
mod counts;
mod demux;
mod error;
mod lane;
mod options;
mod producer;
mod reader;
mod topics;

pub use appender::KafkaAppender;
pub use error::KafkaError;
pub use options::Options;
pub use producer::Kafka;
pub use reader::KafkaLog;
pub use topics::make_topics;
