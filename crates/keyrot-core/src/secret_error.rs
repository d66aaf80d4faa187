//! Why a secret could not be had.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What kind of trouble a store had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretErrorKind {
    /// The name is one that this store cannot hold; nothing was asked.
    BadName,
    /// The store knows us and does not let us at this secret.
    Denied,
    /// The secret was switched off, or deleted in a way that can be undone.
    Disabled,
    /// The secret is there and holds nothing.
    Empty,
    /// There is no such secret.
    NotFound,
    /// The store asks to slow down.
    Throttled,
    /// The store did not answer in time.
    TimedOut,
    /// Our credential for the store is missing, wrong or over.
    Unauthenticated,
    /// The store answers and cannot serve: sealed, standing by, in trouble; or a file that cannot be read.
    Unavailable,
    /// No connection: refused, no such host, a certificate that is not trusted.
    Unreachable,
    /// The secret is there and is not what is looked for: no such field, no text.
    WrongShape,
}

impl SecretErrorKind {
    /// True if the store says that the key has no valid secret: a value that was read before is given up. Trouble of
    /// the store itself, or with our credential for it, says nothing about the secret.
    pub fn ends_the_secret(self) -> bool {
        matches!(
            self,
            Self::BadName | Self::Denied | Self::Disabled | Self::Empty | Self::NotFound | Self::WrongShape
        )
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::TimedOut | Self::Unavailable | Self::Unreachable)
    }
}

/// A secret could not be had. The text names the locator and what to do, never a secret.
#[derive(Clone, Debug)]
pub struct SecretError {
    kind: SecretErrorKind,
    locator: String,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl SecretError {
    /// `message` says what was found and what to do; it must not hold a secret.
    pub fn new(kind: SecretErrorKind, locator: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, locator: locator.into(), message: message.into(), source: None }
    }

    /// Keeps the cause, which must not hold a secret either: errors of clients often show the body of a reply.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> SecretErrorKind {
        self.kind
    }

    /// Where the store looked.
    pub fn locator(&self) -> &str {
        &self.locator
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }

    /// True if both tell of the same trouble of the store, which is none of the keys': whoever has told of one need not
    /// tell of the other.
    pub fn is_same_trouble(&self, other: &Self) -> bool {
        self.kind == other.kind && !self.kind.ends_the_secret()
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.locator, self.message)
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
