//! What an error body says, whatever wraps it: Google's envelope, an array of one, an error inside a
//! message, string codes, stray commas, plain text or a page.

use std::time::Duration;

use keyrot_core::parse_duration;
use serde_json::{Map, Value};

/// So many layers (arrays, texts, envelopes) are taken off; beyond it the text is taken as it stands.
const DEEPEST: u8 = 8;

/// The body of a reply, read as far as it can be.
pub(crate) enum Body<'a> {
    Empty,
    /// An error of the provider.
    Error(Box<ErrorBody>),
    /// JSON that holds no error.
    Json(Value),
    /// Text or a page: a proxy speaks, not the API.
    Text(&'a str),
}

/// The innermost error of a body.
#[derive(Default)]
pub(crate) struct ErrorBody {
    /// The HTTP status that the body names, where it names one.
    pub(crate) code: Option<u16>,
    pub(crate) status: String,
    pub(crate) message: String,
    pub(crate) infos: Vec<ErrorInfo>,
    pub(crate) violations: Vec<Violation>,
    /// `RetryInfo.retryDelay`.
    pub(crate) retry_delay: Option<Duration>,
}

/// `google.rpc.ErrorInfo`.
pub(crate) struct ErrorInfo {
    pub(crate) reason: String,
    metadata: Map<String, Value>,
}

impl ErrorInfo {
    pub(crate) fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Value::as_str)
    }
}

/// One violation of `google.rpc.QuotaFailure`.
pub(crate) struct Violation {
    pub(crate) metric: String,
    pub(crate) id: String,
    /// The quota was counted for one model.
    pub(crate) names_model: bool,
    pub(crate) value: Option<u64>,
}

pub(crate) fn read(body: &str) -> Body<'_> {
    let text = body.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Body::Empty;
    }
    match lenient_json(text).or_else(|| embedded_json(text)) {
        None => Body::Text(text),
        Some(value) => match find_error(&value, DEEPEST) {
            Some(error) => Body::Error(Box::new(error)),
            None => Body::Json(value),
        },
    }
}

/// JSON, with commas too many forgiven.
fn lenient_json(text: &str) -> Option<Value> {
    if !text.starts_with(['{', '[', '"']) {
        return None;
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&without_stray_commas(text))).ok()
}

/// The error of a text such as `got status: 429. {"error": ...}`.
fn embedded_json(text: &str) -> Option<Value> {
    let from = text.find('{')?;
    let to = text.rfind('}')?;
    let inner = text.get(from..=to).filter(|inner| inner.contains("\"error\""))?;
    lenient_json(inner)
}

/// Drops a comma that stands before another comma or a closing bracket, or after an opening one.
fn without_stray_commas(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut last = ' '; // the last character that is neither white space nor a comma
    let mut comma = false; // one is owed, should a value follow
    for character in text.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = character == '\\' && !escaped;
        } else if character == ',' {
            comma = !matches!(last, '{' | '[' | ' ');
            continue;
        } else if !character.is_whitespace() {
            if std::mem::take(&mut comma) && !matches!(character, '}' | ']') {
                clean.push(',');
            }
            in_string = character == '"';
            last = character;
        }
        clean.push(character);
    }
    clean
}

fn find_error(value: &Value, depth: u8) -> Option<ErrorBody> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::Array(items) => items.iter().find_map(|item| find_error(item, depth)),
        Value::String(text) => find_error(&lenient_json(text.trim()).or_else(|| embedded_json(text))?, depth),
        Value::Object(object) => match object.get("error") {
            Some(Value::Object(error)) => Some(ErrorBody::from_object(error, depth)),
            // The form of OAuth endpoints: {"error": "invalid_grant", "error_description": "..."}.
            Some(Value::String(status)) => Some(ErrorBody {
                status: status.clone(),
                message: text_of(object, "error_description").or_else(|| text_of(object, "message"))?,
                ..ErrorBody::default()
            }),
            _ => (object.get("code").is_some_and(Value::is_number) && object.contains_key("message"))
                .then(|| ErrorBody::from_object(object, depth)),
        },
        _ => None,
    }
}

