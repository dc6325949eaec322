//! From one connection to the next: start, attempt, handshake, loss, wait, stop.

use super::state::{Leave, State};
use super::{Auth, Core, Now, Reply, RequestError, Wish};
use crate::{Change, Event, Stop, TokenError, Why};
use millpond_wire::{Bye, Class, Code, Frame, Hello, PREFACE, PROTO, Resume};
use std::time::Duration;

/// A token that leaves room for the rest of HELLO.
const TOKEN_BYTES_MAX: usize = 3 * 1024;
/// The same for a resume token.
const RESUME_TOKEN_BYTES_MAX: usize = millpond_wire::HELLO_BYTES_MAX - 256;
/// The smallest frame limit a client may state.
const FRAME_BYTES_LEAST: usize = 64 * 1024;

/// How long to stay away after a loss.
pub(super) enum Wait {
    /// A failure: with growing backoff, at least this long.
    AtLeast(Duration),
    /// Nobody's failure.
    Short,
    /// At the time the server gave.
    Leave(Leave),
}

impl Core {
    /// Begins to connect; without effect when that has begun already.
    pub fn start(&mut self, now: Now) {
        if matches!(self.state, State::Resting) {
            self.connect(None, now);
        }
    }

    /// The connection is up.
    pub fn connected(&mut self, now: Now) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        let deadline = now.mono + self.config.handshake_timeout;
        self.state = State::Handshaking { deadline };
        self.input.clear();
        self.output.clear();
        self.output.extend_from_slice(&PREFACE);
        self.write_hello();
        self.work(now);
    }

    /// The connection has ended, or could not be made; `error` says how, if not by a plain end.
    pub fn disconnected(&mut self, error: Option<String>, now: Now) {
        let why = match (&self.state, error) {
            (State::Connecting { .. }, error) => Why::Unreachable(error.unwrap_or_default()),
            (State::Handshaking { .. } | State::Live(_), None) => Why::Closed,
            (State::Handshaking { .. } | State::Live(_), Some(error)) => Why::Broken(error),
            (State::Resting | State::Token | State::Backoff { .. } | State::Stopped, _) => return,
        };
        let leave = self.state.live().and_then(|live| live.leave.take());
        match leave {
            Some(leave) => self.leave(leave, now),
            None => self.lost(why, Wait::AtLeast(Duration::ZERO), now),
        }
        // The transport knows already that there is nothing to close.
        self.wishes
            .retain(|wish| !matches!(wish, Wish::Close { .. }));
        self.work(now);
    }

    /// The answer to [`Wish::Token`].
    pub fn token(&mut self, token: Result<Vec<u8>, TokenError>, now: Now) {
        if !matches!(self.state, State::Token) {
            return;
        }
        match token {
            Ok(token) if token.len() > TOKEN_BYTES_MAX => {
                let why = format!("{} bytes, at most {TOKEN_BYTES_MAX} fit", token.len());
                self.stop(Stop::Token(why), Vec::new());
            }
            Ok(token) => {
                self.auth = Auth::Token(token);
                self.connect(None, now);
            }
            Err(TokenError::Stop(why)) => self.stop(Stop::Token(why), Vec::new()),
            Err(TokenError::Retry(why)) => {
                self.lost(Why::Token(why), Wait::AtLeast(Duration::ZERO), now);
            }
        }
        self.work(now);
    }

    /// Drops the connection without a word, as a broken network would, and makes the next one.
    pub fn disconnect(&mut self, now: Now) {
        if matches!(
            self.state,
            State::Connecting { .. } | State::Handshaking { .. } | State::Live(_)
        ) {
            self.lost(Why::Asked, Wait::Short, now);
        }
        self.work(now);
    }

    /// Says BYE and stops. What was not acknowledged stays in the storage.
    pub fn close(&mut self, now: Now) {
        if let State::Live(_) = self.state {
            self.work(now);
            self.acknowledge_cursor();
            self.write(&Frame::Bye(Bye {
                reason: Bye::CLOSING,
            }));
        }
        self.save_position();
        let last_words = std::mem::take(&mut self.output);
        self.stop(Stop::Closed, last_words);
    }

    /// The storage has failed: nothing that depends on it may be said any more.
    pub fn storage_failed(&mut self, error: String) {
        self.output.clear();
        self.stop(Stop::Storage(error), Vec::new());
    }

    pub(super) fn connect(&mut self, endpoint: Option<String>, now: Now) {
        if self.auth == Auth::Wanted {
            self.state = State::Token;
            self.wishes.push_back(Wish::Token);
            return;
        }
        self.attempt = next_attempt(self.attempt, now.unix_ms);
        self.changes.push(Change::Attempt(self.attempt));
        let deadline = now.mono + self.config.connect_timeout;
        self.state = State::Connecting { deadline };
        self.wishes.push_back(Wish::Connect { endpoint });
    }

    fn write_hello(&mut self) {
        let resume = self.inbox.received().filter(|_| !self.fresh);
        let resume_token = match resume {
            Some(_) if self.resume_token.len() <= RESUME_TOKEN_BYTES_MAX => &self.resume_token[..],
            _ => &[],
        };
        // What the server has sealed for us spares it the other check; where it will not have it, it says 4002.
        let (auth_kind, token) = match &self.auth {
            Auth::Token(_) if !resume_token.is_empty() => (Hello::AUTH_RESUME, &[][..]),
            Auth::Token(token) => (Hello::AUTH_JWT, &token[..]),
            Auth::None | Auth::Wanted => (Hello::AUTH_NONE, &[][..]),
        };
        let frame_bytes_max = self.config.frame_bytes_max.max(FRAME_BYTES_LEAST);
        let hello = Hello {
            background: self.config.background,
            no_push: self.config.no_push,
            proto_min: PROTO,
            proto_max: PROTO,
            features: 0,
            device: self.device,
            attempt: self.attempt,
            auth_kind,
            token,
            agent: &self.config.agent,
            max_frame: frame_bytes_max as u64,
            window: self.config.window_records,
            resume: resume.map(|position| Resume {
                token: resume_token,
                epoch: position.epoch,
                cursor: position.cursor,
            }),
        };
        millpond_wire::encode(&Frame::Hello(hello), &mut self.output);
    }

    /// The connection, or the attempt at one, is over; another will be made.
    pub(super) fn lost(&mut self, why: Why, wait: Wait, now: Now) {
        if let Some(since) = self.state.live().map(|live| live.since) {
            self.backoff.lived(now.mono.saturating_sub(since));
        }
        let (delay, endpoint) = match wait {
            Wait::AtLeast(least) => (least + self.backoff.next(&mut self.rng), None),
            Wait::Short => (self.backoff.short(&mut self.rng), None),
            Wait::Leave(leave) => (leave.at.saturating_sub(now.mono), leave.endpoint),
        };
        self.drop_connection(Vec::new(), now);
        let until = now.mono + delay;
        self.state = State::Backoff { until, endpoint };
        let retry_in = delay;
        self.event(Event::Disconnected { why, retry_in });
    }

    /// The time that GOAWAY gave has come, or the server has closed before.
    pub(super) fn leave(&mut self, leave: Leave, now: Now) {
        let code = leave.code;
        self.lost(Why::GoAway { code }, Wait::Leave(leave), now);
    }

    /// The server's bytes make no sense: it is told so, and left.
    pub(super) fn malformed(&mut self, code: Code, detail: String, now: Now) {
        let message = truncated(&detail, millpond_wire::MESSAGE_BYTES_MAX);
        let mut last_words = Vec::new();
        let error = millpond_wire::Error {
            code,
            scope: millpond_wire::Scope::Connection,
            retry_after_ms: 0,
            message,
        };
        millpond_wire::encode(&Frame::Error(error), &mut last_words);
        let why = Why::Malformed { code, detail };
        self.lost(why, Wait::AtLeast(Duration::ZERO), now);
        if let Some(Wish::Close { last_words: words }) = self.wishes.back_mut() {
            *words = last_words;
        }
    }

    /// What the class of a code asks for, when it concerns the whole connection.
    pub(super) fn refused(&mut self, code: Code, message: &str, retry: Duration, now: Now) {
        let message = message.to_owned();
        match code.class() {
            Class::Surface | Class::Stop => {
                return self.stop(Stop::Refused { code, message }, Vec::new());
            }
            Class::Fault => return self.stop(Stop::Fault { code, message }, Vec::new()),
            Class::Fresh => {
                self.fresh = true;
                self.resume_token.clear();
            }
            Class::Token if self.auth == Auth::None => {
                return self.stop(Stop::Refused { code, message }, Vec::new());
            }
            Class::Token => self.auth = Auth::Wanted,
            Class::Repeat | Class::Reconnect => {}
        }
        self.lost(Why::Refused { code, message }, Wait::AtLeast(retry), now);
    }

    pub(super) fn stop(&mut self, why: Stop, last_words: Vec<u8>) {
        if matches!(self.state, State::Stopped) {
            return;
        }
        if self.state.is_up() || matches!(self.state, State::Connecting { .. }) {
            self.wishes.push_back(Wish::Close { last_words });
        }
        self.state = State::Stopped;
        self.output.clear();
        self.input.clear();
        for rid in self.requests.take_all() {
            let error = RequestError::Stopped;
            self.replies.push_back(Reply::Refused { rid, error });
        }
        self.event(Event::Stopped { why });
    }

    fn drop_connection(&mut self, last_words: Vec<u8>, now: Now) {
        if self.state.is_up() || matches!(self.state, State::Connecting { .. }) {
            self.wishes.push_back(Wish::Close { last_words });
        }
        self.input.clear();
        self.output.clear();
        self.inbox.connection_lost(now.mono);
        self.outbox.connection_lost();
        self.marks.connection_lost(now.mono);
        self.requests.connection_lost();
    }
}

/// Grows with every connection, also when the clock stands or goes back.
fn next_attempt(last: u32, unix_ms: u64) -> u32 {
    let by_clock = u32::try_from(unix_ms / 1000).unwrap_or(u32::MAX);
    by_clock.max(last.saturating_add(1))
}

/// The longest front of `text` that has at most `bytes_max` bytes.
fn truncated(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
