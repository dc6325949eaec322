//! WebSocket clients of a server that echoes binary messages (RFC 6455), without extensions. A client is established by the
//! answer to its upgrade, or by the first message after it where a script says something first; its heartbeat is a ping.

use super::stamp::{BODY_BYTES, body, number};
use super::{Heard, Messaging, Protocol};
use anyhow::{Context, bail, ensure};
use std::net::SocketAddr;
use std::time::Duration;

/// The example of RFC 6455, section 1.3: who holds many connections gains nothing from keys of their own.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Head of an answer to the upgrade.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Masking protects proxies, of which there is none here; a constant key makes it cheap.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const MASKED: u8 = 0x80;
const FINAL: u8 = 0x80;
/// Codes from 4000 on are left to applications; a server that says none gets this.
const NO_CODE: u16 = 1005;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[derive(Debug)]
pub(crate) struct WebSocket {
    request: String,
    /// Said after the upgrade; the next message then establishes.
    first: Option<String>,
    heartbeat: Duration,
    /// By client.
    upgraded: Vec<bool>,
}

/// One frame of a server.
struct Frame<'a> {
    whole: bool,
    kind: u8,
    body: &'a [u8],
    /// Of head and body together.
    bytes: usize,
}

impl WebSocket {
    pub(crate) fn new(
        server: SocketAddr,
        path: &str,
        first: Option<String>,
        heartbeat: Duration,
    ) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Self {
            request,
            first,
            heartbeat,
            upgraded: Vec::new(),
        }
    }

    /// Takes the answer to the upgrade; `None` while it is not whole.
    fn answer(
        &mut self,
        at: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<Option<usize>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(
                bytes.len() <= ANSWER_BYTES_MAX,
                "the answer to the upgrade has no end after {} bytes",
                bytes.len()
            );
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).context("the answer to the upgrade")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        match code {
            Some(101) => {}
            Some(code @ (429 | 500..=599)) => {
                heard.push(Heard::Refused { code });
                return Ok(Some(bytes.len()));
            }
            _ => bail!("the server answered the upgrade with `{status}`: is the path right?"),
        }
        let accepts = lines.any(|line| {
            let field = line.split_once(':');
            field.is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
            })
        });
        ensure!(
            accepts,
            "the server's answer does not fit the upgrade's key"
        );
        self.upgraded[at] = true;
        match &self.first {
            Some(first) => put(TEXT, first.as_bytes(), out),
            None => heard.push(self.established()),
        }
        Ok(Some(end + 4))
    }

    fn established(&self) -> Heard {
        Heard::Established {
            heartbeat: self.heartbeat,
        }
    }

    fn frame(&self, frame: &Frame<'_>, out: &mut Vec<u8>, heard: &mut Vec<Heard>) {
        match frame.kind {
            PING => put(PONG, frame.body, out),
            PONG => heard.push(Heard::HeartbeatAnswered),
            CLOSE => {
                let code = frame
                    .body
                    .first_chunk()
                    .map(|code| u16::from_be_bytes(*code));
                let code = code.unwrap_or(NO_CODE);
                heard.push(Heard::Refused { code });
            }
            // Parts of a message are no echo of ours, which come whole.
            _ => match number(frame.body).filter(|_| frame.whole) {
                Some(number) => heard.push(Heard::Delivered { number }),
                // Whoever is established already is not again.
                None if self.first.is_some() => heard.push(self.established()),
                None => {}
            },
        }
    }
}

/// The frame at the front, when it is whole.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Frame<'_>>> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    ensure!(
        first & 0x70 == 0,
        "a frame of an extension that was not agreed on"
    );
    ensure!(second & MASKED == 0, "a masked frame from a server");
    let (length, head) = match second {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        length => (length.into(), 2),
    };
    let length = usize::try_from(length).context("a frame's length")?;
    let end = length.checked_add(head).context("a frame's length")?;
    Ok(bytes.get(head..end).map(|body| Frame {
        whole: first & FINAL != 0 && first & 0x0F != 0,
        kind: first & 0x0F,
        body,
        bytes: end,
    }))
}

