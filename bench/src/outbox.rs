//! Bytes that wait to be sent, per connection. Scenarios append; [`crate::sockets`] takes.

/// Bytes that wait behind a send in flight; scenarios bound their messages far below.
const OUTBOX_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The outboxes of all connections, by their index.
#[derive(Debug, Default)]
pub(crate) struct Outboxes {
    boxes: Vec<Outbox>,
    /// Those that have bytes and may send.
    ready: Vec<usize>,
}

#[derive(Debug)]
struct Outbox {
    bytes: Vec<u8>,
    flight: Flight,
    ready: bool,
}

/// What the kernel has of a connection's bytes.
#[derive(Debug)]
enum Flight {
    /// Nothing may be sent yet.
    Connecting,
    /// Nothing; an empty buffer to swap with.
    None(Vec<u8>),
    /// A send that begins at this byte of its buffer.
    Sending(usize),
    /// The rest of a buffer waits for room.
    Full(Vec<u8>, usize),
    Closed,
}

impl Outboxes {
    pub(crate) fn add(&mut self) {
        self.boxes.push(Outbox {
            bytes: Vec::new(),
            flight: Flight::Connecting,
            ready: false,
        });
    }

    /// Appends bytes for `at`. Bytes for a closed connection go nowhere.
    pub(crate) fn append(&mut self, at: usize, put: impl FnOnce(&mut Vec<u8>)) {
        let outbox = &mut self.boxes[at];
        if matches!(outbox.flight, Flight::Closed) {
            return;
        }
        put(&mut outbox.bytes);
        assert!(
            outbox.bytes.len() <= OUTBOX_BYTES_MAX,
            "the scenario bounds what it queues"
        );
        self.mark(at);
    }

    /// The connection may send from now on.
    pub(crate) fn opened(&mut self, at: usize) {
        self.boxes[at].flight = Flight::None(Vec::new());
        self.mark(at);
    }

    pub(crate) fn closed(&mut self, at: usize) {
        self.boxes[at].flight = Flight::Closed;
        self.boxes[at].bytes = Vec::new();
    }

    /// A connection that has something to send, with its bytes.
    pub(crate) fn take_ready(&mut self) -> Option<(usize, Vec<u8>)> {
        let at = self.ready.pop()?;
        let outbox = &mut self.boxes[at];
        outbox.ready = false;
        let Flight::None(spare) = &mut outbox.flight else {
            return self.take_ready();
        };
        let bytes = std::mem::replace(&mut outbox.bytes, std::mem::take(spare));
        outbox.flight = Flight::Sending(0);
        Some((at, bytes))
    }

    /// A send took `taken` of its bytes. Returns what to send next at once: the rest of them, from there.
    pub(crate) fn sent(
        &mut self,
        at: usize,
        mut bytes: Vec<u8>,
        taken: usize,
    ) -> Option<(Vec<u8>, usize)> {
        let outbox = &mut self.boxes[at];
        let Flight::Sending(from) = outbox.flight else {
            return None;
        };
        let from = from + taken;
        if from < bytes.len() {
            outbox.flight = Flight::Sending(from);
            return Some((bytes, from));
        }
        bytes.clear();
        outbox.flight = Flight::None(bytes);
        self.mark(at);
        None
    }

    /// A send found no room; its bytes wait here.
    pub(crate) fn full(&mut self, at: usize, bytes: Vec<u8>) {
        if let Flight::Sending(from) = self.boxes[at].flight {
            self.boxes[at].flight = Flight::Full(bytes, from);
        }
    }

    /// There is room again: what to send.
    pub(crate) fn room(&mut self, at: usize) -> Option<(Vec<u8>, usize)> {
        let outbox = &mut self.boxes[at];
        let Flight::Full(bytes, from) = &mut outbox.flight else {
            return None;
        };
        let (bytes, from) = (std::mem::take(bytes), *from);
        outbox.flight = Flight::Sending(from);
        Some((bytes, from))
    }

    fn mark(&mut self, at: usize) {
        let outbox = &mut self.boxes[at];
        let may_send = matches!(outbox.flight, Flight::None(_));
        if may_send && !outbox.ready && !outbox.bytes.is_empty() {
            outbox.ready = true;
            self.ready.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened_with(bytes: &[u8]) -> Outboxes {
        let mut outboxes = Outboxes::default();
        outboxes.add();
        outboxes.append(0, |out| out.extend_from_slice(bytes));
        assert!(outboxes.take_ready().is_none(), "not before it is open");
        outboxes.opened(0);
        outboxes
    }

    #[test]
    fn one_send_at_a_time_and_a_short_one_goes_on_where_it_ended() {
        let mut outboxes = opened_with(b"abcd");
        let (at, bytes) = outboxes.take_ready().unwrap();
        outboxes.append(0, |out| out.extend_from_slice(b"ef"));
        assert!(outboxes.take_ready().is_none());
        let (bytes, from) = outboxes.sent(at, bytes, 3).unwrap();
        assert_eq!(&bytes[from..], b"d");
        assert!(outboxes.sent(at, bytes, 1).is_none());
        assert_eq!(outboxes.take_ready(), Some((0, b"ef".to_vec())));
    }

    #[test]
    fn a_full_socket_waits_for_room_and_loses_nothing() {
        let mut outboxes = opened_with(b"abcd");
        let (_, bytes) = outboxes.take_ready().unwrap();
        let (bytes, _) = outboxes.sent(0, bytes, 1).unwrap();
        outboxes.full(0, bytes);
        assert!(outboxes.take_ready().is_none());
        let (bytes, from) = outboxes.room(0).unwrap();
        assert_eq!(&bytes[from..], b"bcd");
        assert!(outboxes.room(0).is_none());
    }

    #[test]
    fn nothing_is_kept_for_a_closed_connection() {
        let mut outboxes = opened_with(b"abcd");
        outboxes.closed(0);
        outboxes.append(0, |_| panic!("asked for bytes of a closed connection"));
        assert!(outboxes.take_ready().is_none());
    }
}
