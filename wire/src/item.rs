//! The items of lists: acknowledgements and marks.

use crate::decode::{Malformed, Reason};
use crate::list::{Item, Layout};
use crate::reader::{MS_BYTES, Reader};
use crate::varint::put_varint;
use crate::writer::{put_conversation, put_ms, put_u64};
use crate::{Ack, AckStatus, Mark, MarkKind};
use alloc::vec::Vec;

/// Flag of RECEIPT: every mark names a user.
pub(crate) const MARKS_NAME_USERS: u8 = 1;

impl Item for Ack {}
impl Item for Mark {}

impl Layout for Ack {
    fn bytes_min(_flags: u8) -> usize {
        8 + 1 + 1 + MS_BYTES
    }

    fn read(reader: &mut Reader<'_>, _flags: u8) -> Result<Self, Malformed> {
        Ok(Self {
            client_msg_id: reader.u64()?,
            status: status(reader)?,
            seq: reader.varint()?,
            server_ms: reader.ms()?,
        })
    }

    fn put(&self, _flags: u8, out: &mut Vec<u8>) {
        put_u64(self.client_msg_id, out);
        out.push(match self.status {
            AckStatus::New => 0,
            AckStatus::Duplicate => 1,
        });
        put_varint(self.seq, out);
        put_ms(self.server_ms, out);
    }
}

fn status(reader: &mut Reader<'_>) -> Result<AckStatus, Malformed> {
    let start = *reader;
    match reader.u8()? {
        0 => Ok(AckStatus::New),
        1 => Ok(AckStatus::Duplicate),
        value => start.fault(Reason::UnknownValue { value }),
    }
}

impl Layout for Mark {
    fn bytes_min(flags: u8) -> usize {
        let user = if flags & MARKS_NAME_USERS != 0 { 8 } else { 0 };
        1 + 8 + 1 + user
    }

    fn read(reader: &mut Reader<'_>, flags: u8) -> Result<Self, Malformed> {
        let named = flags & MARKS_NAME_USERS != 0;
        Ok(Self {
            kind: mark_kind(reader)?,
            conversation: reader.conversation()?,
            up_to: reader.varint()?,
            user: if named { Some(reader.user()?) } else { None },
        })
    }

    fn put(&self, flags: u8, out: &mut Vec<u8>) {
        let named = flags & MARKS_NAME_USERS != 0;
        assert_eq!(
            self.user.is_some(),
            named,
            "the marks of one RECEIPT all name a user, or none"
        );
        out.push(match self.kind {
            MarkKind::Delivered => 0,
            MarkKind::Read => 1,
            MarkKind::Played => 2,
        });
        put_conversation(self.conversation, out);
        put_varint(self.up_to, out);
        if let Some(user) = self.user {
            put_u64(user.value(), out);
        }
    }
}

fn mark_kind(reader: &mut Reader<'_>) -> Result<MarkKind, Malformed> {
    let start = *reader;
    match reader.u8()? {
        0 => Ok(MarkKind::Delivered),
        1 => Ok(MarkKind::Read),
        2 => Ok(MarkKind::Played),
        value => start.fault(Reason::UnknownValue { value }),
    }
}
