//! Bodies that were seen or are documented, but are not in the shared file of cases.

use std::time::Duration;

use keyrot_core::{Blame, Effect, LearnedLimit, Outcome, Quota};
use keyrot_gemini::classify;
use serde_json::{Value, json};

/// The verdict on an error in Google's envelope.
fn refused(code: u16, status: &str, message: &str, details: Value) -> Outcome {
    let body = json!({"error": {"code": code, "message": message, "status": status, "details": details}});
    classify(code, None, &body.to_string())
}

fn info(reason: &str, metadata: Value) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
        "metadata": metadata})
}

fn quota_failure(violations: Value) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations})
}

fn retry_info(delay: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
}

#[track_caller]
fn expect(outcome: &Outcome, blame: Blame, effect: Effect) {
    assert_eq!((outcome.blame, outcome.effect), (blame, effect), "{outcome:?}");
}

#[test]
fn restrictions_of_a_key_reject_the_key() {
    for (reason, message) in [
        (
            "API_KEY_SERVICE_BLOCKED",
            "Requests to this API generativelanguage.googleapis.com method google.ai.generativelanguage.v1beta.GenerativeService.StreamGenerateContent are blocked.",
        ),
        ("API_KEY_HTTP_REFERRER_BLOCKED", "Requests from referer <empty> are blocked."),
        ("API_KEY_IP_ADDRESS_BLOCKED", "The provided API key has an IP address restriction."),
        ("API_KEY_ANDROID_APP_BLOCKED", "Requests from this Android client application <empty> are blocked."),
    ] {
        let outcome = refused(
            403,
            "PERMISSION_DENIED",
            message,
            json!([info(reason, json!({"consumer": "projects/42"}))]),
        );
        expect(&outcome, Blame::Key, Effect::KeyRejected);
        assert_eq!(outcome.learned_project.as_deref(), Some("42"));
        expect(&refused(403, "PERMISSION_DENIED", message, json!(null)), Blame::Key, Effect::KeyRejected);
    }
}

#[test]
fn a_call_without_a_key_is_our_own_fault() {
    let message = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.";
    expect(&refused(403, "PERMISSION_DENIED", message, json!([])), Blame::Caller, Effect::Fail);
    let outcome = refused(
        401,
        "UNAUTHENTICATED",
        "Request is missing required authentication credential.",
        json!([info("CREDENTIALS_MISSING", json!({}))]),
    );
    expect(&outcome, Blame::Caller, Effect::Fail);
}

/// The key may be fine for other models: the narrowest scope rests, and the pool's schedule tries again.
#[test]
fn a_missing_permission_does_not_poison_the_key() {
    let outcome = refused(403, "PERMISSION_DENIED", "The caller does not have permission", json!([]));
    expect(&outcome, Blame::ProjectModel, Effect::Cooldown);
    assert_eq!(outcome.retry_after, None);
}

#[test]
fn a_resource_of_another_project_is_the_callers_affair() {
    for message in [
        "CachedContent not found (or permission denied)",
        "You do not have permission to access the File abc or it may not exist.",
    ] {
        expect(&refused(403, "PERMISSION_DENIED", message, json!([])), Blame::Caller, Effect::Fail);
    }
}

#[test]
fn deadlines_and_cancellations_blame_nobody() {
    expect(
        &refused(504, "DEADLINE_EXCEEDED", "The request timed out. Please try again.", json!([])),
        Blame::Service,
        Effect::Transient,
    );
    expect(
        &refused(499, "CANCELLED", "The operation was cancelled.", json!([])),
        Blame::Service,
        Effect::Transient,
    );
    expect(
        &refused(503, "UNAVAILABLE", "Deadline expired before operation could complete.", json!([])),
        Blame::Service,
        Effect::Transient,
    );
}

#[test]
fn payment_is_the_projects_affair() {
    for (code, message) in [
        (402, "Payment required."),
        (400, "Your credit balance is too low to access the API."),
        (429, "Your project has exceeded its monthly spending cap."),
        (403, "This API method requires billing to be enabled."),
    ] {
        expect(&refused(code, "", message, json!([])), Blame::Project, Effect::OutOfCredit);
    }
    expect(&classify(402, None, ""), Blame::Project, Effect::OutOfCredit);
}

