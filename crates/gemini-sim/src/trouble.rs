//! What a scripted fault makes of a call: an error reply, or a spoiled answer.

use crate::answer::{Answer, Break, Usage};
use crate::bodies::{self, Refusal};
use crate::call::tokens;
use crate::config::Project;
use crate::fault::FaultKind;
use crate::quota::{self, Dimension, Violation};
use crate::strategy;
use crate::verdict::Reply;

/// The call as error bodies describe it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) project: &'a Project,
    pub(crate) project_number: u64,
    pub(crate) model: &'a str,
    pub(crate) now_ms: u64,
}

impl Scene<'_> {
    /// The reply of a fault that leaves no answer. `secret` is the caller's own; only [`FaultKind::KeySuspended`]
    /// prints it, as Google does.
    pub(crate) fn reply(&self, kind: &FaultKind, secret: &str) -> Reply {
        Reply::Refused(match kind {
            FaultKind::KeyInvalid => bodies::key_invalid(bodies::KEY_NOT_VALID),
            FaultKind::KeyExpired => bodies::key_invalid(bodies::KEY_EXPIRED),
            FaultKind::KeyLeaked => bodies::key_leaked(),
            FaultKind::KeySuspended => bodies::key_suspended(secret, self.project_number),
            FaultKind::KeyIpBlocked => bodies::key_ip_blocked(self.project_number),
            FaultKind::Unauthenticated => bodies::unauthenticated(),
            FaultKind::ProjectDenied => bodies::project_denied(),
            FaultKind::ServiceDisabled => bodies::service_disabled(self.project_number),
            FaultKind::OutOfCredit => bodies::out_of_credit(),
            FaultKind::LocationUnsupported => bodies::location_unsupported(),
            FaultKind::Quota { retry_after_s } => {
                self.exhausted(Dimension::RequestsPerMinute, (retry_after_s * 1_000.0).round() as u64)
            }
            FaultKind::QuotaDay => self.exhausted(Dimension::RequestsPerDay, 60_000 - self.now_ms % 60_000),
            FaultKind::CapacityExhausted => bodies::capacity_exhausted(),
            FaultKind::QuotaBare => bodies::quota_bare(),
            FaultKind::SchemaRefused => bodies::no_json_mode(self.model),
            FaultKind::Overloaded => bodies::overloaded(),
            FaultKind::DeadlineExceeded => bodies::deadline_exceeded(),
            FaultKind::Verbatim { status, body, content_type } => Refusal {
                status: *status,
                content_type: content_type.clone().unwrap_or_else(|| bodies::JSON.to_owned()),
                body: body.clone(),
            },
            FaultKind::Cut => return Reply::Cut,
            // The kinds that spoil an answer meet only calls that have one (`Fault::matches`).
            _ => bodies::internal(),
        })
    }

    /// The 429 of a limit that the script declares used up: with the configured limit if there is one.
    fn exhausted(&self, dimension: Dimension, wait_ms: u64) -> Refusal {
        let limits = self.project.limits_of(self.model);
        let configured = match dimension {
            Dimension::RequestsPerMinute => limits.rpm,
            Dimension::TokensPerMinute => limits.tpm,
            Dimension::RequestsPerDay => limits.rpd,
        };
        let limit = configured.filter(|limit| *limit > 0);
        quota::exceeded(&[Violation { dimension, limit, wait_ms }], self.model, self.project.tier)
    }
}

/// The answer as the fault leaves it; None if the fault leaves none.
pub(crate) fn spoil(mut answer: Answer, kind: &FaultKind) -> Option<Answer> {
    let prompt = answer.usage.prompt_token_count;
    match kind {
        FaultKind::CutMidStream => answer.broken = Some(Break::Cut),
        FaultKind::StreamErrorEvent { code } => answer.broken = Some(Break::ErrorEvent(error(*code, false))),
        FaultKind::StreamErrorTail { code } => answer.broken = Some(Break::ErrorTail(error(*code, true))),
        FaultKind::SafetyBlock => {
            answer.text.clear();
            (answer.finish_reason, answer.block_reason) = (None, Some("SAFETY"));
            answer.usage = Usage::new(prompt, 0, 0);
        }
        FaultKind::SafetyStop => {
            answer.text.clear();
            answer.finish_reason = Some("SAFETY");
            answer.usage = Usage::new(prompt, 0, 0);
        }
        FaultKind::Truncate => {
            let half = answer.text.chars().count() / 2;
            answer.text = answer.text.chars().take(half).collect();
            answer.finish_reason = Some("MAX_TOKENS");
            answer.usage = Usage::new(prompt, tokens(half), answer.usage.thoughts_token_count);
        }
        FaultKind::BadCode => answer.text = strategy::without_colon(&answer.text),
        _ => return None,
    }
    Some(answer)
}

fn error(code: u16, pretty: bool) -> String {
    match code {
        429 => bodies::envelope(429, bodies::QUOTA_BARE, Vec::new(), pretty),
        _ => bodies::envelope(503, bodies::OVERLOADED, Vec::new(), pretty),
    }
}
