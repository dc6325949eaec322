//! Two users and a server played by hand: bytes in, bytes out.

use super::*;
use crate::generator::Window;
use millpond_wire::{
    AckStatus, Code, Conversation, Decoded, List, Mode, Origin, PREFACE, Records, SendAck, Welcome,
    decode, encode_record,
};

struct Table {
    client: MessagesClient,
    outboxes: Outboxes,
}

/// A frame that a user has sent, as far as these tests look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Hello,
    Sync { cursor: u64 },
    Send { id: u64 },
    CursorAck { cursor: u64 },
    Ping { cursor: Option<u64> },
}

impl Table {
    /// Both users are welcomed and in step with their empty inboxes.
    fn opened() -> Self {
        let tokens: Tokens = Box::new(|_, _| Ok("token".to_owned()));
        let mut client = MessagesClient::new(Clock::new(), tokens, 32, 2);
        client.phase = Phase::new(Window {
            from_ns: 0,
            until_ns: u64::MAX,
        });
        let mut table = Self {
            client,
            outboxes: Outboxes::default(),
        };
        for at in 0..2 {
            table.outboxes.add();
            table.outboxes.opened(at);
            let mut greeting = Vec::new();
            table.client.greet(at, &mut greeting).unwrap();
            assert_eq!(greeting[..4], PREFACE);
            table
                .outboxes
                .append(at, |out| out.extend_from_slice(&greeting[4..]));
            assert_eq!(table.said(at), [Said::Hello]);
        }
        for at in 0..2 {
            table.hear(at, &Frame::Welcome(welcome()));
            assert_eq!(table.said(at), [Said::Sync { cursor: 0 }]);
            assert_eq!(table.client.ready(2), at);
            table.synced(at, 0);
        }
        assert_eq!(table.client.ready(2), 2);
        table
    }

    fn hear(&mut self, at: usize, frame: &Frame<'_>) {
        self.try_hear(at, frame).unwrap();
    }

    fn try_hear(&mut self, at: usize, frame: &Frame<'_>) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        let taken = self.client.received(at, &bytes, &mut self.outboxes);
        assert_eq!(taken, bytes.len());
        match self.client.fault.take() {
            Some(fault) => bail!("{fault}"),
            None => Ok(()),
        }
    }

    fn synced(&mut self, at: usize, cursor: u64) {
        let done = SyncDone {
            more: false,
            rid: self.client.next_rid - 1,
            cursor,
        };
        self.hear(at, &Frame::SyncDone(done));
    }

    /// What a user has sent since the last look.
    fn said(&mut self, at: usize) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some((from, bytes)) = self.outboxes.take_ready() {
            assert_eq!(from, at, "another user spoke");
            let mut rest = &bytes[..];
            while let Ok(Decoded::Frame(frame, length)) = decode(rest, 1 << 20) {
                said.push(heard(&frame));
                rest = &rest[length..];
            }
            assert!(rest.is_empty());
            let all = bytes.len();
            assert!(self.outboxes.sent(at, bytes, all).is_none());
        }
        said
    }

    /// A message of user `at`, meant for now. Returns its number.
    fn send(&mut self, at: usize, number: u64) {
        self.client.next = at;
        let now_ns = self.client.clock.now_ns();
        self.client.due(now_ns, &mut self.outboxes);
        let id = self.client.identity.message(number);
        assert_eq!(self.said(at), [Said::Send { id }]);
    }

    fn ack(&mut self, at: usize, number: u64, seq: u64) {
        let acks = [Ack {
            client_msg_id: self.client.identity.message(number),
            status: AckStatus::New,
            seq,
            server_ms: 1,
        }];
        let acks = List::of(&acks);
        self.hear(at, &Frame::SendAck(SendAck { acks }));
    }

    /// Message `number` of user `from`, at `cursor` of user `at`'s inbox.
    fn deliver(&mut self, at: usize, from: usize, number: u64, cursor: u64) {
        let intended_ns = self.client.peers[from].intended_ns(number).unwrap_or(0);
        self.deliver_meant_for(at, from, number, cursor, intended_ns)
            .unwrap();
    }

    fn deliver_meant_for(
        &mut self,
        at: usize,
        from: usize,
        number: u64,
        cursor: u64,
        intended_ns: u64,
    ) -> anyhow::Result<()> {
        let mut payload = vec![0xA5; 32];
        payload[..8].copy_from_slice(&intended_ns.to_be_bytes());
        payload[8..16].copy_from_slice(&number.to_be_bytes());
        let own = at == from;
        let origin = own.then(|| Origin {
            device: self.client.identity.device(),
            client_msg_id: self.client.identity.message(number),
        });
        let record = Record {
            kind: Kind::TEXT,
            origin,
            stub: own,
            counts: !own,
            conversation: Conversation::Direct(self.client.identity.user(at ^ 1)),
            seq: number + 1,
            sender: None,
            server_ms: 1,
            payload: if own { &[] } else { &payload },
        };
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        let deliver = Deliver {
            mode: Mode::Live,
            first_cursor: cursor,
            records: Records::from_encoded(&bytes),
        };
        self.try_hear(at, &Frame::Deliver(deliver))
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else a client says is wrong here"
)]
fn heard(frame: &Frame<'_>) -> Said {
    match frame {
        Frame::Hello(_) => Said::Hello,
        Frame::Sync(sync) => Said::Sync {
            cursor: sync.cursor,
        },
        Frame::Send(send) => Said::Send {
            id: send.client_msg_id,
        },
        Frame::CursorAck(ack) => Said::CursorAck { cursor: ack.cursor },
        Frame::Ping(ping) => Said::Ping {
            cursor: ping.cursor,
        },
        other => panic!("a client said {other:?}"),
    }
}

