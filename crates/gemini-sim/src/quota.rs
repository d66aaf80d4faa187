//! The quota of one (project, model), and the 429 that says what is used up.

use serde_json::{Value, json};

use crate::bodies::{Refusal, refusal};
use crate::config::{Limits, Tier};
use crate::pacific::PacificDay;
use crate::window::{MINUTE_MS, Meter, Window};

/// One of the three limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dimension {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
}

impl Dimension {
    fn id(self, tier: Tier) -> &'static str {
        match (self, tier) {
            (Self::RequestsPerMinute, Tier::Free) => "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            (Self::TokensPerMinute, Tier::Free) => "GenerateContentInputTokensPerModelPerMinute-FreeTier",
            (Self::RequestsPerDay, Tier::Free) => "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            (Self::RequestsPerMinute, Tier::Paid) => "GenerateRequestsPerMinutePerProjectPerModel",
            (Self::TokensPerMinute, Tier::Paid) => "GenerateContentPaidTierInputTokensPerModelPerMinute",
            (Self::RequestsPerDay, Tier::Paid) => "GenerateRequestsPerDayPerProjectPerModel",
        }
    }

    fn metric(self, tier: Tier) -> &'static str {
        match (self, tier) {
            (Self::TokensPerMinute, Tier::Free) => "generate_content_free_tier_input_token_count",
            (_, Tier::Free) => "generate_content_free_tier_requests",
            (Self::RequestsPerMinute, Tier::Paid) => "generate_requests_per_model",
            (Self::TokensPerMinute, Tier::Paid) => "generate_content_paid_tier_input_token_count",
            (Self::RequestsPerDay, Tier::Paid) => "generate_requests_per_model_per_day",
        }
    }
}

/// A limit that a call did not fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) dimension: Dimension,
    /// None if a script declares a limit used up that the configuration does not set; then no number is shown, so
    /// that nobody learns a made-up one.
    pub(crate) limit: Option<u64>,
    /// Until it would fit, in ms. For a day: the useless rest of the minute that Gemini names there.
    pub(crate) wait_ms: u64,
}

/// The books of one (project, model). All limits are checked together; a refused call is charged nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    requests: Option<Meter>,
    tokens: Option<Meter>,
    requests_per_day: Option<u64>,
    day: PacificDay,
    day_used: u64,
}

/// What is used of each limit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) requests: Option<(u64, u64)>,
    pub(crate) tokens: Option<(u64, u64)>,
    pub(crate) day: (u64, Option<u64>),
}

impl Quota {
    pub(crate) fn new(limits: Limits, window: Window, day: PacificDay) -> Self {
        Self {
            requests: limits.rpm.map(|limit| Meter::new(window, limit, 1)),
            tokens: limits.tpm.map(|limit| Meter::new(window, limit, 1)),
            requests_per_day: limits.rpd,
            day,
            day_used: 0,
        }
    }

    /// Charges the call if it fits into all limits, else names those that it does not fit into.
    pub(crate) fn take(&mut self, now_ms: u64, day: PacificDay, tokens: u64) -> Result<(), Vec<Violation>> {
        self.turn(day);
        let mut violations = Vec::new();
        for (meter, amount, dimension) in [
            (&mut self.requests, 1, Dimension::RequestsPerMinute),
            (&mut self.tokens, tokens, Dimension::TokensPerMinute),
        ] {
            let Some(meter) = meter else { continue };
            let limit = Some(meter.limit());
            match meter.earliest(now_ms, amount) {
                Some(at) if at <= now_ms && limit != Some(0) => {}
                Some(at) => violations.push(Violation { dimension, limit, wait_ms: at - now_ms }),
                None => violations.push(Violation { dimension, limit, wait_ms: MINUTE_MS }),
            }
        }
        let limit = self.requests_per_day.filter(|limit| self.day_used >= *limit);
        if limit.is_some() {
            let wait_ms = MINUTE_MS - now_ms % MINUTE_MS;
            violations.push(Violation { dimension: Dimension::RequestsPerDay, limit, wait_ms });
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        self.day_used += 1;
        if let Some(meter) = &mut self.requests {
            meter.charge(now_ms, 1);
        }
        if let Some(meter) = &mut self.tokens {
            meter.charge(now_ms, tokens);
        }
        Ok(())
    }

    pub(crate) fn used(&mut self, now_ms: u64, day: PacificDay) -> Used {
        self.turn(day);
        let usage = |meter: &mut Meter| (meter.used(now_ms), meter.limit());
        Used {
            requests: self.requests.as_mut().map(usage),
            tokens: self.tokens.as_mut().map(usage),
            day: (self.day_used, self.requests_per_day),
        }
    }

    fn turn(&mut self, day: PacificDay) {
        if self.day != day {
            (self.day, self.day_used) = (day, 0);
        }
    }
}

/// The 429 for these limits.
pub(crate) fn exceeded(violations: &[Violation], model: &str, tier: Tier) -> Refusal {
    let wait_ms = violations.iter().map(|violation| violation.wait_ms).max().unwrap_or(0);
    let nothing_at_all = violations.iter().any(|violation| violation.limit == Some(0));
    let mut message =
        "You exceeded your current quota, please check your plan and billing details. For more \
                       information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
            .to_owned();
    for Violation { dimension, limit, .. } in violations {
        let metric = dimension.metric(tier);
        message += &format!("\n* Quota exceeded for metric: generativelanguage.googleapis.com/{metric}");
        if let Some(limit) = limit {
            message += &format!(", limit: {limit}, model: {model}");
        }
    }
    message += &format!("\nPlease retry in {}.", seconds(wait_ms));
    let mut details = Vec::new();
    if !nothing_at_all {
        let violations: Vec<Value> =
            violations.iter().map(|violation| violation_json(violation, model, tier)).collect();
        details
            .push(json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}));
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{
                "description": "Learn more about Gemini API quotas",
                "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
            }],
        }));
    }
    details
        .push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds(wait_ms)}));
    refusal(429, &message, details)
}

fn violation_json(violation: &Violation, model: &str, tier: Tier) -> Value {
    let mut shown = json!({
        "quotaMetric": format!("generativelanguage.googleapis.com/{}", violation.dimension.metric(tier)),
        "quotaId": violation.dimension.id(tier),
        "quotaDimensions": {"location": "global", "model": model},
    });
    if let Some(limit) = violation.limit {
        shown["quotaValue"] = json!(limit.to_string());
    }
    shown
}

/// A protobuf Duration in JSON: `12s`, `0.250s`.
fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1_000) {
        format!("{}s", ms / 1_000)
    } else {
        format!("{}.{:03}s", ms / 1_000, ms % 1_000)
    }
}
