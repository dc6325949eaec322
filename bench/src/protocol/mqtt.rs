//! MQTT 3.1.1 clients of a broker: CONNECT establishes, PINGREQ is the heartbeat, and a message is published to a topic of
//! its sender's own, who subscribes to it before the first. So idle clients have no subscription.

use super::stamp::{BODY_BYTES, body, number};
use super::{Heard, Messaging, Protocol};
use crate::talk::unix_ms;
use anyhow::{Context, bail, ensure};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How a broker is to treat a message: MQTT 3.1.1, section 4.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QualityOfService {
    /// Sent once, never acknowledged.
    AtMostOnce,
    /// Acknowledged, and delivered at least once.
    AtLeastOnce,
}

#[derive(Debug)]
pub(crate) struct Mqtt {
    run: u64,
    quality: QualityOfService,
    heartbeat: Duration,
    subscribed: HashSet<usize>,
    /// Numbers of messages that are not acknowledged, by client and packet.
    unacked: HashMap<(usize, u16), u64>,
}

// Types of packets, in the upper half of a packet's first byte.
const CONNECT: u8 = 1 << 4;
const CONNACK: u8 = 2 << 4;
const PUBLISH: u8 = 3 << 4;
const PUBACK: u8 = 4 << 4;
const SUBSCRIBE: u8 = 8 << 4 | 2;
const SUBACK: u8 = 9 << 4;
const PINGREQ: u8 = 12 << 4;
const PINGRESP: u8 = 13 << 4;
const AT_LEAST_ONCE: u8 = 1 << 1;
const QUALITY_BITS: u8 = 3 << 1;
/// Names the protocol and its level, and asks for a clean session.
const PROTOCOL: [u8; 8] = [0, 4, b'M', b'Q', b'T', b'T', 4, 2];
const SUBSCRIPTION_PACKET: u16 = u16::MAX;

impl Mqtt {
    pub(crate) fn new(quality: QualityOfService, heartbeat: Duration) -> Self {
        Self {
            run: unix_ms(),
            quality,
            heartbeat,
            subscribed: HashSet::new(),
            unacked: HashMap::new(),
        }
    }

    fn topic(&self, at: usize) -> String {
        format!("millpond-bench/{}/{at}", self.run)
    }

    /// Twice the heartbeat, in seconds: a broker closes whoever is silent for one and a half of it.
    fn keep_alive(&self) -> u16 {
        u16::try_from(2 * self.heartbeat.as_secs()).unwrap_or(u16::MAX)
    }

    fn subscribe(&self, at: usize, out: &mut Vec<u8>) {
        let mut rest = SUBSCRIPTION_PACKET.to_be_bytes().to_vec();
        text(&self.topic(at), &mut rest);
        rest.push(self.quality as u8);
        packet(SUBSCRIBE, &rest, out);
    }

    fn packet(
        &mut self,
        at: usize,
        (kind, rest): (u8, &[u8]),
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<()> {
        match kind & 0xF0 {
            CONNACK => {
                let code = *rest.get(1).context("a CONNACK without its code")?;
                ensure!(
                    code == 0,
                    "the broker refuses the connection with code {code}"
                );
                heard.push(Heard::Established {
                    heartbeat: self.heartbeat,
                });
            }
            PINGRESP => heard.push(Heard::HeartbeatAnswered),
            PUBACK => {
                let id = rest.first_chunk().context("a PUBACK without its packet")?;
                let number = self.unacked.remove(&(at, u16::from_be_bytes(*id)));
                heard.extend(number.map(|number| Heard::Acked { number }));
            }
            PUBLISH => delivered(kind, rest, out, heard).context("a PUBLISH that is cut")?,
            SUBACK => ensure!(
                rest.get(2).is_some_and(|code| *code < 0x80),
                "the broker refuses a subscription"
            ),
            _ => bail!("a packet of type {} from a broker", kind >> 4),
        }
        Ok(())
    }
}

fn delivered(kind: u8, rest: &[u8], out: &mut Vec<u8>, heard: &mut Vec<Heard>) -> Option<()> {
    let (topic, rest) = rest.split_first_chunk::<2>()?;
    let mut rest = rest.get(usize::from(u16::from_be_bytes(*topic))..)?;
    if kind & QUALITY_BITS != 0 {
        let id;
        (id, rest) = rest.split_first_chunk::<2>()?;
        packet(PUBACK, id, out);
    }
    heard.extend(number(rest).map(|number| Heard::Delivered { number }));
    Some(())
}

fn text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("names of ours are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(kind: u8, rest: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    let mut length = rest.len();
    loop {
        let low = u8::try_from(length & 0x7F).expect("seven bits");
        length >>= 7;
        out.push(low | if length > 0 { 0x80 } else { 0 });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(rest);
}

/// Type, rest and all bytes of the packet at the front, when it is whole.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(u8, &[u8], usize)>> {
    let Some((&kind, after)) = bytes.split_first() else {
        return Ok(None);
    };
    let (mut length, mut head) = (0_usize, 1);
    for byte in after {
        ensure!(head <= 4, "a packet's length of more than four bytes");
        length |= usize::from(byte & 0x7F) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            let end = head + length;
            return Ok(bytes.get(head..end).map(|rest| (kind, rest, end)));
        }
    }
    Ok(None)
}