/// Appends a masked frame.
fn put(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(FINAL | kind);
    match (u8::try_from(body.len()), u16::try_from(body.len())) {
        (Ok(length @ 0..126), _) => out.push(MASKED | length),
        (_, Ok(length)) => {
            out.push(MASKED | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let masked = body.iter().zip(MASK.iter().cycle());
    out.extend(masked.map(|(byte, mask)| byte ^ mask));
}

impl Protocol for WebSocket {
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if at == self.upgraded.len() {
            self.upgraded.push(false);
        }
        self.upgraded[at] = false;
        out.extend_from_slice(self.request.as_bytes());
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
        if !self.upgraded[at] {
            match self.answer(at, bytes, out, heard)? {
                Some(answer) => taken = answer,
                None => return Ok(0),
            }
        }
        while let Some(frame) = parse(&bytes[taken..])? {
            self.frame(&frame, out, heard);
            taken += frame.bytes;
        }
        Ok(taken)
    }

    fn heartbeat(&mut self, _at: usize, out: &mut Vec<u8>) {
        put(PING, &[], out);
    }

    fn lost(&mut self, at: usize) {
        self.upgraded[at] = false;
    }
}

impl Messaging for WebSocket {
    fn message(&mut self, _way: (usize, usize), number: u64, _intended_ns: u64, out: &mut Vec<u8>) {
        put(BINARY, &body(number), out);
    }
}

const _: () = assert!(
    BODY_BYTES > 125,
    "an echo's length needs more than seven bits"
);

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nSEC-WebSocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    const EVERY: Duration = Duration::from_secs(9);
    const ESTABLISHED: Heard = Heard::Established { heartbeat: EVERY };

    fn client(first: Option<&str>) -> WebSocket {
        let server = "127.0.0.1:80".parse().unwrap();
        let mut client = WebSocket::new(server, "/ws", first.map(str::to_owned), EVERY);
        let mut out = Vec::new();
        client.greet(0, &mut out).unwrap();
        assert!(out.starts_with(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
        client
    }

    fn hear(client: &mut WebSocket, bytes: &[u8]) -> anyhow::Result<(usize, Vec<u8>, Vec<Heard>)> {
        let (mut out, mut heard) = (Vec::new(), Vec::new());
        let taken = client.received(0, bytes, &mut out, &mut heard)?;
        Ok((taken, out, heard))
    }

    /// As a server sends it.
    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![FINAL | kind, 126];
        bytes.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn answer_and_frames_are_understood_however_they_are_cut() {
        let mut bytes = ANSWER.as_bytes().to_vec();
        bytes.extend(frame(BINARY, b"welcome"));
        bytes.extend(frame(PING, b"are you there"));
        bytes.extend([FINAL | PONG, 0]);
        bytes.extend(frame(BINARY, &body(5)));
        for cut in 0..=bytes.len() {
            let mut client = client(None);
            let (taken, mut out, mut heard) = hear(&mut client, &bytes[..cut]).unwrap();
            let (rest, more_out, more) = hear(&mut client, &bytes[taken..]).unwrap();
            assert_eq!(taken + rest, bytes.len());
            out.extend(more_out);
            heard.extend(more);
            let delivered = Heard::Delivered { number: 5 };
            assert_eq!(heard, [ESTABLISHED, Heard::HeartbeatAnswered, delivered]);
            let mut pong = Vec::new();
            put(PONG, b"are you there", &mut pong);
            assert_eq!(out, pong);
        }
    }

    #[test]
    fn a_script_says_something_first_and_waits_for_its_answer() {
        let mut client = client(Some("{\"connect\":{}}"));
        let (_, out, heard) = hear(&mut client, ANSWER.as_bytes()).unwrap();
        assert_eq!((out.len(), heard.len()), (6 + 14, 0));
        assert_eq!(out[6] ^ MASK[0], b'{');
        let (_, _, heard) = hear(&mut client, &frame(TEXT, b"{}")).unwrap();
        assert_eq!(heard, [ESTABLISHED]);
    }

    #[test]
    fn what_is_no_websocket_ends_the_run_and_a_busy_server_does_not() {
        for bad in [
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(hear(&mut client(None), bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(hear(&mut client(None), &[b'x'; ANSWER_BYTES_MAX + 1]).is_err());
        let (_, _, heard) = hear(&mut client(None), b"HTTP/1.1 503 Later\r\n\r\n").unwrap();
        assert_eq!(heard, [Heard::Refused { code: 503 }]);
        let mut upgraded = client(None);
        hear(&mut upgraded, ANSWER.as_bytes()).unwrap();
        for bad in [
            &[FINAL | BINARY, MASKED][..],
            &[0xF2, 0],
            &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(hear(&mut upgraded, bad).is_err(), "{bad:?}");
        }
        let (_, _, heard) = hear(&mut upgraded, &frame(CLOSE, &1_001_u16.to_be_bytes())).unwrap();
        assert_eq!(heard, [Heard::Refused { code: 1_001 }]);
    }
}