#[test]
fn a_spend_limit_rests_the_project() {
    let outcome = refused(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded the spend limit of your tier. Please retry in 90s.",
        json!([]),
    );
    expect(&outcome, Blame::Project, Effect::Cooldown);
    assert_eq!(outcome.retry_after, Some(Duration::from_secs(90)));
}

#[test]
fn an_error_inside_a_message_is_the_one_that_counts() {
    let inner = json!({"error": {"code": 429, "message": "Quota exceeded. Please retry in 5s.", "status": "RESOURCE_EXHAUSTED"}}).to_string();
    for body in [
        json!({"error": {"code": 500, "message": inner, "status": "Internal Server Error"}}).to_string(),
        json!({"error": {"message": format!("got status: 429 Too Many Requests. {inner}")}}).to_string(),
        json!([{"error": {"code": 500, "message": json!({"error": {"message": inner}}).to_string()}}])
            .to_string(),
        json!(inner).to_string(),
        format!("got status: 429. {inner}"),
    ] {
        let outcome = classify(500, None, &body);
        expect(&outcome, Blame::ProjectModel, Effect::Cooldown);
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(5)), "{body}");
    }
}

#[test]
fn string_codes_of_the_interactions_api() {
    for (status, code, blame, effect) in [
        (429, "rate_limit_exceeded", Blame::Project, Effect::Cooldown),
        (429, "too_many_requests", Blame::Project, Effect::Cooldown),
        (429, "quota_exceeded", Blame::Project, Effect::Cooldown),
        (401, "authentication", Blame::Key, Effect::KeyRejected),
        (403, "permission_denied", Blame::ProjectModel, Effect::Cooldown),
        (404, "model_not_found", Blame::Model, Effect::ModelMissing),
        (400, "invalid_request", Blame::Caller, Effect::Fail),
        (400, "parameter_unknown", Blame::Caller, Effect::Fail),
        (400, "failed_precondition", Blame::Caller, Effect::Fail),
        (400, "out_of_range", Blame::Caller, Effect::Fail),
        (402, "payment_required", Blame::Project, Effect::OutOfCredit),
        (503, "service_unavailable", Blame::Model, Effect::Overload),
        (504, "deadline_exceeded", Blame::Service, Effect::Transient),
    ] {
        let error = json!({"code": code, "message": "words"});
        expect(&classify(status, None, &json!({"error": error}).to_string()), blame, effect);
        // In a stream the status was 200 long ago.
        expect(
            &classify(200, None, &json!({"event_type": "error", "error": error}).to_string()),
            blame,
            effect,
        );
    }
}

