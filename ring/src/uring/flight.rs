//! The memory of operations in flight: what the kernel reads or writes until an operation's last completion lies here,
//! at an address that does not move. The kernel gets an index in `user_data`, never a pointer to us. Called by the ring.
//!
//! `user_data`: the top bit clear, a plain token of the caller; set, an index into the flights (or [`ADOPTION`]).

use std::time::Duration;

use io_uring::types::Timespec;

use super::lent::Lent;
use crate::address::Address;
use crate::op::{Extra, Token};

const OWNED: u64 = Token::RESERVED;
/// Marks the ring's own operation of `adopt`; no flight has this index.
pub(super) const ADOPTION: u64 = u64::MAX;

/// Whose completion it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Caller(Token),
    Flight(usize),
}

impl Owner {
    pub(super) fn of(user_data: u64) -> Self {
        assert_ne!(user_data, ADOPTION, "adoptions are taken out before");
        if user_data & OWNED == 0 {
            return Self::Caller(Token(user_data));
        }
        Self::Flight(usize::try_from(user_data & !OWNED).expect("indices are ours"))
    }
}

#[derive(Debug)]
struct Flight {
    token: Token,
    cargo: Cargo,
}

#[derive(Debug)]
enum Cargo {
    Accept(Lent<Address>),
    Send(Vec<u8>),
    Timeout(
        #[expect(dead_code, reason = "held for the kernel, read by nobody here")] Lent<Timespec>,
    ),
    Signal(#[expect(dead_code, reason = "what an eventfd counts says nothing here")] Lent<u64>),
}

/// What a flight gave back with its last completion.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) token: Token,
    pub(super) extra: Extra,
    pub(super) accept: bool,
    pub(super) no_slot: bool,
}

#[derive(Debug)]
pub(super) struct Flights {
    rooms: Vec<Option<Flight>>,
    free: Vec<usize>,
    /// Address rooms of accepts that have landed: as many as ever were in flight together.
    addresses: Vec<Lent<Address>>,
    max: usize,
}

impl Flights {
    pub(super) fn new(max: usize) -> Self {
        Self {
            rooms: Vec::new(),
            free: Vec::new(),
            addresses: Vec::new(),
            max,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    pub(super) fn len(&self) -> usize {
        self.rooms.len() - self.free.len()
    }

    /// Gives `user_data` and where the kernel writes the peer's address.
    pub(super) fn accept(&mut self, token: Token) -> (u64, *mut Address) {
        let mut room = self
            .addresses
            .pop()
            .unwrap_or_else(|| Lent::new(Address::room()));
        room.write(Address::room());
        let pointer = room.pointer();
        (self.depart(token, Cargo::Accept(room)), pointer)
    }

    /// Gives `user_data` and where the kernel reads the bytes. A `Vec`'s bytes stay where they are when it moves.
    pub(super) fn send(&mut self, token: Token, bytes: Vec<u8>) -> (u64, *const u8) {
        let pointer = bytes.as_ptr();
        (self.depart(token, Cargo::Send(bytes)), pointer)
    }

    /// Gives `user_data` and where the kernel reads the time.
    pub(super) fn timeout(&mut self, token: Token, after: Duration) -> (u64, *const Timespec) {
        let time = Lent::new(Timespec::from(after));
        let pointer = time.pointer();
        (self.depart(token, Cargo::Timeout(time)), pointer)
    }

    /// Gives `user_data` and where the kernel writes the count of an eventfd. The completion carries [`Token::OWN`].
    pub(super) fn signal(&mut self) -> (u64, *mut u64) {
        let count = Lent::new(0);
        let pointer = count.pointer();
        (self.depart(Token::OWN, Cargo::Signal(count)), pointer)
    }

    fn depart(&mut self, token: Token, cargo: Cargo) -> u64 {
        let flight = Some(Flight { token, cargo });
        let index = match self.free.pop() {
            Some(index) => {
                self.rooms[index] = flight;
                index
            }
            None => {
                self.rooms.push(flight);
                self.rooms.len() - 1
            }
        };
        OWNED | index as u64
    }

    /// The last completion of a flight has come.
    pub(super) fn land(&mut self, index: usize, result: i32) -> Landed {
        let flight = self.rooms[index]
            .take()
            .expect("the kernel completes a flight once");
        self.free.push(index);
        let accept = matches!(flight.cargo, Cargo::Accept(_));
        let extra = match flight.cargo {
            Cargo::Accept(room) => self.landed_address(room, result),
            Cargo::Send(bytes) => Extra::Sent(bytes),
            Cargo::Timeout(_) | Cargo::Signal(_) => Extra::None,
        };
        Landed {
            token: flight.token,
            extra,
            accept,
            no_slot: accept && result == -libc::ENFILE,
        }
    }

    fn landed_address(&mut self, room: Lent<Address>, result: i32) -> Extra {
        let peer = if result < 0 {
            None
        } else {
            room.read().decode()
        };
        self.addresses.push(room);
        peer.map_or(Extra::None, Extra::Peer)
    }

    /// Of every operation that owns memory here, as the kernel knows it.
    pub(super) fn user_data(&self) -> impl Iterator<Item = u64> {
        let rooms = self.rooms.iter().enumerate();
        rooms.filter_map(|(index, room)| room.is_some().then_some(OWNED | index as u64))
    }

    /// Whether an operation with this token owns memory here.
    pub(super) fn carries(&self, token: Token) -> bool {
        self.place_of(token).is_some()
    }

    /// The `user_data` of the operation with this token: the first flight that carries it, else the token itself. Looks
    /// at every flight (accepts, sends and timeouts; never the armed polls): a cancel costs more in the kernel.
    pub(super) fn find(&self, token: Token) -> u64 {
        self.place_of(token)
            .map_or(token.checked(), |index| OWNED | index as u64)
    }

    fn place_of(&self, token: Token) -> Option<usize> {
        let carries = |room: &Option<Flight>| room.as_ref().is_some_and(|it| it.token == token);
        self.rooms.iter().position(carries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_where_they_are_while_the_flights_grow() {
        let mut flights = Flights::new(10_000);
        let (first, pointer) = flights.accept(Token(1));
        for token in 2..5_000 {
            flights.accept(Token(token));
        }
        let Some(Flight {
            cargo: Cargo::Accept(room),
            ..
        }) = &flights.rooms[0]
        else {
            panic!("the first flight is an accept");
        };
        assert_eq!(room.pointer(), pointer);
        assert_eq!(Owner::of(first), Owner::Flight(0));
    }

    #[test]
    fn a_landed_flight_gives_its_cargo_back_and_its_room_is_used_again() {
        let mut flights = Flights::new(1);
        let (user_data, _) = flights.send(Token(7), vec![1, 2, 3]);
        assert!(flights.is_full());
        assert_eq!(flights.find(Token(7)), user_data);
        let landed = flights.land(0, 3);
        assert_eq!(landed.token, Token(7));
        assert!(matches!(landed.extra, Extra::Sent(bytes) if bytes == [1, 2, 3]));
        assert_eq!(flights.find(Token(7)), 7);
        assert_eq!(
            flights.timeout(Token(8), Duration::from_secs(1)).0,
            user_data
        );
    }

    #[test]
    #[should_panic(expected = "the top bit of a token")]
    fn tokens_have_no_top_bit() {
        Token(1 << 63).checked();
    }
}