impl ErrorBody {
    fn from_object(error: &Map<String, Value>, depth: u8) -> Self {
        let message = text_of(error, "message").unwrap_or_default();
        let nested =
            message.contains('{').then(|| find_error(&Value::String(message.clone()), depth)).flatten();
        if let Some(inner) = nested {
            return inner;
        }
        let mut body = Self { message, ..Self::default() };
        body.status = text_of(error, "status").unwrap_or_default();
        match error.get("code") {
            Some(Value::Number(code)) => body.code = code.as_u64().and_then(error_status),
            Some(Value::String(code)) => {
                body.code = code.parse().ok().and_then(error_status).or_else(|| status_of_word(code));
                if body.status.is_empty() {
                    body.status.clone_from(code);
                }
            }
            _ => {}
        }
        body.code = body.code.or_else(|| status_of_word(&body.status));
        for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
            if let Value::Object(detail) = detail {
                body.add_detail(detail);
            }
        }
        body
    }

    fn add_detail(&mut self, detail: &Map<String, Value>) {
        // Some gateways write the member's name with spaces around it.
        let kind = detail.iter().find(|(name, _)| name.trim() == "@type").and_then(|(_, kind)| kind.as_str());
        let kind = kind.unwrap_or_default().trim().rsplit('.').next().unwrap_or_default();
        match kind {
            "ErrorInfo" => self.infos.push(ErrorInfo {
                reason: text_of(detail, "reason").unwrap_or_default(),
                metadata: detail.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default(),
            }),
            "QuotaFailure" => {
                let violations = detail.get("violations").and_then(Value::as_array).into_iter().flatten();
                self.violations.extend(violations.filter_map(Value::as_object).map(Violation::from_object));
            }
            "RetryInfo" => {
                self.retry_delay = detail.get("retryDelay").and_then(Value::as_str).and_then(parse_delay);
            }
            _ => {} // Help, LocalizedMessage repeat the message; DebugInfo has been seen to print the key
        }
    }
}

impl Violation {
    fn from_object(violation: &Map<String, Value>) -> Self {
        let dimensions = violation.get("quotaDimensions").and_then(Value::as_object);
        Self {
            metric: text_of(violation, "quotaMetric").unwrap_or_default(),
            id: text_of(violation, "quotaId").unwrap_or_default(),
            names_model: dimensions.is_some_and(|dimensions| dimensions.contains_key("model")),
            value: match violation.get("quotaValue") {
                Some(Value::String(value)) => value.parse().ok(),
                Some(value) => value.as_u64(),
                None => None,
            },
        }
    }
}

/// A protobuf duration (`56s`, `45.837906927s`) or `900ms`; zero says nothing, absurd ones neither.
pub(crate) fn parse_delay(text: &str) -> Option<Duration> {
    parse_duration(text.trim()).filter(|delay| !delay.is_zero())
}

fn text_of(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn error_status(code: u64) -> Option<u16> {
    u16::try_from(code).ok().filter(|code| (400..600).contains(code))
}

/// Canonical codes of `google.rpc.Code`, and the string codes of the Interactions API.
fn status_of_word(word: &str) -> Option<u16> {
    Some(match word.to_ascii_lowercase().as_str() {
        "invalid_argument"
        | "failed_precondition"
        | "out_of_range"
        | "invalid_request"
        | "parameter_unknown" => 400,
        "unauthenticated" | "authentication" => 401,
        "payment_required" => 402,
        "permission_denied" => 403,
        "not_found" | "model_not_found" => 404,
        "aborted" | "already_exists" => 409,
        "resource_exhausted" | "rate_limit_exceeded" | "quota_exceeded" | "too_many_requests" => 429,
        "cancelled" => 499,
        "internal" | "unknown" | "data_loss" => 500,
        "unimplemented" => 501,
        "unavailable" | "service_unavailable" => 503,
        "deadline_exceeded" => 504,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_commas_go_and_those_in_strings_stay() {
        for (text, clean) in [
            ("[1,,2]", "[1,2]"),
            ("[1,\n ,2,]", "[1\n ,2]"),
            (r#"{,"a": "x,}\",,",}"#, r#"{"a": "x,}\",,"}"#),
            ("[,]", "[]"),
            ("[1,,,]", "[1]"),
        ] {
            let value: Value = serde_json::from_str(clean).unwrap();
            assert_eq!(lenient_json(text), Some(value), "{text}");
        }
    }

    #[test]
    fn wrappers_without_end_are_not_followed() {
        let mut text = r#"{"error":{"code":429,"message":"m"}}"#.to_owned();
        for _ in 0..8 {
            text = serde_json::json!({"error": {"code": 500, "message": text}}).to_string();
        }
        assert!(matches!(read(&text), Body::Error(_)));
    }

    #[test]
    fn delays() {
        for (text, nanos) in
            [("56s", 56_000_000_000), ("45.837906927s", 45_837_906_927), ("900ms", 900_000_000)]
        {
            assert_eq!(parse_delay(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["0s", "-1s", "", "s", "1e99s", "99999999999999999999s", "inf"] {
            assert_eq!(parse_delay(text), None, "{text}");
        }
    }
}
