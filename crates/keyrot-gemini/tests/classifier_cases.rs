//! The shared cases of `gemini-errors.json`, each a test of its own name.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use keyrot_core::{Blame, Effect, Outcome, Quota};
use keyrot_gemini::classify;
use serde_json::Value;

static FILE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("gemini-errors.json")).expect("the file of cases"));

fn cases() -> &'static Vec<Value> {
    FILE["cases"].as_array().expect("a list of cases")
}

macro_rules! each_case {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

each_case! {
    minute_requests_free
    day_requests_beats_short_retry_delay
    minute_input_tokens
    several_violations_worst_wins
    limit_zero_is_no_quota_at_all
    bare_429
    message_only_delay
    capacity_exhausted_is_the_models_fault
    prepay_depleted
    key_invalid
    key_expired
    key_leaked
    key_suspended_body_prints_the_key
    unauthenticated
    key_ip_restricted
    api_not_enabled_in_project
    project_denied
    location_unsupported
    too_many_input_tokens
    bad_field
    model_not_found
    overloaded
    high_demand
    internal
    deadline
    array_wrapped
    html_from_a_proxy
    empty_body
}

#[test]
fn every_case_of_the_file_is_tested() {
    let names: Vec<&str> = cases().iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(names, TESTED);
}

fn check(name: &str) {
    let case = cases().iter().find(|case| case["name"] == name).expect("a case of this name");
    let status = u16::try_from(case["http_status"].as_u64().unwrap()).unwrap();
    let outcome = classify(status, None, case["body"].as_str().unwrap());
    let expect = case["expect"].as_object().unwrap();
    for (field, value) in expect {
        match field.as_str() {
            "scope" => assert_eq!(scope(outcome.blame), value, "{outcome:?}"),
            "effect" => assert_eq!(outcome.effect.name(), value, "{outcome:?}"),
            "try_another" => assert_eq!(try_another(&outcome), value, "{outcome:?}"),
            "retry_after_s" => {
                assert_eq!(
                    outcome.retry_after.map(|delay| delay.as_secs_f64()),
                    value.as_f64(),
                    "{outcome:?}"
                );
            }
            "learned" => {
                let learned = outcome.learned.expect("a learned limit");
                assert_eq!(
                    (quota(learned.quota), learned.value),
                    (value["quota"].as_str().unwrap(), value["value"].as_u64())
                );
            }
            "learned_project" => assert_eq!(outcome.learned_project.as_deref(), value.as_str()),
            "must_not_log" => {
                assert!(!format!("{outcome:?}").contains(value.as_str().unwrap()), "{outcome:?}");
            }
            unknown => panic!("the file has a new expectation: {unknown}"),
        }
    }
    if !expect.contains_key("learned") {
        assert_eq!(
            outcome.learned.and_then(|learned| learned.value),
            None,
            "nothing to learn from: {outcome:?}"
        );
    }
    assert!(!outcome.detail.is_empty() && outcome.detail.chars().count() <= 300, "{outcome:?}");
}

fn scope(blame: Blame) -> &'static str {
    match blame {
        Blame::Caller => "caller",
        Blame::Host => "host",
        Blame::Key => "key",
        Blame::Model => "model",
        Blame::Project => "project",
        Blame::ProjectModel => "project_model",
        Blame::Service => "service",
        other => panic!("a new blame: {other:?}"),
    }
}

fn quota(quota: Quota) -> &'static str {
    match quota {
        Quota::RequestsPerDay => "rpd",
        Quota::RequestsPerMinute => "rpm",
        Quota::TokensPerMinute => "tpm",
        other => panic!("a new quota: {other:?}"),
    }
}

/// Where another try can help follows from the effect alone.
fn try_another(outcome: &Outcome) -> &'static str {
    match outcome.effect {
        Effect::KeyRejected => "any_other_key",
        Effect::Fail => "none",
        Effect::ModelMissing => "other_model",
        Effect::Overload => "other_project_then_model",
        Effect::Transient => "same_or_other_key",
        _ => "other_project",
    }
}
