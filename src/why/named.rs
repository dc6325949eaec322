//! A conversation as it is written on the command line.

use crate::token::parse_user;
use millpond_backplane::ConversationKey;
use millpond_wire::UserId;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Named {
    /// With this user, seen from the one who asks.
    With(UserId),
    /// Of these two, whoever asks; so `verify` names conversations.
    Between(UserId, UserId),
}

impl Named {
    pub(super) fn of(self, user: UserId) -> ConversationKey {
        match self {
            Self::With(peer) => ConversationKey::direct(user, peer),
            Self::Between(a, b) => ConversationKey::direct(a, b),
        }
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('-') {
            Some((a, b)) => Ok(Self::Between(parse_user(a)?, parse_user(b)?)),
            None => parse_user(text).map(Self::With),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_or_both() {
        let user = |id| UserId::new(id).unwrap();
        assert_eq!("9".parse(), Ok(Named::With(user(9))));
        let between: Named = "9-7".parse().unwrap();
        assert_eq!(
            between.of(user(1)),
            ConversationKey::direct(user(7), user(9))
        );
        assert_eq!(
            Named::With(user(7)).of(user(7)),
            ConversationKey::direct(user(7), user(7))
        );
        for text in ["", "-", "7-", "-9", "0", "7-9-1", "bob", "7 - 9"] {
            assert!(text.parse::<Named>().is_err(), "{text}");
        }
    }
}
