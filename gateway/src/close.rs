//! Why a connection ends: a closed list, each with the code the client is told, its counter and its log level. Whatever a
//! client can cause a million times is counted, and logged only for those who ask.

use millpond_wire::{Code, Malformed};
use tracing::Level;

macro_rules! reasons {
    ($($(#[$about:meta])* $reason:ident $name:literal $code:expr, $level:ident;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Reason { $($(#[$about])* $reason,)* }

        impl Reason {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$reason,)*];

            /// The label of its counter.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)* }
            }

            /// What the client is told in an ERROR before the close; `None`: nothing, or it was told in another frame.
            pub(crate) const fn code(self) -> Option<Code> {
                match self { $(Self::$reason => $code,)* }
            }

            pub(crate) const fn level(self) -> Level {
                match self { $(Self::$reason => Level::$level,)* }
            }
        }
    };
}

reasons! {
    /// The client closed its side.
    PeerClosed "peer_closed" None, TRACE;
    /// The socket failed.
    SocketFailed "socket_failed" None, TRACE;
    Bye "bye" None, TRACE;
    /// The client sent an ERROR about us.
    PeerComplained "peer_complained" None, DEBUG;
    /// The first bytes are no preface: no frame of ours would be understood.
    NoPreface "no_preface" None, DEBUG;
    HandshakeTimeout "handshake_timeout" Some(Code::IDLE_TIMEOUT), DEBUG;
    NotAuthenticated "not_authenticated" Some(Code::NOT_AUTHENTICATED), DEBUG;
    ClientTooOld "client_too_old" Some(Code::CLIENT_TOO_OLD), DEBUG;
    TokenExpired "token_expired" Some(Code::TOKEN_EXPIRED), DEBUG;
    /// A resume token that opens nothing any more.
    SessionExpired "session_expired" Some(Code::SESSION_EXPIRED), DEBUG;
    TokenInvalid "token_invalid" Some(Code::TOKEN_INVALID), DEBUG;
    Malformed "malformed" Some(Code::MALFORMED), DEBUG;
    Unsupported "unsupported" Some(Code::UNSUPPORTED_FRAME), DEBUG;
    LimitExceeded "limit_exceeded" Some(Code::LIMIT_EXCEEDED), DEBUG;
    /// A cursor above everything it was shown.
    AckBeyond "ack_beyond" Some(Code::MALFORMED), DEBUG;
    Idle "idle" Some(Code::IDLE_TIMEOUT), TRACE;
    /// It takes nothing of what waits for it, or too much waits.
    Lagging "lagging" Some(Code::LAGGING), DEBUG;
    /// An unfinished frame without progress.
    Trickling "trickling" Some(Code::LAGGING), DEBUG;
    /// Its unfinished frame was the oldest when the shard's budget ran out.
    Evicted "evicted" Some(Code::LAGGING), DEBUG;
    /// A newer connection of the same device.
    Replaced "replaced" Some(Code::REPLACED), DEBUG;
    /// Ended from behind, by a router or an operator, with a code of theirs.
    Kicked "kicked" None, DEBUG;
    /// The page readers have no room, or the store failed, while the session was opened.
    Unavailable "unavailable" Some(Code::UNAVAILABLE), DEBUG;
    Draining "draining" None, TRACE;
    /// Opened while we drain: it gets no GOAWAY, as it has no session.
    DrainingEarly "draining_early" Some(Code::DRAINING), TRACE;
}

impl Reason {
    /// # Panics
    /// Never: a decoder knows three codes.
    pub(crate) fn of(malformed: Malformed) -> Self {
        match malformed.code() {
            Code::UNSUPPORTED_FRAME => Self::Unsupported,
            Code::LIMIT_EXCEEDED => Self::LimitExceeded,
            _ => Self::Malformed,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_distinct_names_and_stand_in_order() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
