//! What a client is made of: where, who, how, and where its state is kept.

use crate::{Config, MemoryStorage, Storage};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Everything [`crate::Client::connect`] needs.
pub struct Options {
    /// `host:port`.
    pub address: String,
    pub token: Token,
    pub config: Config,
    /// Memory unless set: then each process is a new device.
    pub storage: Box<dyn Storage>,
}

impl Options {
    /// With default behaviour, as a new device.
    pub fn new(address: impl Into<String>, token: Token) -> Self {
        Self {
            address: address.into(),
            token,
            config: Config::default(),
            storage: Box::new(MemoryStorage::default()),
        }
    }

    /// Keeps the state of this device in `storage`.
    #[must_use]
    pub fn storage(mut self, storage: impl Storage + 'static) -> Self {
        self.storage = Box::new(storage);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Options");
        fields.field("address", &self.address);
        fields.field("token", &self.token);
        fields.field("config", &self.config).finish_non_exhaustive()
    }
}

/// How the server learns who we are.
#[derive(Clone)]
pub enum Token {
    /// The transport authenticates.
    None,
    /// One JWT. When it is refused or has expired, the client stops.
    Fixed(String),
    /// Asked before the first connection, and whenever the server refuses the last answer.
    Provider(Provider),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed(…)",
            Self::Provider(_) => "Provider(…)",
        })
    }
}

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Gets tokens from the application's own server.
#[derive(Clone)]
pub struct Provider(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl Provider {
    /// `get` is called by one caller at a time and has 30 s.
    ///
    /// # Examples
    /// ```
    /// use millpond_client::{Provider, Token, TokenError};
    /// let provider = Provider::new(|| async {
    ///     std::env::var("TOKEN").map_err(|error| TokenError::Stop(error.to_string()))
    /// });
    /// let token = Token::Provider(provider);
    /// ```
    pub fn new<F, T>(get: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, TokenError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(get())))
    }

    pub(crate) fn call(&self) -> TokenFuture {
        (self.0)()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider(…)")
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There will be none: the user has to log in again. The client stops.
    #[error("{0}")]
    Stop(String),
    /// Not now; asked again with backoff.
    #[error("{0}")]
    Retry(String),
}
