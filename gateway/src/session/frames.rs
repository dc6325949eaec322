//! What a client may say once its session stands.

use super::{Action, Around, BUSY_RETRY_MS, End, Feed, Live, refuse};
use crate::close::Reason;
use crate::pages::{Ask, HistoryAsk};
use crate::uplink;
use millpond_backplane::{ConversationKey, Entry};
use millpond_wire::{
    Code, Conversation, Echoed, Frame, History, HistoryPage, MarkKind, PAYLOAD_BYTES_MAX, Ping,
    Pong, Receipt, Records, Scope, Send,
};

/// Marks of one RECEIPT that count; SPEC 10.9.
const MARKS_MAX: usize = 32;

impl Live {
    pub(super) fn frame(
        &mut self,
        frame: &Frame<'_>,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Result<(), End> {
        match frame {
            Frame::Echo(echo) => act(Action::Frame(Frame::Echoed(Echoed {
                payload: echo.payload,
            }))),
            Frame::Ping(ping) => return self.ping(*ping, around, act),
            Frame::Send(send) => self.send(send, around, act),
            Frame::CursorAck(ack) => return self.ack(ack.cursor, around, act),
            Frame::Receipt(receipt) => return self.receipt(receipt, act),
            Frame::Sync(sync) => self.sync(sync, around, act),
            Frame::History(history) => self.history(history, around, act),
            Frame::Bye(_) => return Err(Reason::Bye.into()),
            Frame::Error(_) => return Err(Reason::PeerComplained.into()),
            Frame::Pong(_) | Frame::Ignored(_) => {}
            // A second HELLO, and whatever only a server says.
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::GoAway(_)
            | Frame::Echoed(_)
            | Frame::SendAck(_)
            | Frame::Deliver(_)
            | Frame::SyncDone(_)
            | Frame::Reset(_)
            | Frame::HistoryPage(_) => return Err(Reason::Unsupported.into()),
        }
        Ok(())
    }

    /// With a cursor it acknowledges, and asks whether the inbox has grown unnoticed.
    fn ping(
        &mut self,
        ping: Ping,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Result<(), End> {
        act(Action::Frame(Frame::Pong(Pong { server_ms: None })));
        if let Some(cursor) = ping.cursor {
            self.ack(cursor, around, act)?;
            self.ask_head(around, act);
        }
        Ok(())
    }

    /// Whether the inbox has grown unnoticed, and the route still stands. Not while a page says the first.
    pub(super) fn ask_head(&mut self, around: &Around<'_>, act: &mut impl FnMut(Action<'_>)) {
        if self.feed == Feed::LIVE {
            self.feed = Feed::Live { head_asked: true };
            act(Action::Ask(Ask::Head(self.route(around))));
        }
    }

    /// The same question in any state of the feed, since it writes the route again; what it says of the head matters only
    /// where a page does not say it.
    pub(super) fn assert_route(&mut self, around: &Around<'_>, act: &mut impl FnMut(Action<'_>)) {
        if let Feed::Live { head_asked } = &mut self.feed {
            *head_asked = true;
        }
        act(Action::Ask(Ask::Head(self.route(around))));
    }

    fn send(&mut self, send: &Send<'_>, around: &Around<'_>, act: &mut impl FnMut(Action<'_>)) {
        let scope = Scope::Message(send.client_msg_id);
        if send.payload.len() > PAYLOAD_BYTES_MAX {
            return refuse(scope, Code::TOO_LARGE, 0, act);
        }
        if matches!(send.conversation, Conversation::Group(_)) {
            return refuse(scope, Code::NOT_FOUND, 0, act);
        }
        if self.sends_open >= around.limits.send_window {
            refuse(scope, Code::BUSY, BUSY_RETRY_MS, act);
            if !self.sends_refused {
                self.sends_refused = true;
                act(Action::Retime);
            }
            return;
        }
        self.sends_open += 1;
        let from = around.address(self.user, self.device);
        act(Action::Append(uplink::send(from, send)));
    }

    /// Cumulative; one that goes back has no effect, one beyond everything shown is a fault.
    fn ack(
        &mut self,
        cursor: u64,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Result<(), End> {
        if cursor > self.sent {
            let shown_before = self.told.is_rewound() || matches!(self.feed, Feed::Syncing { .. });
            return if shown_before {
                Ok(())
            } else {
                Err(Reason::AckBeyond.into())
            };
        }
        if cursor > self.acked() {
            let unacked = self.sent - cursor;
            self.unacked = u16::try_from(unacked).expect("less than was unacknowledged before");
            act(Action::Acked(cursor));
            self.read_on(around, act);
        }
        Ok(())
    }

    /// Delivered follows from the cursor, and read implies played here: only read is kept.
    fn receipt(&self, receipt: &Receipt<'_>, act: &mut impl FnMut(Action<'_>)) -> Result<(), End> {
        for mark in receipt.marks.iter().take(MARKS_MAX) {
            if mark.user.is_some() {
                return Err(Reason::Malformed.into());
            }
            let direct = matches!(mark.conversation, Conversation::Direct(_));
            if direct && matches!(mark.kind, MarkKind::Read | MarkKind::Played) {
                let key = ConversationKey::named_by(self.user, mark.conversation);
                act(Action::Append(Entry::Command(uplink::read(
                    key, self.user, mark.up_to,
                ))));
            }
        }
        Ok(())
    }

    fn history(
        &mut self,
        history: &History,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        let scope = Scope::Request(history.rid);
        if history.rid == 0 {
            return refuse(scope, Code::BAD_REQUEST, 0, act);
        }
        if matches!(history.conversation, Conversation::Group(_)) {
            return refuse(scope, Code::NOT_FOUND, 0, act);
        }
        if self.histories_open >= around.limits.histories_max || around.room_bytes == 0 {
            return refuse(scope, Code::BUSY, BUSY_RETRY_MS, act);
        }
        self.histories_open += 1;
        let rows_max = around.limits.page_rows_max;
        let rows = match usize::try_from(history.limit) {
            Ok(0) | Err(_) => rows_max,
            Ok(asked) => asked.min(rows_max),
        };
        act(Action::Ask(Ask::History(HistoryAsk {
            from: around.address(self.user, self.device),
            rid: history.rid,
            conversation: ConversationKey::named_by(self.user, history.conversation),
            start: history.from,
            rows,
            bytes: around.limits.page_bytes_max,
        })));
    }

    pub(super) fn history_read(
        &mut self,
        rid: u64,
        end: bool,
        records: &[u8],
        act: &mut impl FnMut(Action<'_>),
    ) {
        self.histories_open = self.histories_open.saturating_sub(1);
        act(Action::Frame(Frame::HistoryPage(HistoryPage {
            end,
            rid,
            records: Records::from_encoded(records),
        })));
    }

    pub(super) fn history_failed(
        &mut self,
        rid: u64,
        code: Code,
        act: &mut impl FnMut(Action<'_>),
    ) {
        self.histories_open = self.histories_open.saturating_sub(1);
        refuse(Scope::Request(rid), code, BUSY_RETRY_MS, act);
    }
}
