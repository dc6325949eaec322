//! The body of a message to a server that only returns it: a number, and filling by which one's own are known.

/// Bytes of a body.
pub(super) const BODY_BYTES: usize = 128;
const FILLING: u8 = 0xA5;
/// Numbers of messages stay below these.
pub(super) const GREETING: u64 = u64::MAX;
pub(super) const HEARTBEAT: u64 = u64::MAX - 1;

pub(super) fn body(number: u64) -> [u8; BODY_BYTES] {
    let mut body = [FILLING; BODY_BYTES];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

/// The number of a body of ours; `None`: somebody else's words.
pub(super) fn number(body: &[u8]) -> Option<u64> {
    let (number, filling) = body.split_first_chunk::<8>()?;
    let ours = body.len() == BODY_BYTES && filling.iter().all(|byte| *byte == FILLING);
    ours.then(|| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bodies_of_ours_have_a_number() {
        let mut ours = body(7);
        assert_eq!(number(&ours), Some(7));
        assert_eq!(number(&ours[..127]), None);
        assert_eq!(number(&[]), None);
        ours[100] ^= 1;
        assert_eq!(number(&ours), None);
    }
}
