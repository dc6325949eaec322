//! Error codes. The thousands digit decides what a client does; the rest is detail.

/// A code of the table in SPEC.md. Unknown codes are kept as they came: their class still decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub u16);

/// What a client does about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 1xxx: do not repeat, tell the application.
    Surface,
    /// 2xxx: repeat the same request later.
    Repeat,
    /// 3xxx: reconnect and resume.
    Reconnect,
    /// 4xxx: reconnect with a fresh session.
    Fresh,
    /// 5xxx: get a new token, then reconnect.
    Token,
    /// 6xxx: stop, tell the user.
    Stop,
    /// 7xxx: a protocol fault; close, report as a bug.
    Fault,
}

impl Code {
    pub const BAD_REQUEST: Self = Self(1001);
    pub const FORBIDDEN: Self = Self(1002);
    pub const NOT_FOUND: Self = Self(1003);
    pub const TOO_LARGE: Self = Self(1004);
    pub const ID_REUSED: Self = Self(1005);
    pub const TOO_OLD: Self = Self(1006);
    pub const BUSY: Self = Self(2001);
    pub const RATE_LIMITED: Self = Self(2002);
    pub const UNAVAILABLE: Self = Self(2003);
    pub const OUT_OF_ORDER: Self = Self(2004);
    pub const DRAINING: Self = Self(3001);
    pub const REBALANCED: Self = Self(3002);
    pub const IDLE_TIMEOUT: Self = Self(3003);
    pub const LAGGING: Self = Self(3004);
    pub const INTERNAL: Self = Self(3005);
    pub const UNKNOWN_EPOCH: Self = Self(4001);
    pub const SESSION_EXPIRED: Self = Self(4002);
    pub const TOKEN_EXPIRED: Self = Self(5001);
    pub const TOKEN_REVOKED: Self = Self(5002);
    pub const TOKEN_INVALID: Self = Self(5003);
    pub const REPLACED: Self = Self(6001);
    pub const BANNED: Self = Self(6002);
    pub const CLIENT_TOO_OLD: Self = Self(6003);
    pub const LOGGED_OUT: Self = Self(6004);
    pub const MALFORMED: Self = Self(7001);
    pub const UNSUPPORTED_FRAME: Self = Self(7002);
    pub const LIMIT_EXCEEDED: Self = Self(7003);
    pub const NOT_AUTHENTICATED: Self = Self(7004);
}

impl Code {
    /// What to do about it. Codes outside 1xxx–7xxx, which this version does not know, mean: reconnect with backoff.
    pub const fn class(self) -> Class {
        match self.0 / 1000 {
            1 => Class::Surface,
            2 => Class::Repeat,
            4 => Class::Fresh,
            5 => Class::Token,
            6 => Class::Stop,
            7 => Class::Fault,
            _ => Class::Reconnect,
        }
    }

    /// The name in SPEC.md; `None` for codes that this version does not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::BAD_REQUEST => "bad_request",
            Self::FORBIDDEN => "forbidden",
            Self::NOT_FOUND => "not_found",
            Self::TOO_LARGE => "too_large",
            Self::ID_REUSED => "id_reused",
            Self::TOO_OLD => "too_old",
            Self::BUSY => "busy",
            Self::RATE_LIMITED => "rate_limited",
            Self::UNAVAILABLE => "unavailable",
            Self::OUT_OF_ORDER => "out_of_order",
            Self::DRAINING => "draining",
            Self::REBALANCED => "rebalanced",
            Self::IDLE_TIMEOUT => "idle_timeout",
            Self::LAGGING => "lagging",
            Self::INTERNAL => "internal",
            Self::UNKNOWN_EPOCH => "unknown_epoch",
            Self::SESSION_EXPIRED => "session_expired",
            Self::TOKEN_EXPIRED => "token_expired",
            Self::TOKEN_REVOKED => "token_revoked",
            Self::TOKEN_INVALID => "token_invalid",
            Self::REPLACED => "replaced_elsewhere",
            Self::BANNED => "banned",
            Self::CLIENT_TOO_OLD => "client_too_old",
            Self::LOGGED_OUT => "logged_out",
            Self::MALFORMED => "malformed",
            Self::UNSUPPORTED_FRAME => "unsupported_frame",
            Self::LIMIT_EXCEEDED => "limit_exceeded",
            Self::NOT_AUTHENTICATED => "not_authenticated",
            _ => return None,
        })
    }
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => self.0.fmt(f),
        }
    }
}
