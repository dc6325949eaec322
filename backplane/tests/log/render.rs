//! Decoded records as the JSON of the vectors.

use millpond_backplane::codec::{self, Undecodable};
use millpond_backplane::row::{DedupKey, MarksRow, PartitionRow, Stage, UserRow};
use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, InboxBody, Message, Position, Source,
};
use millpond_wire::UserId;
use serde_json::{Value, json};

/// The value of a row, whose key is given by its fields.
pub(crate) fn value(record: &str, key: &Value, bytes: &[u8]) -> Result<Value, Undecodable> {
    match record {
        "envelope" => {
            let entries = codec::decode_envelope(bytes)?;
            Ok(entries.iter().map(entry).collect())
        }
        "history" => {
            let (conversation, seq) = (
                conversation_of(&key["conversation"]),
                number_of(&key["seq"]),
            );
            let row = codec::decode_history(conversation, seq, bytes)?;
            let Message {
                sender,
                device,
                client_msg_id,
                server_ms,
                kind,
                payload,
                ..
            } = row.message;
            Ok(json!({
                "position": position(row.position), "sender": user(sender), "device": decimal(device.0),
                "client_msg_id": decimal(client_msg_id), "server_ms": decimal(server_ms),
                "kind": kind.0, "payload": crate::grammar::to_hex(&payload),
            }))
        }
        "dedup" => {
            let row = codec::decode_dedup(bytes)?;
            Ok(
                json!({ "seq": decimal(row.seq), "server_ms": decimal(row.server_ms), "hash": row.hash }),
            )
        }
        "inbox" => {
            let row = codec::decode_inbox(user_of(&key["user"]), bytes)?;
            Ok(json!({
                "position": position(row.position), "conversation": conversation(row.conversation),
                "seq": decimal(row.seq),
            }))
        }
        "marks" => codec::decode_marks(bytes).map(|row| marks(&row)),
        "user" => codec::decode_user(bytes).map(|row| devices(&row)),
        "partition" => codec::decode_partition(bytes).map(|row| partition(&row)),
        _ => panic!("{record} is no record"),
    }
}

/// The fields of a key.
pub(crate) fn key(record: &str, bytes: &[u8]) -> Result<Value, Undecodable> {
    Ok(match record {
        "history_key" => {
            let (key, seq) = codec::decode_history_key(bytes)?;
            assert_eq!(codec::history_seq(bytes), Ok(seq));
            json!({ "conversation": conversation(key), "seq": decimal(seq) })
        }
        "dedup_key" => {
            let DedupKey {
                conversation: key,
                user: by,
                device,
                client_msg_id,
            } = codec::decode_dedup_key(bytes)?;
            json!({
                "conversation": conversation(key), "user": user(by), "device": decimal(device.0),
                "client_msg_id": decimal(client_msg_id),
            })
        }
        "inbox_key" => {
            let (of, cursor) = codec::decode_inbox_key(bytes)?;
            assert_eq!(codec::inbox_cursor(bytes), Ok(cursor));
            json!({ "user": user(of), "cursor": decimal(cursor) })
        }
        "marks_key" => json!({ "conversation": conversation(codec::decode_marks_key(bytes)?) }),
        "user_key" => json!({ "user": user(codec::decode_user_key(bytes)?) }),
        "partition_key" => {
            let (stage, partition) = codec::decode_partition_key(bytes)?;
            let stage = match stage {
                Stage::Conversations => 0,
                Stage::Inboxes => 1,
            };
            json!({ "stage": stage, "partition": partition.0 })
        }
        _ => panic!("{record} is no key"),
    })
}

fn entry(entry: &Entry) -> Value {
    match entry {
        Entry::Command(Command {
            conversation: key,
            body,
        }) => command(*key, body),
        Entry::Inbox(entry) => {
            let mut value = inbox(&entry.body);
            value["user"] = user(entry.user);
            value
        }
    }
}