fn welcome() -> Welcome<'static> {
    Welcome {
        resumed: false,
        reset: false,
        throttled: false,
        proto: 1,
        features: 0,
        session: 1,
        epoch: 9,
        server_ms: 1,
        ping_active_ms: 30_000,
        ping_idle_ms: 285_000,
        max_frame: 65_536,
        send_window: 2,
        token_ttl_s: 60,
        resume_token: &[],
        dictionary: 0,
    }
}

#[test]
fn a_message_counts_when_it_is_acked_and_delivered_and_not_before() {
    let mut table = Table::opened();
    table.send(0, 0);
    table.ack(0, 0, 1);
    assert_eq!((table.client.answered(), table.client.incomplete()), (0, 1));
    table.deliver(1, 0, 0, 1);
    assert_eq!((table.client.answered(), table.client.incomplete()), (1, 0));
    assert_eq!(table.client.phase.ack.count(), 1);
    assert_eq!(table.client.phase.delivery.count(), 1);
}

#[test]
fn cursors_are_acknowledged_after_so_many_records_and_after_a_while() {
    let mut table = Table::opened();
    table.send(0, 0);
    table.send(0, 1);
    table.deliver(0, 0, 0, 1);
    assert_eq!(table.said(0), []);
    table.deliver(0, 0, 1, 2);
    assert_eq!(table.said(0), [Said::CursorAck { cursor: 2 }]);
    table.deliver(1, 0, 0, 1);
    assert!(table.client.outstanding() > 0);
    let now_ns = table.client.clock.now_ns();
    table.client.tend(now_ns, true, &mut table.outboxes);
    assert_eq!(table.said(1), [Said::CursorAck { cursor: 1 }]);
}

#[test]
fn a_gap_is_closed_by_a_sync_and_nothing_counts_twice() {
    let mut table = Table::opened();
    table.send(0, 0);
    table.send(0, 1);
    table.deliver(1, 0, 1, 2);
    assert_eq!(table.said(1), [Said::Sync { cursor: 0 }]);
    table.deliver(1, 0, 1, 2);
    assert_eq!(table.said(1), [], "one SYNC is asked at a time");
    table.deliver(1, 0, 0, 1);
    table.deliver(1, 0, 1, 2);
    table.synced(1, 2);
    table.deliver(1, 0, 1, 2);
    assert_eq!(table.client.phase.delivery.count(), 2);
}

#[test]
fn beyond_the_window_messages_wait_and_their_time_runs() {
    let mut table = Table::opened();
    table.send(0, 0);
    table.send(0, 1);
    table.client.next = 0;
    table.client.due(0, &mut table.outboxes);
    assert_eq!(table.said(0), []);
    table.ack(0, 0, 1);
    let id = table.client.identity.message(2);
    assert_eq!(table.said(0), [Said::Send { id }]);
    table.ack(0, 2, 2);
    let slowest_ns = table.client.phase.ack.quantile_ns(1.0).unwrap();
    assert!(slowest_ns > table.client.clock.now_ns() / 2, "{slowest_ns}");
}

#[test]
fn a_busy_server_gets_the_same_message_again() {
    let mut table = Table::opened();
    table.send(0, 0);
    let id = table.client.identity.message(0);
    let busy = |scope, code| {
        Frame::Error(Error {
            code,
            scope,
            retry_after_ms: 0,
            message: "",
        })
    };
    table.hear(0, &busy(Scope::Message(id), Code::BUSY));
    let now_ns = table.client.clock.now_ns();
    table.client.tend(now_ns, false, &mut table.outboxes);
    assert_eq!(table.said(0), [Said::Send { id }]);
    assert_eq!(table.client.phase.repeats, 1);
    assert!(
        table
            .try_hear(0, &busy(Scope::Message(id), Code::ID_REUSED))
            .is_err()
    );
}

#[test]
fn what_never_came_is_lost() {
    let mut table = Table::opened();
    table.send(0, 0);
    table.send(1, 0);
    table.ack(0, 0, 1);
    table.client.end_phase();
    assert_eq!(table.client.phase.ack.lost(), 1);
    assert_eq!(table.client.phase.delivery.lost(), 2);
    assert_eq!(table.client.incomplete(), 2);
}

#[test]
fn a_server_that_makes_things_up_is_caught() {
    let mut table = Table::opened();
    table.send(0, 0);
    let now_ns = table.client.clock.now_ns();
    assert!(table.deliver_meant_for(1, 0, 0, 1, now_ns).is_err());
    assert!(table.deliver_meant_for(1, 0, 7, 1, 0).is_err());
}
