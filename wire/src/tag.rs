//! The type byte of a frame: its number, its name, and who may send it.

use crate::Frame;

/// The type of a frame that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tag {
    Ping = 0x01,
    Pong = 0x02,
    Hello = 0x03,
    Welcome = 0x04,
    GoAway = 0x07,
    Error = 0x08,
    Bye = 0x0A,
    Echo = 0x0B,
    Echoed = 0x0C,
    Send = 0x10,
    SendAck = 0x11,
    Deliver = 0x20,
    CursorAck = 0x21,
    Receipt = 0x22,
    Sync = 0x40,
    SyncDone = 0x41,
    Reset = 0x42,
    History = 0x46,
    HistoryPage = 0x47,
}

/// Who may send a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
    Both,
}

impl Tag {
    pub const ALL: [Self; 19] = [
        Self::Ping,
        Self::Pong,
        Self::Hello,
        Self::Welcome,
        Self::GoAway,
        Self::Error,
        Self::Bye,
        Self::Echo,
        Self::Echoed,
        Self::Send,
        Self::SendAck,
        Self::Deliver,
        Self::CursorAck,
        Self::Receipt,
        Self::Sync,
        Self::SyncDone,
        Self::Reset,
        Self::History,
        Self::HistoryPage,
    ];

    /// Types from here on are skipped when they are unknown.
    pub(crate) const SKIPPABLE: u8 = 0x80;

    pub const fn byte(self) -> u8 {
        self as u8
    }

    #[inline]
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Ping,
            0x02 => Self::Pong,
            0x03 => Self::Hello,
            0x04 => Self::Welcome,
            0x07 => Self::GoAway,
            0x08 => Self::Error,
            0x0A => Self::Bye,
            0x0B => Self::Echo,
            0x0C => Self::Echoed,
            0x10 => Self::Send,
            0x11 => Self::SendAck,
            0x20 => Self::Deliver,
            0x21 => Self::CursorAck,
            0x22 => Self::Receipt,
            0x40 => Self::Sync,
            0x41 => Self::SyncDone,
            0x42 => Self::Reset,
            0x46 => Self::History,
            0x47 => Self::HistoryPage,
            _ => return None,
        })
    }

    /// The name in SPEC.md.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Hello => "HELLO",
            Self::Welcome => "WELCOME",
            Self::GoAway => "GOAWAY",
            Self::Error => "ERROR",
            Self::Bye => "BYE",
            Self::Echo => "ECHO",
            Self::Echoed => "ECHOED",
            Self::Send => "SEND",
            Self::SendAck => "SEND_ACK",
            Self::Deliver => "DELIVER",
            Self::CursorAck => "CURSOR_ACK",
            Self::Receipt => "RECEIPT",
            Self::Sync => "SYNC",
            Self::SyncDone => "SYNC_DONE",
            Self::Reset => "RESET",
            Self::History => "HISTORY",
            Self::HistoryPage => "HISTORY_PAGE",
        }
    }

    pub const fn direction(self) -> Direction {
        match self {
            Self::Hello
            | Self::Bye
            | Self::Echo
            | Self::Send
            | Self::CursorAck
            | Self::Sync
            | Self::History => Direction::ToServer,
            Self::Welcome
            | Self::GoAway
            | Self::Echoed
            | Self::SendAck
            | Self::Deliver
            | Self::SyncDone
            | Self::Reset
            | Self::HistoryPage => Direction::ToClient,
            Self::Ping | Self::Pong | Self::Error | Self::Receipt => Direction::Both,
        }
    }
}

impl Frame<'_> {
    /// The type byte.
    pub fn kind(&self) -> u8 {
        match (self.tag(), self) {
            (Some(tag), _) => tag.byte(),
            (None, Self::Ignored(ignored)) => ignored.kind,
            (None, _) => unreachable!("only ignored frames have no tag"),
        }
    }

    /// `None` for an ignored frame.
    pub const fn tag(&self) -> Option<Tag> {
        Some(match self {
            Self::Ping(_) => Tag::Ping,
            Self::Pong(_) => Tag::Pong,
            Self::Hello(_) => Tag::Hello,
            Self::Welcome(_) => Tag::Welcome,
            Self::GoAway(_) => Tag::GoAway,
            Self::Error(_) => Tag::Error,
            Self::Bye(_) => Tag::Bye,
            Self::Echo(_) => Tag::Echo,
            Self::Echoed(_) => Tag::Echoed,
            Self::Send(_) => Tag::Send,
            Self::SendAck(_) => Tag::SendAck,
            Self::Deliver(_) => Tag::Deliver,
            Self::CursorAck(_) => Tag::CursorAck,
            Self::Receipt(_) => Tag::Receipt,
            Self::Sync(_) => Tag::Sync,
            Self::SyncDone(_) => Tag::SyncDone,
            Self::Reset(_) => Tag::Reset,
            Self::History(_) => Tag::History,
            Self::HistoryPage(_) => Tag::HistoryPage,
            Self::Ignored(_) => return None,
        })
    }

    /// Who may send this frame. A mark that names a user makes a RECEIPT the server's. A receiver answers a frame of
    /// the wrong direction with 7002, a RECEIPT of the wrong kind with 7001.
    pub fn direction(&self) -> Direction {
        match (self.tag(), self) {
            (_, Self::Receipt(receipt)) => match receipt.marks.iter().next() {
                Some(mark) if mark.user.is_some() => Direction::ToClient,
                Some(_) | None => Direction::ToServer,
            },
            (Some(tag), _) => tag.direction(),
            (None, _) => Direction::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn every_byte_is_its_own_tag_or_none() {
        let known = (0..=u8::MAX)
            .filter_map(Tag::from_byte)
            .collect::<alloc::vec::Vec<_>>();
        assert_eq!(known, Tag::ALL);
        assert!(
            known
                .iter()
                .all(|&tag| Tag::from_byte(tag.byte()) == Some(tag))
        );
    }
}
