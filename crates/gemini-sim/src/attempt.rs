//! The record of what reached the service: one entry per call, never a secret.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use crate::call::Operation;

/// One call and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Counts from 0 since the start or the last reset.
    pub number: u64,
    /// Arrival, in ms since 1970.
    pub time_ms: u64,
    /// The key's id; None if the call had none or an unknown one.
    pub key_id: Option<Arc<str>>,
    /// The key's project.
    pub project: Option<Arc<str>>,
    /// The model asked for, as the caller wrote it.
    pub model: Arc<str>,
    /// What was asked for.
    pub operation: Operation,
    /// What became of it.
    pub verdict: Ruling,
    /// HTTP status; None if the connection was cut before any byte of a reply.
    pub status: Option<u16>,
    /// From arrival to the first byte of the reply, or to the cut, in ms of simulated time.
    pub latency_ms: u64,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// True if the answer was to be JSON.
    pub structured: bool,
    /// True if the secret came in the URL.
    pub key_in_url: bool,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ruling {
    /// A full reply.
    Accepted,
    /// A request, model or credential form that the service does not take.
    BadRequest,
    /// No key, or one that no project has.
    KeyUnknown,
    /// Requests per minute are used up.
    RequestsPerMinute,
    /// Input tokens per minute are used up.
    TokensPerMinute,
    /// Requests per day are used up.
    RequestsPerDay,
    /// A limit of 0.
    NoQuota,
    /// A scripted fault decided, before quota was charged.
    FaultUncharged,
    /// A scripted fault decided, after quota was charged.
    FaultCharged,
}

impl Ruling {
    /// True if the real books refused the call: what a good client never provokes.
    pub fn is_over_quota(self) -> bool {
        matches!(self, Self::RequestsPerMinute | Self::TokensPerMinute | Self::RequestsPerDay | Self::NoQuota)
    }
}

/// The latest attempts, as many as the configuration allows.
#[derive(Debug)]
pub(crate) struct Record {
    kept: VecDeque<Attempt>,
    limit: usize,
    next: u64,
}

impl Record {
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, next: 0 }
    }

    /// The number of the next attempt.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.next += 1;
        self.kept.push_back(attempt);
        if self.kept.len() > self.limit {
            self.kept.pop_front();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.kept.iter()
    }

    /// How many are no longer kept.
    pub(crate) fn forgotten(&self) -> u64 {
        self.next - self.kept.len() as u64
    }
}
