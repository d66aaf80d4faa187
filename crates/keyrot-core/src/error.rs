//! What can go wrong, in words that say what to do.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::key::{KeyId, ModelName, ProjectId, looks_like_an_api_key};
use crate::outcome::{Outcome, Reason, Scope};

/// The first words of every error of an empty, unmatched or exhausted pool.
pub const NO_KEYS: &str = "No API keys available for selection";

/// The configuration cannot be used. Holds every problem that was found, never only the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// One problem, in a full sentence that names what to change.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()] }
    }

    /// Several problems; `None` if there are none.
    pub fn of(problems: Vec<String>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// `name` has a value that is not allowed. Never call it with a secret; an API key that somebody has put
    /// in the wrong place is not repeated.
    pub fn bad_value(name: &str, found: &str, allowed: &str) -> Self {
        if looks_like_an_api_key(found) {
            return Self::new(format!("{name} looks like an API key; allowed: {allowed}"));
        }
        Self::new(format!("{name} is {found:?}; allowed: {allowed}"))
    }

    /// A file that cannot be read or written.
    pub fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {what} {}: {error}", path.display()))
    }

    /// Each problem with the file that it is in.
    #[must_use]
    pub fn in_file(&self, path: &Path) -> Self {
        let problems = self.problems.iter().map(|problem| format!("{}: {problem}", path.display()));
        Self { problems: problems.collect() }
    }

    /// Each problem in words.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl Error for ConfigError {}

/// No key can serve now: the earliest time, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exhausted {
    /// Wait this long; `None` means that waiting does not help.
    pub retry_after: Option<Duration>,
    /// The same as wall time.
    pub earliest: Option<SystemTime>,
    /// How many of the matching keys stand still for which reason.
    pub counts: BTreeMap<Reason, usize>,
    /// What will be free first.
    pub limiting: Option<Scope>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NO_KEYS}: ")?;
        let counts: Vec<String> =
            self.counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        f.write_str(&counts.join(", "))?;
        match (self.retry_after, &self.limiting) {
            (Some(wait), Some(scope)) => write!(f, "; {scope} is free in {:.1} s", wait.as_secs_f64()),
            (Some(wait), None) => write!(f, "; try again in {:.1} s", wait.as_secs_f64()),
            (None, _) => f.write_str("; waiting does not help (keyrot explain lists every key)"),
        }
    }
}

/// A key could not be had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AcquireError {
    /// The pool was closed.
    Closed,
    /// Keys exist but none can serve now.
    Exhausted(Exhausted),
    /// No key of the pool fits the request, now or later.
    NoMatch {
        /// The request in words.
        wanted: String,
        /// The models that the pool does serve.
        models: Vec<ModelName>,
    },
    /// Too many callers wait already.
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// Keys match, but no secret of theirs can be had; the text names each place that was looked at.
    NoSecret(String),
    /// The limiter cannot be asked, and the policy is not to call without it.
    Limiter(crate::limit::LimiterError),
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the key pool is closed"),
            Self::Exhausted(exhausted) => exhausted.fmt(f),
            Self::NoMatch { wanted, models } if models.is_empty() => {
                write!(f, "{NO_KEYS}: the pool has no usable entry ({wanted} was asked for)")
            }
            Self::NoMatch { wanted, models } => {
                let models: Vec<&str> = models.iter().map(ModelName::as_str).collect();
                write!(f, "{NO_KEYS}: no entry serves {wanted}; the pool has {}", models.join(", "))
            }
            Self::QueueFull { waiting } => {
                write!(f, "{waiting} calls wait for a key already; send fewer at a time or add quota")
            }
            Self::NoSecret(detail) => write!(f, "{NO_KEYS}: no secret could be had: {detail}"),
            Self::Limiter(error) => write!(f, "the rate limiter cannot be asked: {error}"),
        }
    }
}

impl Error for AcquireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Limiter(error) => Some(error),
            _ => None,
        }
    }
}

/// One try of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Who sent it.
    pub key_id: KeyId,
    /// Its project.
    pub project: ProjectId,
    /// The model it went to.
    pub model: ModelName,
    /// What became of it.
    pub outcome: Outcome,
    /// From sending to the verdict.
    pub latency: Duration,
}

/// A call failed for good. Every attempt's cause is kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunError<E> {
    /// Each try in order.
    pub attempts: Vec<Attempt>,
    /// Why it ended.
    pub end: RunEnd<E>,
}

/// Why a call ended without success.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEnd<E> {
    /// No further key could be had; `last` is the error of the last try, if there was one.
    Acquire {
        /// Why none could be had.
        error: AcquireError,
        /// The last try's own error.
        last: Option<E>,
    },
    /// The last try's error is final, or its budget (tries or deadline) is used up.
    Failed(E),
}

impl<E> RunError<E> {
    /// When to try again, if the pool is exhausted.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.end {
            RunEnd::Acquire { error: AcquireError::Exhausted(exhausted), .. } => exhausted.retry_after,
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            RunEnd::Acquire { error, .. } => write!(f, "{error}")?,
            RunEnd::Failed(error) => write!(f, "{error}")?,
        }
        for attempt in &self.attempts {
            let Attempt { key_id, model, outcome, .. } = attempt;
            write!(f, "\n  tried {key_id} with {model}: {} ({})", outcome.detail, outcome.effect.name())?;
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for RunError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.end {
            RunEnd::Acquire { last, .. } => last.as_ref().map(|error| error as _),
            RunEnd::Failed(error) => error.source(),
        }
    }
}
