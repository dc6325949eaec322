//! The least a server can do: it returns what it gets. A message is its length in four bytes, high first, and its body.
//! The first echo establishes a client; a heartbeat is an echo, too.

use super::stamp::{BODY_BYTES, GREETING, HEARTBEAT, body, number};
use super::{Heard, Messaging, Protocol};
use anyhow::ensure;
use std::time::Duration;

const HEAD_BYTES: usize = 4;

#[derive(Debug)]
pub(crate) struct Raw {
    heartbeat: Duration,
}

impl Raw {
    pub(crate) fn new(heartbeat: Duration) -> Self {
        Self { heartbeat }
    }
}

fn put(number: u64, out: &mut Vec<u8>) {
    let length = u32::try_from(BODY_BYTES).expect("bodies are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&body(number));
}

impl Protocol for Raw {
    fn greet(&mut self, _at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        put(GREETING, out);
        Ok(())
    }

    fn received(
        &mut self,
        _at: usize,
        bytes: &[u8],
        _out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<usize> {
        let mut taken = 0;
        while let Some((length, rest)) = bytes[taken..].split_first_chunk::<HEAD_BYTES>() {
            let length = u32::from_be_bytes(*length) as usize;
            ensure!(
                length == BODY_BYTES,
                "a message of {length} bytes, where {BODY_BYTES} were sent: this server does not echo"
            );
            let Some(body) = rest.get(..length) else {
                break;
            };
            let Some(number) = number(body) else {
                anyhow::bail!("a message that is not what was sent: this server does not echo");
            };
            heard.push(match number {
                GREETING => Heard::Established {
                    heartbeat: self.heartbeat,
                },
                HEARTBEAT => Heard::HeartbeatAnswered,
                number => Heard::Delivered { number },
            });
            taken += HEAD_BYTES + length;
        }
        Ok(taken)
    }

    fn heartbeat(&mut self, _at: usize, out: &mut Vec<u8>) {
        put(HEARTBEAT, out);
    }

    fn lost(&mut self, _at: usize) {}
}

impl Messaging for Raw {
    fn message(&mut self, _way: (usize, usize), number: u64, _intended_ns: u64, out: &mut Vec<u8>) {
        put(number, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_understood_however_it_is_cut() {
        let mut raw = Raw::new(Duration::from_secs(9));
        let mut bytes = Vec::new();
        raw.greet(0, &mut bytes).unwrap();
        raw.heartbeat(0, &mut bytes);
        raw.message((0, 0), 5, 0, &mut bytes);
        let wanted = [
            Heard::Established {
                heartbeat: Duration::from_secs(9),
            },
            Heard::HeartbeatAnswered,
            Heard::Delivered { number: 5 },
        ];
        for cut in 0..=bytes.len() {
            let (mut heard, mut out) = (Vec::new(), Vec::new());
            let taken = raw
                .received(0, &bytes[..cut], &mut out, &mut heard)
                .unwrap();
            assert_eq!(taken, cut / 132 * 132);
            raw.received(0, &bytes[taken..], &mut out, &mut heard)
                .unwrap();
            assert_eq!((&heard[..], out.len()), (&wanted[..], 0));
        }
    }

    #[test]
    fn a_server_that_says_something_else_is_no_echo() {
        let mut raw = Raw::new(Duration::from_secs(9));
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            &[0; 4],
            &[0xFF; 9],
        ] {
            let heard = raw.received(0, bad, &mut Vec::new(), &mut Vec::new());
            assert!(heard.is_err(), "{bad:?}");
        }
        let mut bytes = Vec::new();
        raw.heartbeat(0, &mut bytes);
        bytes[50] ^= 1;
        assert!(
            raw.received(0, &bytes, &mut Vec::new(), &mut Vec::new())
                .is_err()
        );
    }
}
