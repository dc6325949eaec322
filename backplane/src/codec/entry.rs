//! Log records: an envelope of the entries that one tick of one producer brought.
//!
//! ```text
//! envelope   1 | entries: each its length in bytes as uvarint, then the entry
//! entry      tag u8 | body
//! 0 send       conversation 16 | address | client_msg_id u64 | 0, or 1 after u64 | kind u8 | payload
//! 1 delivered  conversation 16 | user u64 | up_to uvarint
//! 2 read       conversation 16 | user u64 | up_to uvarint
//! 16 message   user u64 | source | conversation 16 | seq uvarint | sender u64 | device u64 | client_msg_id u64
//!              | server_ms uvarint | kind u8 | payload
//! 17 acked     user u64 | device u64 | cursor uvarint
//! 18 ahead     user u64 | device u64 | epoch u64 | cursor uvarint
//! address    gateway uvarint | gateway_epoch uvarint | shard uvarint | slot uvarint | generation uvarint | user u64 | device u64
//! source     partition u8 | epoch uvarint | offset uvarint | index uvarint | emission uvarint
//! ```
//!
//! An entry's index in its envelope is a part of its position.

use super::Undecodable;
use super::reader::Reader;
use super::writer::{put_conversation, put_count, put_position, put_u64, put_user, put_varint};
use crate::{
    Address, Command, CommandBody, ConversationKey, Entry, GatewayId, Handle, InboxBody,
    InboxEntry, Message, Source,
};
use millpond_wire::{DeviceId, Kind, UserId};

/// Entries of one envelope: more are a fault of the producer.
pub const ENTRIES_PER_ENVELOPE_MAX: usize = 1 << 16;

const VERSION: u8 = 1;
const SEND: u8 = 0;
const DELIVERED: u8 = 1;
const READ: u8 = 2;
const MESSAGE: u8 = 16;
const ACKED: u8 = 17;
const AHEAD: u8 = 18;

/// Appends the envelope of `entries`.
pub fn encode_envelope(entries: &[Entry], out: &mut Vec<u8>) {
    assert!(entries.len() <= ENTRIES_PER_ENVELOPE_MAX);
    out.push(VERSION);
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.clear();
        encode_entry(entry, &mut bytes);
        put_count(bytes.len(), out);
        out.extend_from_slice(&bytes);
    }
}

