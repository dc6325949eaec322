//! What can be wrong: nobody answers, or what there is is not as it should be.

use redis::RedisError;

#[derive(Debug)]
pub(crate) enum Trouble {
    /// No answer, or not from somebody who could do it.
    Silent(String),
    Wrong(String),
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Silent(error.to_string())
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(what) | Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// Bytes that nobody of ours wrote.
pub(crate) fn damaged(what: &str) -> Trouble {
    Trouble::Wrong(format!("they are not ours: {what}"))
}
