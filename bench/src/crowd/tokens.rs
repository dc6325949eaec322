//! Tokens of a crowd's operations: what each is of, of which client, and in which of its lives.

use millpond_ring::Token;

/// What a token stands for: its second byte; the client's life and index are behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Readable,
    Recv,
    Send,
    Writable,
    Close,
    Cancel,
}

const KINDS: [Kind; 6] = [
    Kind::Readable,
    Kind::Recv,
    Kind::Send,
    Kind::Writable,
    Kind::Close,
    Kind::Cancel,
];

pub(super) fn token(kind: Kind, life: u8, at: u32) -> Token {
    Token((kind as u64) << 40 | u64::from(life) << 32 | u64::from(at))
}

pub(super) fn parts(token: Token) -> (Kind, u8, u32) {
    let [_, _, kind, life, a, b, c, d] = token.0.to_be_bytes();
    let kind = KINDS[usize::from(kind)];
    (kind, life, u32::from_be_bytes([a, b, c, d]))
}
