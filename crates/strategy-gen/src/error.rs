//! Why no strategy could be had, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use keyrot_core::AcquireError;
use thiserror::Error;

use crate::fault::Fault;
use crate::model::Blocked;
use crate::report::{AttemptReport, Spent, Strategy};

/// No strategy. Every variant after a call keeps what was spent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The description has no text. Nothing was sent.
    #[error("the description is empty; say in a sentence what the strategy does")]
    EmptyDescription,
    /// An option that cannot be used. Nothing was sent.
    #[error("{what} is {found:?}; allowed: {allowed}")]
    BadOption {
        /// Which option.
        what: String,
        /// What it was.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// No reply: no key, or every try failed.
    #[error("{cause}{tries}{during}", tries = Tries(&spent.attempts), during = During(fault.as_deref()))]
    Call {
        /// Why.
        #[source]
        cause: CallCause,
        /// What was wrong with the reply before, if this was a repair.
        fault: Option<Box<Fault>>,
        /// The reply before that came furthest, if this was a repair.
        best: Option<Box<Strategy>>,
        /// What was spent.
        spent: Box<Spent>,
    },
    /// The provider refused the description or withheld the reply. The same text is not sent again.
    #[error("{model} blocked {blocked}; change the description")]
    Blocked {
        /// What was blocked, and the provider's reason.
        blocked: Blocked,
        /// The model that said so.
        model: String,
        /// The reply before that came furthest, if this was a repair.
        best: Option<Box<Strategy>>,
        /// What was spent.
        spent: Box<Spent>,
    },
    /// The reply was cut off at the limit of output tokens.
    #[error(
        "the reply of {model} was cut off at {max_output_tokens} output tokens (its thoughts count too); \
         raise max_output_tokens or ask for less"
    )]
    Truncated {
        /// The model that was cut off.
        model: String,
        /// The limit.
        max_output_tokens: u32,
        /// The reply before that came furthest, if this was a repair.
        best: Option<Box<Strategy>>,
        /// What was spent.
        spent: Box<Spent>,
    },
    /// The model ended for a reason that is neither success nor a block.
    #[error("{model} gave up with finishReason {reason}; try again or ask another model")]
    Unfinished {
        /// The provider's word.
        reason: String,
        /// The model that gave up.
        model: String,
        /// The reply before that came furthest, if this was a repair.
        best: Option<Box<Strategy>>,
        /// What was spent.
        spent: Box<Spent>,
    },
    /// No reply was good enough, and no repair is left. This is about the one that came furthest.
    #[error("{} gave no usable strategy in {replies}: {fault}", strategy.model, replies = Replies(*replies))]
    Invalid {
        /// What is wrong with it.
        fault: Box<Fault>,
        /// What there is of it: without code if the reply held none, without a class name if it has not passed the gate.
        strategy: Box<Strategy>,
        /// How many replies there were.
        replies: u32,
        /// What was spent.
        spent: Box<Spent>,
    },
}

impl GenerateError {
    /// What was spent; `None` if nothing was sent.
    pub fn spent(&self) -> Option<&Spent> {
        match self {
            Self::EmptyDescription | Self::BadOption { .. } => None,
            Self::Call { spent, .. }
            | Self::Blocked { spent, .. }
            | Self::Truncated { spent, .. }
            | Self::Unfinished { spent, .. }
            | Self::Invalid { spent, .. } => Some(spent),
        }
    }

    /// The reply that came furthest, none of which was good enough; `None` if there was none.
    pub fn best(&self) -> Option<&Strategy> {
        match self {
            Self::EmptyDescription | Self::BadOption { .. } => None,
            Self::Call { best, .. }
            | Self::Blocked { best, .. }
            | Self::Truncated { best, .. }
            | Self::Unfinished { best, .. } => best.as_deref(),
            Self::Invalid { strategy, .. } => Some(strategy),
        }
    }

    /// Why no key could be had, if that was it.
    pub fn acquire(&self) -> Option<&AcquireError> {
        match self {
            Self::Call { cause: CallCause::Acquire(error), .. } => Some(error),
            _ => None,
        }
    }

    /// When to try again, if the pool is exhausted.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.acquire() {
            Some(AcquireError::Exhausted(exhausted)) => exhausted.retry_after,
            _ => None,
        }
    }
}

/// A call to a model failed for good.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallError {
    /// Each try in order.
    pub attempts: Vec<AttemptReport>,
    /// Why it ended.
    pub cause: CallCause,
}

impl CallError {
    /// For implementations of [`LanguageModel`](crate::LanguageModel).
    pub fn new(attempts: Vec<AttemptReport>, cause: CallCause) -> Self {
        Self { attempts, cause }
    }
}

/// Why a call ended without a reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallCause {
    /// No key could be had.
    Acquire(AcquireError),
    /// The last try's own error; already free of secrets.
    Failed(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for CallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for CallCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Its own text is that of the error inside, so the chain goes on behind it.
        match self {
            Self::Acquire(error) => error.source(),
            Self::Failed(error) => error.source(),
        }
    }
}

/// One line for each try.
struct Tries<'a>(&'a [AttemptReport]);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for AttemptReport { key_id, model, detail, outcome, .. } in self.0 {
            write!(f, "\n  tried {key_id} with {model}: {detail} ({outcome})")?;
        }
        Ok(())
    }
}

struct During<'a>(Option<&'a Fault>);

impl fmt::Display for During<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(fault) => write!(f, "\nwhile a reply was to be corrected: {fault}"),
            None => Ok(()),
        }
    }
}

struct Replies(u32);

impl fmt::Display for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "reply" } else { "replies" })
    }
}
