//! Error replies, worded as Gemini words them.

use serde::Serialize;
use serde_json::{Value, json};

/// A refused call, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `content-type` header. Gemini sends no `retry-after`: delays are in the body.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// The content type of everything but streams.
pub(crate) const JSON: &str = "application/json; charset=UTF-8";

const SERVICE: &str = "generativelanguage.googleapis.com";

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u16,
    message: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Value>,
}

/// The canonical status of an HTTP code, as Google maps them.
fn canonical(code: u16, message: &str) -> &'static str {
    match code {
        400 if message == LOCATION_UNSUPPORTED => "FAILED_PRECONDITION",
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "UNKNOWN",
    }
}

/// The bare JSON of an error, as replies and broken streams carry it.
pub(crate) fn envelope(code: u16, message: &str, details: Vec<Value>, pretty: bool) -> String {
    let status = canonical(code, message);
    let envelope = Envelope { error: ErrorBody { code, message, status, details } };
    let text =
        if pretty { serde_json::to_string_pretty(&envelope) } else { serde_json::to_string(&envelope) };
    text.unwrap_or_default() // strings and numbers always serialize
}

pub(crate) fn refusal(code: u16, message: &str, details: Vec<Value>) -> Refusal {
    let body = envelope(code, message, details, true);
    Refusal { status: code, content_type: JSON.to_owned(), body }
}

/// `google.rpc.ErrorInfo`.
fn error_info(reason: &str, metadata: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": metadata,
    })
}

pub(crate) fn key_invalid(message: &str) -> Refusal {
    let localized = json!({
        "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
        "locale": "en-US",
        "message": message,
    });
    refusal(400, message, vec![error_info("API_KEY_INVALID", &json!({"service": SERVICE})), localized])
}

pub(crate) const KEY_NOT_VALID: &str = "API key not valid. Please pass a valid API key.";
pub(crate) const KEY_EXPIRED: &str = "API key expired. Please renew the API key.";

pub(crate) fn key_missing() -> Refusal {
    let message = "Method doesn't allow unregistered callers (callers without established identity). Please use API \
                   Key or other form of API consumer identity to call this API.";
    refusal(403, message, Vec::new())
}

pub(crate) fn several_credentials() -> Refusal {
    refusal(400, "Multiple authentication credentials received. Please pass only one.", Vec::new())
}

pub(crate) fn unauthenticated() -> Refusal {
    let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                   other valid authentication credential. See \
                   https://developers.google.com/identity/sign-in/web/devconsole-project.";
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "metadata": {
            "service": SERVICE,
            "method": "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent",
        },
    });
    refusal(401, message, vec![info])
}

pub(crate) fn key_leaked() -> Refusal {
    refusal(403, "Your API key was reported as leaked. Please use another API key.", Vec::new())
}

/// Prints the caller's key, as Google does: what must never reach a log.
pub(crate) fn key_suspended(secret: &str, project_number: u64) -> Refusal {
    let container = format!("api_key:{secret}");
    let metadata = json!({
        "service": SERVICE,
        "consumer": format!("projects/{project_number}"),
        "containerInfo": container,
    });
    let message = format!("Permission denied: Consumer '{container}' has been suspended.");
    refusal(403, &message, vec![error_info("CONSUMER_SUSPENDED", &metadata)])
}

pub(crate) fn key_ip_blocked(project_number: u64) -> Refusal {
    let metadata = json!({"service": SERVICE, "consumer": format!("projects/{project_number}")});
    refusal(
        403,
        "The provided API key has an IP address restriction. The originating IP address of the call (127.0.0.1) \
         violates this restriction.",
        vec![error_info("API_KEY_IP_ADDRESS_BLOCKED", &metadata)],
    )
}

pub(crate) fn project_denied() -> Refusal {
    refusal(403, "Your project has been denied access. Please contact support.", Vec::new())
}

pub(crate) fn service_disabled(number: u64) -> Refusal {
    let url = format!("https://console.developers.google.com/apis/api/{SERVICE}/overview?project={number}");
    let message = format!(
        "Generative Language API has not been used in project {number} before or it is disabled. Enable it by visiting \
         {url} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our \
         systems and retry."
    );
    let help = json!({
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{"description": "Google developers console API activation", "url": &url}],
    });
    let metadata = json!({
        "service": SERVICE,
        "serviceTitle": "Generative Language API",
        "consumer": format!("projects/{number}"),
        "containerInfo": number.to_string(),
        "activationUrl": &url,
    });
    refusal(403, &message, vec![help, error_info("SERVICE_DISABLED", &metadata)])
}

pub(crate) fn out_of_credit() -> Refusal {
    let message = "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to \
                   manage your project and billing.";
    refusal(429, message, Vec::new())
}

const LOCATION_UNSUPPORTED: &str = "User location is not supported for the API use.";

pub(crate) fn location_unsupported() -> Refusal {
    refusal(400, LOCATION_UNSUPPORTED, Vec::new())
}

pub(crate) fn too_many_tokens(count: u64, limit: u64) -> Refusal {
    let message =
        format!("The input token count ({count}) exceeds the maximum number of tokens allowed ({limit}).");
    refusal(400, &message, Vec::new())
}

/// A request that does not fit the schema; `field` as the API names it, empty if the whole body is meant.
pub(crate) fn bad_request(field: &str, message: &str) -> Refusal {
    let violation = match field {
        "" => json!({"description": message}),
        _ => json!({"field": field, "description": message}),
    };
    let details =
        json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]});
    refusal(400, message, vec![details])
}

/// What a model says that cannot be held to JSON.
pub(crate) fn no_json_mode(model: &str) -> Refusal {
    refusal(400, &format!("JSON mode is not enabled for models/{model}"), Vec::new())
}

pub(crate) fn model_missing(model: &str, version: &str, method: &str) -> Refusal {
    let message = format!(
        "models/{model} is not found for API version {version}, or is not supported for {method}. Call ListModels to \
         see the list of available models and their supported methods."
    );
    refusal(404, &message, Vec::new())
}

pub(crate) const QUOTA_BARE: &str = "Resource has been exhausted (e.g. check quota).";

pub(crate) fn quota_bare() -> Refusal {
    refusal(429, QUOTA_BARE, Vec::new())
}

pub(crate) fn capacity_exhausted() -> Refusal {
    let info = error_info("MODEL_CAPACITY_EXHAUSTED", &json!({"service": SERVICE}));
    refusal(429, "No capacity available for this model.", vec![info])
}

pub(crate) const OVERLOADED: &str = "The model is overloaded. Please try again later.";

pub(crate) fn overloaded() -> Refusal {
    refusal(503, OVERLOADED, Vec::new())
}

pub(crate) fn internal() -> Refusal {
    let message = "An internal error has occurred. Please retry or report in \
                   https://developers.generativeai.google/guide/troubleshooting";
    refusal(500, message, Vec::new())
}

pub(crate) fn deadline_exceeded() -> Refusal {
    refusal(504, "Deadline expired before operation could complete.", Vec::new())
}