fn command(key: ConversationKey, body: &CommandBody) -> Value {
    let key = conversation(key);
    match body {
        CommandBody::Send {
            from,
            client_msg_id,
            after,
            kind,
            payload,
        } => json!({
            "type": "send", "conversation": key, "from": address(from),
            "client_msg_id": decimal(*client_msg_id), "after": after.map(decimal), "kind": kind.0,
            "payload": crate::grammar::to_hex(payload),
        }),
        CommandBody::Delivered { user: by, up_to } => json!({
            "type": "delivered", "conversation": key, "user": user(*by), "up_to": decimal(*up_to),
        }),
        CommandBody::Read { user: by, up_to } => json!({
            "type": "read", "conversation": key, "user": user(*by), "up_to": decimal(*up_to),
        }),
    }
}

fn inbox(body: &InboxBody) -> Value {
    match body {
        InboxBody::Message { source, message } => json!({
            "type": "message", "source": source_of(source), "conversation": conversation(message.conversation),
            "seq": decimal(message.seq), "sender": user(message.sender), "device": decimal(message.device.0),
            "client_msg_id": decimal(message.client_msg_id), "server_ms": decimal(message.server_ms),
            "kind": message.kind.0, "payload": crate::grammar::to_hex(&message.payload),
        }),
        InboxBody::Acked { device, cursor } => json!({
            "type": "acked", "device": decimal(device.0), "cursor": decimal(*cursor),
        }),
        InboxBody::Ahead {
            device,
            epoch,
            cursor,
        } => json!({
            "type": "ahead", "device": decimal(device.0), "epoch": decimal(*epoch), "cursor": decimal(*cursor),
        }),
    }
}

fn address(address: &Address) -> Value {
    json!({
        "gateway": address.gateway.0, "gateway_epoch": address.gateway_epoch, "shard": address.handle.shard,
        "slot": address.handle.slot, "generation": address.handle.generation, "user": user(address.user),
        "device": decimal(address.device.0),
    })
}

fn source_of(source: &Source) -> Value {
    json!({
        "partition": source.partition.0, "position": position(source.position), "emission": source.emission,
    })
}

fn position(position: Position) -> Value {
    json!({ "epoch": position.epoch, "offset": decimal(position.offset), "index": position.index })
}

fn marks(row: &MarksRow) -> Value {
    let members = row.members.iter().map(|member| {
        json!({ "user": user(member.user), "delivered": decimal(member.delivered), "read": decimal(member.read) })
    });
    json!({
        "position": position(row.position), "changes": decimal(row.version),
        "members": members.collect::<Value>(),
    })
}

fn devices(row: &UserRow) -> Value {
    let devices = row.devices.iter().map(
        |device| json!({ "device": decimal(device.device.0), "cursor": decimal(device.cursor) }),
    );
    json!({
        "position": position(row.position), "resets": row.resets, "devices": devices.collect::<Value>(),
    })
}

fn partition(row: &PartitionRow) -> Value {
    let high_water = row.high_water.iter().map(|mark| {
        json!({
            "partition": mark.partition.0, "position": position(mark.position), "emission": mark.emission,
        })
    });
    json!({
        "consumed": position(row.consumed), "time_ms": decimal(row.time_ms),
        "high_water": high_water.collect::<Value>(),
    })
}

fn conversation(key: ConversationKey) -> Value {
    match key {
        ConversationKey::Direct(low, high) => json!({ "direct": [user(low), user(high)] }),
        ConversationKey::Group(id) => json!({ "group": decimal(id) }),
    }
}

pub(crate) fn conversation_of(value: &Value) -> ConversationKey {
    match value.get("direct") {
        Some(users) => ConversationKey::direct(user_of(&users[0]), user_of(&users[1])),
        None => ConversationKey::Group(number_of(&value["group"])),
    }
}

fn user(user: UserId) -> Value {
    decimal(user.value())
}

pub(crate) fn user_of(value: &Value) -> UserId {
    UserId::new(number_of(value)).unwrap()
}

pub(crate) fn number_of(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn decimal(value: u64) -> Value {
    value.to_string().into()
}