impl Protocol for Mqtt {
    /// A clean session has no subscriptions.
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.lost(at);
        let mut rest = PROTOCOL.to_vec();
        rest.extend_from_slice(&self.keep_alive().to_be_bytes());
        text(&format!("millpond-{}-{at}", self.run), &mut rest);
        packet(CONNECT, &rest, out);
        Ok(())
    }

    fn received(
        &mut self,
        at: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<usize> {
        let mut taken = 0;
        while let Some((kind, rest, all)) = parse(&bytes[taken..])? {
            self.packet(at, (kind, rest), out, heard)?;
            taken += all;
        }
        Ok(taken)
    }

    fn heartbeat(&mut self, _at: usize, out: &mut Vec<u8>) {
        packet(PINGREQ, &[], out);
    }

    fn lost(&mut self, at: usize) {
        if self.subscribed.remove(&at) {
            self.unacked.retain(|(of, _), _| *of != at);
        }
    }
}

impl Messaging for Mqtt {
    fn acks(&self) -> bool {
        self.quality == QualityOfService::AtLeastOnce
    }

    fn message(&mut self, (from, _): (usize, usize), number: u64, _at: u64, out: &mut Vec<u8>) {
        if self.subscribed.insert(from) {
            self.subscribe(from, out);
        }
        let mut rest = Vec::with_capacity(64 + BODY_BYTES);
        text(&self.topic(from), &mut rest);
        let mut kind = PUBLISH;
        if self.acks() {
            kind |= AT_LEAST_ONCE;
            // Of one client that many are never under way.
            let id = u16::try_from(1 + number % 65_000).expect("at most 65,000");
            rest.extend_from_slice(&id.to_be_bytes());
            self.unacked.insert((from, id), number);
        }
        rest.extend_from_slice(&body(number));
        packet(kind, &rest, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(9);

    fn hear(client: &mut Mqtt, bytes: &[u8]) -> anyhow::Result<(usize, Vec<u8>, Vec<Heard>)> {
        let (mut out, mut heard) = (Vec::new(), Vec::new());
        let taken = client.received(3, bytes, &mut out, &mut heard)?;
        Ok((taken, out, heard))
    }

    #[test]
    fn a_broker_is_understood_however_its_bytes_are_cut() {
        let mut bytes = vec![CONNACK, 2, 0, 0, PINGRESP, 0, SUBACK, 3, 255, 255, 1];
        let mut publish = Vec::new();
        text("a/b", &mut publish);
        publish.extend([0, 77]);
        publish.extend(body(4));
        packet(PUBLISH | AT_LEAST_ONCE, &publish, &mut bytes);
        packet(PUBACK, &[0, 5], &mut bytes);
        for cut in 0..=bytes.len() {
            let mut client = Mqtt::new(QualityOfService::AtLeastOnce, EVERY);
            let mut sent = Vec::new();
            client.message((3, 0), 4, 0, &mut sent);
            let (taken, mut out, mut heard) = hear(&mut client, &bytes[..cut]).unwrap();
            let (rest, more_out, more) = hear(&mut client, &bytes[taken..]).unwrap();
            assert_eq!(taken + rest, bytes.len());
            out.extend(more_out);
            heard.extend(more);
            let wanted = [
                Heard::Established { heartbeat: EVERY },
                Heard::HeartbeatAnswered,
                Heard::Delivered { number: 4 },
                Heard::Acked { number: 4 },
            ];
            assert_eq!(heard, wanted);
            assert_eq!(out, [PUBACK, 2, 0, 77]);
        }
    }

    #[test]
    fn a_client_subscribes_before_its_first_message_only() {
        let mut client = Mqtt::new(QualityOfService::AtMostOnce, EVERY);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        client.message((3, 0), 0, 0, &mut first);
        client.message((3, 0), 1, 0, &mut second);
        assert_eq!((first[0], second[0]), (SUBSCRIBE, PUBLISH));
        let (_, rest, bytes) = parse(&second).unwrap().unwrap();
        assert_eq!(bytes, second.len());
        assert_eq!(number(&rest[rest.len() - BODY_BYTES..]), Some(1));
        client.lost(3);
        let mut again = Vec::new();
        client.message((3, 0), 2, 0, &mut again);
        assert_eq!(again[0], SUBSCRIBE);
    }

    #[test]
    fn refusals_and_garbage_end_the_run() {
        let mut client = Mqtt::new(QualityOfService::AtMostOnce, EVERY);
        for bad in [
            &[CONNACK, 2, 0, 5][..],
            &[CONNACK, 0],
            &[SUBACK, 3, 0, 1, 0x80],
            &[PUBLISH, 1, 0],
            &[PUBLISH, 2, 0, 9],
            &[CONNECT, 0],
            &[PINGRESP, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        ] {
            assert!(hear(&mut client, bad).is_err(), "{bad:?}");
        }
    }
}