#[test]
fn unknown_details_and_shapes_end_in_nothing_terminal() {
    let unknown = json!([{"@type": "type.googleapis.com/google.rpc.New", "x": [1]}, 7, null, {"@type": 3}, info("NEW_REASON", json!(null))]);
    expect(&refused(429, "RESOURCE_EXHAUSTED", "words", unknown.clone()), Blame::Project, Effect::Cooldown);
    expect(&refused(503, "UNAVAILABLE", "words", unknown), Blame::Model, Effect::Overload);
    for (status, body, blame, effect) in [
        (418, r#"{"detail": "teapot"}"#, Blame::Service, Effect::Transient),
        (429, r#"{"detail": "slow down"}"#, Blame::Project, Effect::Cooldown),
        (500, "null", Blame::Service, Effect::Transient),
        (403, "RBAC: access denied", Blame::ProjectModel, Effect::Cooldown),
        (404, "404 page not found", Blame::Service, Effect::Transient),
        (503, "upstream connect error or disconnect/reset before headers", Blame::Service, Effect::Transient),
        (599, r#"{"error": {"code": 7, "message": []}}"#, Blame::Service, Effect::Transient),
        (400, r#"{"error": "invalid_grant"}"#, Blame::Service, Effect::Transient),
        (0, "", Blame::Service, Effect::Transient),
        (200, r#"{"error": {}}"#, Blame::Service, Effect::Transient),
        (200, "", Blame::Service, Effect::Transient),
    ] {
        expect(&classify(status, None, body), blame, effect);
    }
}

#[test]
fn commas_too_many_and_spaces_in_names_are_forgiven() {
    let body = r#"{"error": {"code": 429,, "message": "words, and ,} more", "status": "RESOURCE_EXHAUSTED", "details": [
        {" @type ": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
            {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaMetric": "requests", "quotaValue": "20"},]},
        ,{"@type ": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"},
    ],}}"#;
    let outcome = classify(429, None, body);
    expect(&outcome, Blame::ProjectModel, Effect::UntilPacificMidnight);
    assert_eq!(outcome.learned, Some(LearnedLimit { quota: Quota::RequestsPerDay, value: Some(20) }));
    assert!(outcome.detail.ends_with("words, and ,} more"), "{outcome:?}");
}

#[test]
fn an_anti_bot_page_blames_this_machine_whatever_its_status() {
    let page = "<html><head><title>Sorry...</title></head><body>We're sorry... but your computer or network may be sending automated queries.</body></html>";
    for status in [200, 403, 429, 503] {
        let outcome = classify(status, None, page);
        expect(&outcome, Blame::Host, Effect::Fail);
        assert!(outcome.detail.contains("Sorry..."), "{outcome:?}");
    }
}

#[test]
fn other_pages_blame_no_key() {
    let page = "<!DOCTYPE html><title>Login</title><form>API key not valid</form>";
    for status in [200, 400, 401, 402, 403, 404, 500, 502] {
        expect(&classify(status, None, page), Blame::Service, Effect::Transient);
    }
    expect(&classify(413, None, page), Blame::Caller, Effect::Fail);
    for status in [302, 407, 511] {
        expect(&classify(status, None, page), Blame::Host, Effect::Fail);
    }
}

#[test]
fn empty_bodies_are_judged_by_status() {
    for (status, blame, effect) in [
        (401, Blame::Key, Effect::KeyRejected),
        (403, Blame::ProjectModel, Effect::Cooldown),
        (429, Blame::Project, Effect::Cooldown),
        (500, Blame::Service, Effect::Transient),
        (503, Blame::Service, Effect::Transient),
    ] {
        expect(&classify(status, None, " \r\n"), blame, effect);
    }
}

#[test]
fn tokens_of_a_day_end_at_midnight_and_teach_no_limit_of_requests() {
    let violation = json!([{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count",
        "quotaId": "GenerateContentInputTokensPerModelPerDay-FreeTier", "quotaValue": "6000000"}]);
    let outcome =
        refused(429, "RESOURCE_EXHAUSTED", "words", json!([quota_failure(violation), retry_info("11s")]));
    expect(&outcome, Blame::ProjectModel, Effect::UntilPacificMidnight);
    assert_eq!((outcome.learned, outcome.retry_after), (None, None));
}

#[test]
fn a_quota_of_the_whole_project_rests_the_project() {
    let violation =
        json!([{"quotaMetric": "requests", "quotaId": "RequestsPerMinutePerProject", "quotaValue": "5"}]);
    let outcome = refused(429, "RESOURCE_EXHAUSTED", "words", json!([quota_failure(violation)]));
    expect(&outcome, Blame::Project, Effect::Cooldown);
    assert_eq!((outcome.learned, outcome.retry_after), (None, Some(Duration::from_secs(60))));
}

#[test]
fn the_order_of_violations_decides_nothing() {
    let mut violations = vec![
        json!({"quotaMetric": "free_tier_requests", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}),
        json!({"quotaMetric": "free_tier_input_token_count", "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier", "quotaValue": "250000"}),
        json!({"quotaMetric": "free_tier_requests", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "5"}),
    ];
    for _ in 0..violations.len() {
        violations.rotate_left(1);
        let outcome = refused(
            429,
            "RESOURCE_EXHAUSTED",
            "words",
            json!([retry_info("3s"), quota_failure(json!(violations))]),
        );
        expect(&outcome, Blame::ProjectModel, Effect::Cooldown);
        assert_eq!(outcome.learned, Some(LearnedLimit { quota: Quota::RequestsPerMinute, value: Some(5) }));
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(3)));
    }
}

#[test]
fn a_limit_of_zero_is_no_quota_in_each_of_its_forms() {
    let zero = json!([{"quotaMetric": "requests", "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "0"}]);
    let older = json!([info(
        "RATE_LIMIT_EXCEEDED",
        json!({"quota_limit": "GenerateContentRequestsPerMinutePerProjectPerRegion", "quota_limit_value": "0", "consumer": "projects/7"})
    )]);
    for outcome in [
        refused(429, "RESOURCE_EXHAUSTED", "words", json!([quota_failure(zero), retry_info("20s")])),
        refused(429, "RESOURCE_EXHAUSTED", "words", older),
        refused(429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0, model: gemini-2.5-pro", json!([])),
    ] {
        expect(&outcome, Blame::ProjectModel, Effect::NoQuota);
        assert_eq!(outcome.retry_after, None);
    }
}

#[test]
fn a_minute_without_a_delay_is_over_after_a_minute() {
    let violation =
        json!([{"quotaMetric": "requests", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]);
    for details in
        [json!([quota_failure(violation.clone())]), json!([quota_failure(violation), retry_info("0s")])]
    {
        let outcome = refused(429, "RESOURCE_EXHAUSTED", "words", details);
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(60)));
        assert_eq!(outcome.learned, Some(LearnedLimit { quota: Quota::RequestsPerMinute, value: None }));
    }
}

#[test]
fn delays_of_every_spelling() {
    for (delay, expected) in [
        ("56s", Some(56.0)),
        ("45.837906927s", Some(45.837_906_927)),
        ("900ms", Some(0.9)),
        ("1e9s", None),
        ("-3s", None),
    ] {
        let outcome = refused(429, "RESOURCE_EXHAUSTED", "words", json!([retry_info(delay)]));
        assert_eq!(outcome.retry_after.map(|delay| delay.as_secs_f64()), expected, "{delay}");
    }
}

#[test]
fn capacity_shared_by_all_is_the_models() {
    for (code, reason, message) in [
        (429, "MODEL_CAPACITY_EXCEEDED", "words"),
        (503, "MODEL_CAPACITY_EXHAUSTED", "words"),
        (
            429,
            "X",
            "Resource exhausted, please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429",
        ),
        (429, "X", "Too many requests. Exceeded the Provisioned Throughput."),
    ] {
        let outcome =
            refused(code, "RESOURCE_EXHAUSTED", message, json!([info(reason, json!({})), retry_info("2s")]));
        expect(&outcome, Blame::Model, Effect::Overload);
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(2)));
    }
}

#[test]
fn a_callers_own_field_named_like_a_key_blames_no_key() {
    let message =
        "Invalid value at 'tools[0].function_declarations[0].parameters.properties[api_key]' (TYPE), \"x\"";
    expect(&refused(400, "INVALID_ARGUMENT", message, json!([])), Blame::Caller, Effect::Fail);
}

#[test]
fn words_of_a_refusal_are_enough_without_details() {
    for (code, message) in [
        (400, "API key not valid. Please pass a valid API key."),
        (400, "API key expired. Please renew the API key."),
        (400, "API Key not found. Please pass a valid API key."),
        (403, "Your API key was reported as leaked. Please use another API key."),
    ] {
        expect(&refused(code, "", message, json!(null)), Blame::Key, Effect::KeyRejected);
    }
    let debug = json!([{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "Invalid API key: AIzaSyFAKE-sentinel-0000000000000000000"}]);
    let outcome = refused(400, "INVALID_ARGUMENT", "API key not valid.", debug);
    assert!(!format!("{outcome:?}").contains("sentinel"), "{outcome:?}");
}

#[test]
fn a_success_settles_its_tokens() {
    let outcome = classify(200, None, r#"{"candidates": [], "usageMetadata": {"promptTokenCount": 12}}"#);
    expect(&outcome, Blame::Service, Effect::Success);
    assert_eq!(outcome.usage.input_tokens, Some(12));
    let blocked = classify(200, None, r#"{"promptFeedback": {"blockReason": "SAFETY"}}"#);
    expect(&blocked, Blame::Service, Effect::Success);
}

#[test]
fn details_are_one_short_line() {
    let outcome = refused(400, "INVALID_ARGUMENT", &"a\nb\u{1b}[31m ".repeat(500), json!([]));
    assert!(
        outcome.detail.chars().count() <= 300 && !outcome.detail.contains(['\n', '\u{1b}']),
        "{outcome:?}"
    );
}
