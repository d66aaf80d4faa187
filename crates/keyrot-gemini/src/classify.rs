//! One pure function from a reply to a verdict: who is to blame, and what is done about it.
//!
//! docs/failover.md has the table in words. What is not recognised becomes a short rest of the narrowest
//! scope or a transient failure: never a dead key.

use std::time::Duration;

use keyrot_core::{Blame, Effect, Outcome, Usage};
use serde_json::Value;

use crate::envelope::{self, Body, ErrorBody, ErrorInfo};
use crate::quota;
use crate::redact::{one_line, redact_secret};

/// Longest [`Outcome::detail`] in characters.
const DETAIL: usize = 300;

/// The verdict on a reply of the Gemini API, for any HTTP client.
///
/// `retry_after` is the `Retry-After` header, `body` the text of the reply; for an error its first 64 KiB are
/// enough. A reply of 2xx that holds no error is a success with its `promptTokenCount`: blocked prompts
/// and cut answers are successes for the key. The detail is one line of at most 300 characters without
/// anything that looks like a key.
///
/// ```
/// use keyrot_core::{Blame, Effect};
/// let body = r#"{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}"#;
/// let outcome = keyrot_gemini::classify(503, None, body);
/// assert_eq!((outcome.blame, outcome.effect), (Blame::Model, Effect::Overload));
/// assert_eq!(outcome.detail, "503 UNAVAILABLE: The model is overloaded.");
/// ```
pub fn classify(status: u16, retry_after: Option<&str>, body: &str) -> Outcome {
    classify_hiding(status, retry_after, body, "")
}

/// As [`classify`], and hides the secret that the call carried, whatever its shape.
pub(crate) fn classify_hiding(status: u16, retry_after: Option<&str>, body: &str, secret: &str) -> Outcome {
    // Only the form in seconds: a date would need a clock, and Gemini sends neither.
    let header = retry_after
        .and_then(|value| value.trim().parse().ok())
        .and_then(|seconds: u32| (seconds > 0).then(|| Duration::from_secs(seconds.into())));
    let mut outcome = match envelope::read(body) {
        Body::Error(error) => of_error(status, header, &error),
        Body::Json(reply) if (200..300).contains(&status) => return Outcome::success(usage_of(&reply)),
        Body::Json(value) => of_stranger(status, header, &message_of(&value), false),
        Body::Text(text) => of_stranger(status, header, text, text.starts_with('<')),
        Body::Empty => of_stranger(status, header, "", false),
    };
    outcome.detail = one_line(&redact_secret(&outcome.detail, secret), DETAIL).into();
    outcome
}

/// The reply of another party that is asked for keys: nothing but 2xx and `{}`-like JSON gets here.
fn usage_of(reply: &Value) -> Usage {
    let count = reply.pointer("/usageMetadata/promptTokenCount").and_then(Value::as_u64);
    count.map(Usage::input).unwrap_or_default()
}

fn of_error(status: u16, header: Option<Duration>, error: &ErrorBody) -> Outcome {
    let code = error.code.unwrap_or(if status >= 400 { status } else { 500 });
    let message = error.message.to_ascii_lowercase();
    let reason = error.infos.iter().find_map(|info| by_reason(&info.reason));
    let verdict = reason.or_else(|| by_text(code, &message));
    let mut outcome = match verdict {
        Some((blame, effect)) => Outcome::new(blame, effect, ""),
        None if code == 429 => {
            let quota = quota::read(error, &message, header);
            Outcome::new(quota.blame, quota.effect, "").retry_after(quota.retry_after).learned(quota.learned)
        }
        None => {
            let (blame, effect) = by_code(code, &message);
            Outcome::new(blame, effect, "")
        }
    };
    if matches!(outcome.effect, Effect::Cooldown | Effect::Overload | Effect::Transient) {
        outcome.retry_after = outcome.retry_after.or(error.retry_delay).or(header);
    }
    outcome.learned_project = error.infos.iter().find_map(project_number);
    let detail = match (error.status.as_str(), error.message.as_str()) {
        ("", "") => format!("{code} without a message"),
        ("", message) => format!("{code}: {message}"),
        (status, "") => format!("{code} {status}"),
        (status, message) => format!("{code} {status}: {message}"),
    };
    outcome.detail = detail.into();
    outcome
}

/// `google.rpc.ErrorInfo.reason` is the surest sign there is.
fn by_reason(reason: &str) -> Option<(Blame, Effect)> {
    Some(match reason {
        "BILLING_DISABLED" => (Blame::Project, Effect::OutOfCredit),
        "CONSUMER_INVALID" | "SERVICE_DISABLED" | "USER_PROJECT_DENIED" => {
            (Blame::Project, Effect::ProjectRejected)
        }
        "CONSUMER_SUSPENDED" => (Blame::Key, Effect::KeyRejected),
        "CREDENTIALS_MISSING" => (Blame::Caller, Effect::Fail),
        _ if reason.starts_with("MODEL_CAPACITY_") => (Blame::Model, Effect::Overload),
        // API_KEY_INVALID, API_KEY_SERVICE_BLOCKED, API_KEY_IP_ADDRESS_BLOCKED, ACCESS_TOKEN_TYPE_UNSUPPORTED ...
        _ if reason.starts_with("API_KEY_") || reason.starts_with("ACCESS_TOKEN_") => {
            (Blame::Key, Effect::KeyRejected)
        }
        _ => return None,
    })
}

