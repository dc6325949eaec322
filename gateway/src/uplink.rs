//! What clients say, as entries of the log. Called by sessions and, for acknowledgements that a turn collected, by the
//! shard.

use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, InboxBody, InboxEntry,
};
use millpond_wire::{DeviceId, Send, UserId};

pub(crate) fn send(from: Address, send: &Send<'_>) -> Entry {
    Entry::Command(Command {
        conversation: ConversationKey::named_by(from.user, send.conversation),
        body: CommandBody::Send {
            from,
            client_msg_id: send.client_msg_id,
            after: send.after,
            kind: send.kind,
            payload: send.payload.into(),
        },
    })
}

pub(crate) fn read(conversation: ConversationKey, user: UserId, up_to: u64) -> Command {
    Command {
        conversation,
        body: CommandBody::Read { user, up_to },
    }
}

pub(crate) fn acked(user: UserId, device: DeviceId, cursor: u64) -> Entry {
    Entry::Inbox(InboxEntry {
        user,
        body: InboxBody::Acked { device, cursor },
    })
}
