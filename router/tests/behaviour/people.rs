//! Users, devices and records for tests.

use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, GatewayId, Handle, InboxBody, InboxEntry,
};
use millpond_router::fused::Now;
use millpond_wire::{DeviceId, Kind, UserId};

pub(crate) fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

/// A moment on clocks that agree.
pub(crate) fn at(ms: u64) -> Now {
    Now {
        wall_ms: ms,
        steady_ms: ms,
    }
}

pub(crate) fn direct(a: u64, b: u64) -> ConversationKey {
    ConversationKey::direct(user(a), user(b))
}

/// Where the only connection of a device is.
pub(crate) fn address(id: u64, device: u64) -> Address {
    Address {
        gateway: GatewayId(1),
        gateway_epoch: 1,
        handle: Handle {
            shard: 0,
            slot: u32::try_from(id * 16 + device).unwrap(),
            generation: 1,
        },
        user: user(id),
        device: DeviceId(device),
    }
}

/// A SEND, with what most tests do not care about.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    pub(crate) from: u64,
    pub(crate) device: u64,
    pub(crate) to: u64,
    pub(crate) id: u64,
    pub(crate) after: Option<u64>,
    pub(crate) text: String,
}

pub(crate) fn send(from: u64, to: u64, id: u64, text: &str) -> Send {
    Send {
        from,
        device: 1,
        to,
        id,
        after: None,
        text: text.into(),
    }
}

impl Send {
    pub(crate) fn device(self, device: u64) -> Self {
        Self { device, ..self }
    }

    pub(crate) fn after(self, id: u64) -> Self {
        Self {
            after: Some(id),
            ..self
        }
    }

    pub(crate) fn entry(self) -> Entry {
        Entry::Command(self.command())
    }

    pub(crate) fn command(self) -> Command {
        Command {
            conversation: direct(self.from, self.to),
            body: CommandBody::Send {
                from: address(self.from, self.device),
                client_msg_id: self.id,
                after: self.after,
                kind: Kind::TEXT,
                payload: self.text.as_bytes().into(),
            },
        }
    }
}

pub(crate) fn read(reader: u64, peer: u64, up_to: u64) -> Entry {
    Entry::Command(Command {
        conversation: direct(reader, peer),
        body: CommandBody::Read {
            user: user(reader),
            up_to,
        },
    })
}

pub(crate) fn acked(id: u64, device: u64, cursor: u64) -> Entry {
    Entry::Inbox(InboxEntry {
        user: user(id),
        body: InboxBody::Acked {
            device: DeviceId(device),
            cursor,
        },
    })
}

pub(crate) fn ahead(id: u64, device: u64, epoch: u64, cursor: u64) -> Entry {
    Entry::Inbox(InboxEntry {
        user: user(id),
        body: InboxBody::Ahead {
            device: DeviceId(device),
            epoch,
            cursor,
        },
    })
}