/// Refusals that Google sends without a reason; `message` is in lower case.
fn by_text(code: u16, message: &str) -> Option<(Blame, Effect)> {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if !(400..500).contains(&code) {
        return None;
    }
    if says(&["location is not supported", "not available in your country", "automated queries"]) {
        return Some((Blame::Host, Effect::Fail));
    }
    if says(&["unregistered callers"]) {
        return Some((Blame::Caller, Effect::Fail)); // a call without a key: ours is the fault
    }
    if says(&["credits are depleted", "credit balance", "spending cap", "requires billing"]) {
        return Some((Blame::Project, Effect::OutOfCredit));
    }
    if says(&["project has been denied access", "has not been used in project"]) {
        return Some((Blame::Project, Effect::ProjectRejected));
    }
    if refuses_key(code, message) {
        return Some((Blame::Key, Effect::KeyRejected));
    }
    if says(&["cachedcontent not found", "access the file"]) {
        return Some((Blame::Caller, Effect::Fail)); // it lives in another project: no key is at fault
    }
    // Capacity shared by all customers: no other key has more of it.
    let shared =
        ["no capacity available", "resource exhausted, please try again later", "provisioned throughput"];
    says(&shared).then_some((Blame::Model, Effect::Overload))
}

/// A 400 must say it in so many words: a caller's own field may be named `api_key`.
fn refuses_key(code: u16, message: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let flat = [
        "api key not valid",
        "api key is not valid",
        "invalid api key",
        "api key expired",
        "api key not found",
    ];
    match code {
        400 => says(&flat),
        401 | 403 => {
            let verbs = [
                "not valid",
                "invalid",
                "expired",
                "not found",
                "leaked",
                "suspended",
                "restriction",
                "blocked",
            ];
            (says(&["api key", "api_key"]) && says(&verbs))
                || (says(&["requests to this api", "requests from"]) && says(&["are blocked"]))
        }
        _ => false,
    }
}

/// What is left for an error of the API itself.
fn by_code(code: u16, message: &str) -> (Blame, Effect) {
    match code {
        401 => (Blame::Key, Effect::KeyRejected),
        402 => (Blame::Project, Effect::OutOfCredit),
        // "The caller does not have permission" comes from a key that may not use this model. Other models of
        // the key are fine, so the narrowest scope rests, and briefly.
        403 => (Blame::ProjectModel, Effect::Cooldown),
        404 => (Blame::Model, Effect::ModelMissing),
        503 if message.contains("deadline expired") => (Blame::Service, Effect::Transient),
        503 | 529 => (Blame::Model, Effect::Overload),
        408 | 409 | 421 | 425 | 499 => (Blame::Service, Effect::Transient),
        400..=499 | 501 => (Blame::Caller, Effect::Fail),
        _ => (Blame::Service, Effect::Transient),
    }
}

/// Not the API's envelope: a gateway, a proxy, a captive portal, or nothing at all.
fn of_stranger(status: u16, header: Option<Duration>, text: &str, page: bool) -> Outcome {
    let lower = text.to_ascii_lowercase();
    let anti_bot = ["automated queries", "unusual traffic", "does not have permission to get url"];
    let (blame, effect) = if anti_bot.iter().any(|words| lower.contains(words)) {
        (Blame::Host, Effect::Fail)
    } else if let Some(verdict) = by_text(status, &lower).filter(|_| !page) {
        verdict
    } else {
        match status {
            // Redirects are not followed, they would carry the key elsewhere; 407 and 511 are proxies and portals.
            300..=399 | 407 | 511 => (Blame::Host, Effect::Fail),
            401 if !page => (Blame::Key, Effect::KeyRejected),
            402 if !page => (Blame::Project, Effect::OutOfCredit),
            403 if !page => (Blame::ProjectModel, Effect::Cooldown),
            413 => (Blame::Caller, Effect::Fail),
            429 => (Blame::Project, Effect::Cooldown),
            _ => (Blame::Service, Effect::Transient),
        }
    };
    let detail = match (page, text) {
        (_, "") => format!("{status} with an empty body"),
        (true, _) => format!("{status} with a page instead of JSON: {}", title_of(text)),
        (false, text) => format!("{status} that is not Gemini's form: {text}"),
    };
    let waits = matches!(effect, Effect::Cooldown | Effect::Transient);
    Outcome::new(blame, effect, detail).retry_after(header.filter(|_| waits))
}

/// The words of an error that has no envelope.
fn message_of(value: &Value) -> String {
    let named =
        ["message", "detail", "error_description", "error"].iter().find_map(|name| value.get(name)?.as_str());
    named.map_or_else(|| value.to_string(), str::to_owned)
}

fn title_of(page: &str) -> &str {
    let title = page.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title.map_or(page, |(title, _)| title)
}

/// `consumer: projects/123456789012`.
fn project_number(info: &ErrorInfo) -> Option<String> {
    let number = info.metadata("consumer")?.strip_prefix("projects/")?;
    let plausible = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    plausible.then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_counts_where_the_body_names_no_delay() {
        let outcome = classify(503, Some(" 7 "), "");
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(7)));
        for nonsense in ["0", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999"] {
            assert_eq!(classify(503, Some(nonsense), "").retry_after, None, "{nonsense}");
        }
    }
}
