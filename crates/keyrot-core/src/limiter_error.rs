//! What goes wrong with a limiter.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What kind of trouble a limiter had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimiterErrorKind {
    /// It has lost its memory since this caller last asked. See [`RateLimiter::recall`](crate::RateLimiter::recall).
    Forgot,
    /// A record of a newer version of keyrot, or not ours: never rewritten.
    Incompatible,
    /// Not reachable, too slow, or busy.
    Unavailable,
}

/// The limiter could not answer.
#[derive(Clone, Debug)]
pub struct LimiterError {
    kind: LimiterErrorKind,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl LimiterError {
    /// `message` says where and what; it must not hold a credential.
    pub fn new(kind: LimiterErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> LimiterErrorKind {
        self.kind
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, LimiterErrorKind::Forgot | LimiterErrorKind::Unavailable)
    }
}

impl fmt::Display for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LimiterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
