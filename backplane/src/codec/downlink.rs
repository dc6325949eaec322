//! Batches of hints, from a router to a gateway: the body of a delivery once, then the connections that want it.
//!
//! ```text
//! batch      1 | hints
//! hint       tag u8 | address | body
//! 0 ack      client_msg_id u64 | status u8 (0 new, 1 duplicate) | seq uvarint | server_ms uvarint
//! 1 refused  client_msg_id u64 | code uvarint | retry_after_ms uvarint
//! 2 deliver  cursor uvarint | length of the record uvarint | record
//! 3 again    cursor uvarint: a delivery of the record before it
//! 4 mark     kind u8 (0 delivered, 1 read, 2 played) | 0 direct or 1 group | id u64 | up_to uvarint | user u64, 0 for none
//! 5 kick     code uvarint
//! ```

use super::Undecodable;
use super::entry::{address, put_address};
use super::reader::Reader;
use super::writer::{put_count, put_u64, put_varint};
use crate::link::{Downlink, DownlinkBody};
use millpond_wire::{Ack, AckStatus, Code, Conversation, Mark, MarkKind, UserId};
use std::sync::Arc;

const VERSION: u8 = 1;
const ACK: u8 = 0;
const REFUSED: u8 = 1;
const DELIVER: u8 = 2;
const AGAIN: u8 = 3;
const MARK: u8 = 4;
const KICK: u8 = 5;

/// Makes one batch, hint by hint.
#[derive(Debug)]
pub struct DownlinkEncoder {
    bytes: Vec<u8>,
    /// The last delivery's.
    record: Option<Arc<[u8]>>,
}

impl Default for DownlinkEncoder {
    fn default() -> Self {
        Self {
            bytes: vec![VERSION],
            record: None,
        }
    }
}

impl DownlinkEncoder {
    pub fn push(&mut self, downlink: &Downlink) {
        let again = match &downlink.body {
            DownlinkBody::Deliver { record, .. } => {
                let same = self.record.as_ref().is_some_and(|last| last == record);
                self.record = Some(Arc::clone(record));
                same
            }
            DownlinkBody::Ack(_)
            | DownlinkBody::Refused { .. }
            | DownlinkBody::Mark(_)
            | DownlinkBody::Kick(_) => false,
        };
        let out = &mut self.bytes;
        out.push(match &downlink.body {
            DownlinkBody::Ack(_) => ACK,
            DownlinkBody::Refused { .. } => REFUSED,
            DownlinkBody::Deliver { .. } if again => AGAIN,
            DownlinkBody::Deliver { .. } => DELIVER,
            DownlinkBody::Mark(_) => MARK,
            DownlinkBody::Kick(_) => KICK,
        });
        put_address(&downlink.to, out);
        match &downlink.body {
            DownlinkBody::Ack(ack) => put_ack(ack, out),
            DownlinkBody::Refused {
                client_msg_id,
                code,
                retry_after_ms,
            } => {
                put_u64(*client_msg_id, out);
                put_varint(u64::from(code.0), out);
                put_varint(*retry_after_ms, out);
            }
            DownlinkBody::Deliver { cursor, record } => {
                put_varint(*cursor, out);
                if !again {
                    put_count(record.len(), out);
                    out.extend_from_slice(record);
                }
            }
            DownlinkBody::Mark(mark) => put_mark(mark, out),
            DownlinkBody::Kick(code) => put_varint(u64::from(code.0), out),
        }
    }

    /// Bytes of the batch so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() == 1
    }

    /// The batch; an empty one begins.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self).bytes
    }
}

/// The hints of a batch, in order.
pub fn decode_downlinks(bytes: &[u8]) -> Result<Vec<Downlink>, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of a batch of hints")?;
    let mut hints = Vec::new();
    let mut record: Option<Arc<[u8]>> = None;
    while !reader.is_empty() {
        let before = reader;
        let tag = reader.u8("tag of a hint")?;
        let to = address(&mut reader)?;
        let body = match tag {
            ACK => DownlinkBody::Ack(ack(&mut reader)?),
            REFUSED => DownlinkBody::Refused {
                client_msg_id: reader.u64("client message id")?,
                code: Code(reader.small("code")?),
                retry_after_ms: reader.varint("time to wait")?,
            },
            DELIVER => {
                let cursor = reader.varint("cursor")?;
                let length = reader.count(1, "length of a record")?;
                let next = reader.part(length, "record")?;
                if record.as_deref() == Some(next) {
                    return before.fault("a record that is not repeated");
                }
                let record = record.insert(Arc::from(next));
                DownlinkBody::Deliver {
                    cursor,
                    record: Arc::clone(record),
                }
            }
            AGAIN => DownlinkBody::Deliver {
                cursor: reader.varint("cursor")?,
                record: match &record {
                    Some(record) => Arc::clone(record),
                    None => return before.fault("a record before it is meant again"),
                },
            },
            MARK => DownlinkBody::Mark(mark(&mut reader)?),
            KICK => DownlinkBody::Kick(Code(reader.small("code")?)),
            _ => return before.fault("tag of a hint"),
        };
        hints.push(Downlink { to, body });
    }
    Ok(hints)
}

fn put_ack(ack: &Ack, out: &mut Vec<u8>) {
    put_u64(ack.client_msg_id, out);
    out.push(match ack.status {
        AckStatus::New => 0,
        AckStatus::Duplicate => 1,
    });
    put_varint(ack.seq, out);
    put_varint(ack.server_ms, out);
}

fn ack(reader: &mut Reader<'_>) -> Result<Ack, Undecodable> {
    Ok(Ack {
        client_msg_id: reader.u64("client message id")?,
        status: match reader.u8("status of an ack")? {
            0 => AckStatus::New,
            1 => AckStatus::Duplicate,
            _ => return reader.fault("status of an ack"),
        },
        seq: reader.varint("sequence")?,
        server_ms: reader.varint("time")?,
    })
}

fn put_mark(mark: &Mark, out: &mut Vec<u8>) {
    out.push(match mark.kind {
        MarkKind::Delivered => 0,
        MarkKind::Read => 1,
        MarkKind::Played => 2,
    });
    let (group, id) = match mark.conversation {
        Conversation::Direct(peer) => (0, peer.value()),
        Conversation::Group(id) => (1, id),
    };
    out.push(group);
    put_u64(id, out);
    put_varint(mark.up_to, out);
    put_u64(mark.user.map_or(0, UserId::value), out);
}

fn mark(reader: &mut Reader<'_>) -> Result<Mark, Undecodable> {
    let kind = match reader.u8("kind of a mark")? {
        0 => MarkKind::Delivered,
        1 => MarkKind::Read,
        2 => MarkKind::Played,
        _ => return reader.fault("kind of a mark"),
    };
    let conversation = match reader.u8("kind of a conversation")? {
        0 => Conversation::Direct(reader.user("peer")?),
        1 => Conversation::Group(reader.user("group")?.value()),
        _ => return reader.fault("kind of a conversation"),
    };
    let up_to = reader.varint("end of a mark")?;
    let user = match reader.u64("author of a mark")? {
        0 => None,
        id => match UserId::new(id) {
            Some(user) => Some(user),
            None => return reader.fault("author of a mark"),
        },
    };
    Ok(Mark {
        kind,
        conversation,
        up_to,
        user,
    })
}
