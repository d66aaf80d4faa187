//! The engine's decision about a call.

use std::time::Duration;

use crate::answer::Answer;
use crate::bodies::Refusal;

/// The decision about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// From arrival to the first byte of the reply, or to the cut.
    pub latency: Duration,
    /// Between two chunks of a stream.
    pub chunk_latency: Duration,
    /// What the caller gets.
    pub reply: Reply,
}

impl Verdict {
    /// The HTTP status; None if the connection is cut before it.
    pub fn status(&self) -> Option<u16> {
        match &self.reply {
            Reply::Answer(_) | Reply::Granted => Some(200),
            Reply::Refused(refusal) => Some(refusal.status),
            Reply::Cut => None,
        }
    }
}

/// What the caller gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The model answers; the answer may break off.
    Answer(Box<Answer>),
    /// countTokens and the model lists: go on.
    Granted,
    /// Usually an error; with [`crate::FaultKind::Verbatim`] any status.
    Refused(Refusal),
    /// The connection is cut before any byte.
    Cut,
}