/// The entries of an envelope, by index.
pub fn decode_envelope(bytes: &[u8]) -> Result<Vec<Entry>, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of an envelope")?;
    let mut entries = Vec::new();
    while !reader.is_empty() {
        if entries.len() == ENTRIES_PER_ENVELOPE_MAX {
            return reader.fault("no more entries");
        }
        let length = reader.count(1, "length of an entry")?;
        let start = bytes.len() - reader.clone().tail().len();
        let body = reader.part(length, "entry")?;
        let entry = decode_entry(body).map_err(|fault| Undecodable {
            offset: start + fault.offset,
            ..fault
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    match entry {
        Entry::Command(command) => encode_command(command, out),
        Entry::Inbox(entry) => encode_inbox_entry(entry, out),
    }
}

fn encode_command(command: &Command, out: &mut Vec<u8>) {
    match &command.body {
        CommandBody::Send {
            from,
            client_msg_id,
            after,
            kind,
            payload,
        } => {
            out.push(SEND);
            put_conversation(command.conversation, out);
            put_address(from, out);
            put_u64(*client_msg_id, out);
            out.push(u8::from(after.is_some()));
            after.iter().for_each(|after| put_u64(*after, out));
            out.push(kind.0);
            out.extend_from_slice(payload);
        }
        CommandBody::Delivered { user, up_to } => {
            put_mark(DELIVERED, command.conversation, *user, *up_to, out);
        }
        CommandBody::Read { user, up_to } => {
            put_mark(READ, command.conversation, *user, *up_to, out);
        }
    }
}

fn put_mark(tag: u8, conversation: ConversationKey, user: UserId, up_to: u64, out: &mut Vec<u8>) {
    out.push(tag);
    put_conversation(conversation, out);
    put_user(user, out);
    put_varint(up_to, out);
}

pub(super) fn put_address(address: &Address, out: &mut Vec<u8>) {
    put_varint(u64::from(address.gateway.0), out);
    put_varint(u64::from(address.gateway_epoch), out);
    put_varint(u64::from(address.handle.shard), out);
    put_varint(u64::from(address.handle.slot), out);
    put_varint(u64::from(address.handle.generation), out);
    put_user(address.user, out);
    put_u64(address.device.0, out);
}

fn encode_inbox_entry(entry: &InboxEntry, out: &mut Vec<u8>) {
    let tag = match entry.body {
        InboxBody::Message { .. } => MESSAGE,
        InboxBody::Acked { .. } => ACKED,
        InboxBody::Ahead { .. } => AHEAD,
    };
    out.push(tag);
    put_user(entry.user, out);
    match &entry.body {
        InboxBody::Message { source, message } => {
            put_source(source, out);
            put_message(message, out);
        }
        InboxBody::Acked { device, cursor } => {
            put_u64(device.0, out);
            put_varint(*cursor, out);
        }
        InboxBody::Ahead {
            device,
            epoch,
            cursor,
        } => {
            put_u64(device.0, out);
            put_u64(*epoch, out);
            put_varint(*cursor, out);
        }
    }
}

fn put_source(source: &Source, out: &mut Vec<u8>) {
    out.push(source.partition.0);
    put_position(source.position, out);
    put_varint(u64::from(source.emission), out);
}

fn put_message(message: &Message, out: &mut Vec<u8>) {
    put_conversation(message.conversation, out);
    put_varint(message.seq, out);
    put_user(message.sender, out);
    put_u64(message.device.0, out);
    put_u64(message.client_msg_id, out);
    put_varint(message.server_ms, out);
    out.push(message.kind.0);
    out.extend_from_slice(&message.payload);
}

fn decode_entry(bytes: &[u8]) -> Result<Entry, Undecodable> {
    let mut reader = Reader::new(bytes);
    let before = reader;
    let entry = match reader.u8("tag of an entry")? {
        SEND => send(&mut reader)?,
        DELIVERED => mark(&mut reader, |user, up_to| CommandBody::Delivered {
            user,
            up_to,
        })?,
        READ => mark(&mut reader, |user, up_to| CommandBody::Read { user, up_to })?,
        MESSAGE => inbox_entry(&mut reader, message)?,
        ACKED => inbox_entry(&mut reader, acked)?,
        AHEAD => inbox_entry(&mut reader, ahead)?,
        _ => return before.fault("tag of an entry"),
    };
    reader.end().map(|()| entry)
}

fn send(reader: &mut Reader<'_>) -> Result<Entry, Undecodable> {
    let conversation = reader.conversation("conversation")?;
    let body = CommandBody::Send {
        from: address(reader)?,
        client_msg_id: reader.u64("client message id")?,
        after: after(reader)?,
        kind: Kind(reader.u8("kind")?),
        payload: reader.tail().into(),
    };
    Ok(Entry::Command(Command { conversation, body }))
}

fn after(reader: &mut Reader<'_>) -> Result<Option<u64>, Undecodable> {
    let before = *reader;
    match reader.u8("whether an id goes before")? {
        0 => Ok(None),
        1 => reader.u64("id before").map(Some),
        _ => before.fault("whether an id goes before"),
    }
}

fn mark(
    reader: &mut Reader<'_>,
    body: fn(UserId, u64) -> CommandBody,
) -> Result<Entry, Undecodable> {
    let conversation = reader.conversation("conversation")?;
    let body = body(reader.user("user")?, reader.varint("position of a mark")?);
    Ok(Entry::Command(Command { conversation, body }))
}

pub(super) fn address(reader: &mut Reader<'_>) -> Result<Address, Undecodable> {
    Ok(Address {
        gateway: GatewayId(reader.small("gateway")?),
        gateway_epoch: reader.small("gateway epoch")?,
        handle: Handle {
            shard: reader.small("shard")?,
            slot: reader.small("slot")?,
            generation: reader.small("generation")?,
        },
        user: reader.user("user")?,
        device: DeviceId(reader.u64("device")?),
    })
}

fn inbox_entry(
    reader: &mut Reader<'_>,
    body: fn(&mut Reader<'_>) -> Result<InboxBody, Undecodable>,
) -> Result<Entry, Undecodable> {
    let user = reader.user("user")?;
    let body = body(reader)?;
    Ok(Entry::Inbox(InboxEntry { user, body }))
}

fn message(reader: &mut Reader<'_>) -> Result<InboxBody, Undecodable> {
    let source = Source {
        partition: reader.partition()?,
        position: reader.position()?,
        emission: reader.small("emission")?,
    };
    let message = Message {
        conversation: reader.conversation("conversation")?,
        seq: reader.varint("sequence")?,
        sender: reader.user("sender")?,
        device: DeviceId(reader.u64("device")?),
        client_msg_id: reader.u64("client message id")?,
        server_ms: reader.varint("server time")?,
        kind: Kind(reader.u8("kind")?),
        payload: reader.tail().into(),
    };
    Ok(InboxBody::Message { source, message })
}

fn acked(reader: &mut Reader<'_>) -> Result<InboxBody, Undecodable> {
    Ok(InboxBody::Acked {
        device: DeviceId(reader.u64("device")?),
        cursor: reader.varint("cursor")?,
    })
}

fn ahead(reader: &mut Reader<'_>) -> Result<InboxBody, Undecodable> {
    Ok(InboxBody::Ahead {
        device: DeviceId(reader.u64("device")?),
        epoch: reader.u64("epoch")?,
        cursor: reader.varint("cursor")?,
    })
}
