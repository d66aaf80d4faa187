//! A look at the books, for people and tests.

use serde::Serialize;

use crate::fault::Fault;
use crate::quota::Used;

/// The service at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// Simulated time, in ms since 1970.
    pub now_ms: u64,
    /// Start or last reset, in ms since 1970.
    pub start_ms: u64,
    /// When the quota day ends, in ms since 1970.
    pub day_ends_ms: u64,
    /// How many calls arrived.
    pub attempts: u64,
    /// How many of them are no longer in the record.
    pub forgotten: u64,
    /// Each (project, model) that was called, sorted.
    pub quotas: Vec<QuotaState>,
    /// Each fault with its count.
    pub faults: Vec<FaultState>,
}

/// The quota of one (project, model).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaState {
    /// The project's id.
    pub project: String,
    /// The answering model's name.
    pub model: String,
    /// Requests in the current minute and their limit; None: not limited.
    pub requests_per_minute: Option<Usage>,
    /// Input tokens in the current minute and their limit; None: not limited.
    pub tokens_per_minute: Option<Usage>,
    /// Requests of the current day.
    pub requests_today: u64,
    /// Requests per day; None: not limited.
    pub requests_per_day: Option<u64>,
}

/// How much of a limit is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Taken at this moment.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

/// A fault and how often it has struck.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultState {
    /// The rule.
    pub fault: Fault,
    /// How often it has struck.
    pub struck: u64,
}

impl QuotaState {
    pub(crate) fn new(project: &str, model: &str, used: Used) -> Self {
        let usage = |(used, limit)| Usage { used, limit };
        Self {
            project: project.to_owned(),
            model: model.to_owned(),
            requests_per_minute: used.requests.map(usage),
            tokens_per_minute: used.tokens.map(usage),
            requests_today: used.day.0,
            requests_per_day: used.day.1,
        }
    }
}
