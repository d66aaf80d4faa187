//! Scripted trouble: what goes wrong, for whom and when.

use serde::{Deserialize, Serialize};

use crate::call::Operation;

/// One rule. A call that passes all its filters gets the fault; the first matching rule decides, except that
/// every matching [`FaultKind::Slow`] adds its delay.
///
/// ```
/// use gemini_sim::{Fault, FaultKind};
/// let storm = Fault::new(FaultKind::Overloaded).project("delta").between_ms(0, 8_000).probability(0.5);
/// let leak = Fault::new(FaultKind::KeyLeaked).key("c").from_ms(5_000);
/// # let _ = (storm, leak);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only calls with the key of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only calls with a key of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only calls for this model, by the name asked for or by the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only this operation. Default: trouble with keys, projects and connections meets every operation, the rest
    /// only those that generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// First moment, in ms of simulated time since the start or the last reset.
    #[serde(default)]
    pub from_ms: u64,
    /// First moment that is over. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// Share of the matching calls, 0 to 1. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// At most so many times. Default: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// What goes wrong. Those marked *charged* take quota first, as Gemini's 503s do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// 400 with `API_KEY_INVALID`.
    KeyInvalid,
    /// 400 with `API_KEY_INVALID`, worded as for an expired key.
    KeyExpired,
    /// 403 "reported as leaked".
    KeyLeaked,
    /// 403 `CONSUMER_SUSPENDED`; the body prints the caller's whole key, twice.
    KeySuspended,
    /// 403 `API_KEY_IP_ADDRESS_BLOCKED`.
    KeyIpBlocked,
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`.
    Unauthenticated,
    /// 403 "Your project has been denied access".
    ProjectDenied,
    /// 403 `SERVICE_DISABLED`, naming the project's number.
    ServiceDisabled,
    /// 429 "prepayment credits are depleted".
    OutOfCredit,
    /// 400 "User location is not supported".
    LocationUnsupported,
    /// 429 per-minute quota with this delay in `RetryInfo`.
    Quota {
        /// Seconds; fractions are printed.
        retry_after_s: f64,
    },
    /// 429 per-day quota, with the short useless delay that Gemini sends along.
    QuotaDay,
    /// 429 without any detail.
    QuotaBare,
    /// 429 `MODEL_CAPACITY_EXHAUSTED`: the model's trouble, nobody's quota.
    CapacityExhausted,
    /// 503 "The model is overloaded". Charged.
    Overloaded,
    /// 500 `INTERNAL`. Charged.
    Internal,
    /// 504 `DEADLINE_EXCEEDED`. Charged.
    DeadlineExceeded,
    /// The reply takes this much longer. Charged.
    Slow {
        /// Milliseconds.
        extra_ms: u64,
    },
    /// The connection is cut before any byte of the reply. Charged.
    Cut,
    /// The connection is cut in the middle of the reply. Charged.
    CutMidStream,
    /// A stream breaks off with `data: {"error": ...}`. Charged; streams only.
    StreamErrorEvent {
        /// HTTP-like code inside the error, 503 or 429.
        code: u16,
    },
    /// A stream breaks off with a raw JSON object that is no event. Charged; streams only.
    StreamErrorTail {
        /// HTTP-like code inside the error, 503 or 429.
        code: u16,
    },
    /// 200 with `promptFeedback.blockReason` and no candidate. Charged.
    SafetyBlock,
    /// 200 with `finishReason: SAFETY` and no text. Charged.
    SafetyStop,
    /// 200 with half of the text and `finishReason: MAX_TOKENS`. Charged.
    Truncate,
    /// 200 with code that is no Python. Charged.
    BadCode,
    /// 400 "JSON mode is not enabled for ..."; only calls that ask for JSON.
    SchemaRefused,
    /// This very reply. Charged unless the status is 4xx.
    Verbatim {
        /// HTTP status, 200 to 599.
        status: u16,
        /// The body as it is.
        body: String,
        /// Default: `application/json; charset=UTF-8`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
    },
}

/// When a fault strikes on the way of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before quota is counted.
    Door,
    /// After it has been charged.
    Inside,
}

/// The call as filters see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) key: &'a str,
    pub(crate) project: &'a str,
    pub(crate) asked_model: &'a str,
    pub(crate) model: &'a str,
    pub(crate) operation: Operation,
    /// The answer is to be JSON.
    pub(crate) structured: bool,
    pub(crate) elapsed_ms: u64,
}

impl Fault {
    /// A fault that meets every call.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            key: None,
            project: None,
            model: None,
            operation: None,
            from_ms: 0,
            to_ms: None,
            probability: None,
            times: None,
        }
    }

    /// Only for this key.
    #[must_use]
    pub fn key(mut self, id: impl Into<String>) -> Self {
        self.key = Some(id.into());
        self
    }

    /// Only for keys of this project.
    #[must_use]
    pub fn project(mut self, id: impl Into<String>) -> Self {
        self.project = Some(id.into());
        self
    }

    /// Only for this model.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Only for this operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// From this moment on.
    #[must_use]
    pub fn from_ms(mut self, from_ms: u64) -> Self {
        self.from_ms = from_ms;
        self
    }

    /// From the first moment until before the second.
    #[must_use]
    pub fn between_ms(mut self, from_ms: u64, to_ms: u64) -> Self {
        (self.from_ms, self.to_ms) = (from_ms, Some(to_ms));
        self
    }

    /// Only this share of the matching calls.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.kind {
            FaultKind::KeyInvalid
            | FaultKind::KeyExpired
            | FaultKind::KeyLeaked
            | FaultKind::KeySuspended
            | FaultKind::KeyIpBlocked
            | FaultKind::Unauthenticated
            | FaultKind::ProjectDenied
            | FaultKind::ServiceDisabled
            | FaultKind::OutOfCredit
            | FaultKind::LocationUnsupported
            | FaultKind::Quota { .. }
            | FaultKind::QuotaDay
            | FaultKind::QuotaBare
            | FaultKind::CapacityExhausted
            | FaultKind::SchemaRefused
            | FaultKind::Verbatim { status: 400..=499, .. } => Stage::Door,
            _ => Stage::Inside,
        }
    }

    /// All filters but probability and times.
    pub(crate) fn matches(&self, target: &Target<'_>) -> bool {
        fn passes(filter: Option<&String>, value: &str) -> bool {
            filter.is_none_or(|wanted| wanted == value)
        }
        passes(self.key.as_ref(), target.key)
            && passes(self.project.as_ref(), target.project)
            && (passes(self.model.as_ref(), target.asked_model) || passes(self.model.as_ref(), target.model))
            && target.elapsed_ms >= self.from_ms
            && self.to_ms.is_none_or(|end| target.elapsed_ms < end)
            && self.meets(target.operation)
            && (target.structured || self.kind != FaultKind::SchemaRefused)
    }

    fn meets(&self, operation: Operation) -> bool {
        let possible = match self.kind {
            FaultKind::StreamErrorEvent { .. } | FaultKind::StreamErrorTail { .. } => {
                operation == Operation::Stream
            }
            FaultKind::CutMidStream
            | FaultKind::SafetyBlock
            | FaultKind::SafetyStop
            | FaultKind::Truncate
            | FaultKind::BadCode => operation.generates(),
            _ => true,
        };
        let usual = match self.kind {
            FaultKind::OutOfCredit
            | FaultKind::Quota { .. }
            | FaultKind::QuotaDay
            | FaultKind::QuotaBare
            | FaultKind::CapacityExhausted
            | FaultKind::Overloaded
            | FaultKind::DeadlineExceeded => operation.generates(),
            _ => true,
        };
        possible && self.operation.map_or(usual, |wanted| wanted == operation)
    }

    /// Numbers out of range.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(probability) = self.probability
            && !(0.0..=1.0).contains(&probability)
        {
            problems.push(format!("probability is {probability}, allowed is 0 to 1"));
        }
        if let Some(end) = self.to_ms
            && end <= self.from_ms
        {
            problems.push(format!("to_ms {end} is not after from_ms {}", self.from_ms));
        }
        match &self.kind {
            FaultKind::Quota { retry_after_s } if !(0.0..=1e6).contains(retry_after_s) => {
                problems.push(format!("retry_after_s is {retry_after_s}, allowed is 0 to 1000000"));
            }
            FaultKind::Verbatim { status, .. } if !(200..=599).contains(status) => {
                problems.push(format!("status is {status}, allowed is 200 to 599"));
            }
            FaultKind::StreamErrorEvent { code } | FaultKind::StreamErrorTail { code }
                if !matches!(code, 429 | 503) =>
            {
                problems.push(format!("code is {code}, allowed is 429 or 503"));
            }
            _ => {}
        }
        problems
    }
}
