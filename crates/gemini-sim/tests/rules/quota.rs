//! Windows, days, keys and models, in virtual time.

use gemini_sim::{Attempt, Call, Config, Credential, Engine, Limits, Project, Reply, Ruling, Window};
use serde_json::Value;

use crate::{MODEL, NOON, PROMPT, call, config, detail, engine, error, limited, rulings, status};

#[test]
fn a_quota_belongs_to_project_and_model_not_to_the_key() {
    let mut engine = limited(Limits::default().rpm(2), Window::Sliding);
    assert_eq!(status(&mut engine, NOON, "secret-a1"), Some(200));
    assert_eq!(status(&mut engine, NOON, "secret-a2"), Some(200));
    assert_eq!(status(&mut engine, NOON, "secret-a1"), Some(429), "siblings share");
    assert_eq!(status(&mut engine, NOON, "secret-b1"), Some(200), "another project does not");
    let other = Call::generate("secret-a1", "gemini-3.6-flash", PROMPT);
    assert_eq!(engine.arrive(NOON, &other).status(), Some(200), "nor another model");
    let alias = Call::generate("secret-a1", "gemini-flash-latest", PROMPT);
    assert_eq!(engine.arrive(NOON, &alias).status(), Some(429), "an alias counts for its model");
}

#[test]
fn each_window_denies_just_before_and_grants_at_the_time_that_it_names() {
    let windows = [
        (Window::Fixed { phase_ms: 0 }, 60_000),
        (Window::Fixed { phase_ms: 36_300 }, 36_300),
        (Window::Sliding, 60_000),
        (Window::Bucket { burst: 1.0 }, 6_000),
        (Window::Bucket { burst: 0.1 }, 6_000),
    ];
    for (window, wait) in windows {
        let mut engine = limited(Limits::default().rpm(10), window);
        while status(&mut engine, NOON, "secret-a1") == Some(200) {}
        let refused = engine.arrive(NOON, &call("secret-a1"));
        let delay = detail(&error(&refused), "RetryInfo")["retryDelay"].as_str().unwrap().to_owned();
        let named: f64 = delay.strip_suffix('s').unwrap().parse().unwrap();
        assert!((named * 1_000.0 - wait as f64).abs() < 0.5, "{window:?}: {delay}");
        assert_eq!(status(&mut engine, NOON + wait - 1, "secret-a1"), Some(429), "{window:?}");
        assert_eq!(status(&mut engine, NOON + wait, "secret-a1"), Some(200), "{window:?}");
    }
}

#[test]
fn no_window_grants_more_than_its_rule_in_any_minute() {
    for (window, most) in [
        (Window::Sliding, 10),
        (Window::Fixed { phase_ms: 12_345 }, 20),
        (Window::Bucket { burst: 1.0 }, 20),
        (Window::Bucket { burst: 0.2 }, 12),
    ] {
        let mut engine = limited(Limits::default().rpm(10), window);
        for step in 0..6_000 {
            status(&mut engine, NOON + step * 100, "secret-a1");
        }
        let granted: Vec<u64> = engine
            .attempts()
            .filter(|attempt| attempt.status == Some(200))
            .map(|attempt| attempt.time_ms)
            .collect();
        let busiest = granted
            .iter()
            .map(|start| granted.iter().filter(|at| (*start..start + 60_000).contains(at)).count());
        assert!(busiest.max().unwrap() <= most, "{window:?}");
        let per_minute = granted.len() as f64 / 10.0;
        assert!((10.0..=11.1).contains(&per_minute), "{window:?} grants {per_minute} a minute of 10");
    }
}

#[test]
fn tokens_are_charged_at_arrival_and_a_refused_call_is_not_charged() {
    for window in [Window::Fixed { phase_ms: 0 }, Window::Sliding, Window::Bucket { burst: 1.0 }] {
        let mut engine = limited(Limits::default().rpm(2).tpm(100), window);
        let with = |tokens| call("secret-a1").input_tokens(tokens);
        assert_eq!(engine.arrive(NOON, &with(60)).status(), Some(200), "{window:?}");
        let refused = engine.arrive(NOON, &with(41));
        let error_now = error(&refused);
        let violation = &detail(&error_now, "QuotaFailure")["violations"][0];
        assert_eq!(violation["quotaId"], "GenerateContentInputTokensPerModelPerMinute-FreeTier");
        assert_eq!(violation["quotaValue"], "100");
        assert_eq!(
            engine.arrive(NOON, &with(40)).status(),
            Some(200),
            "{window:?}: the refused call took nothing"
        );
        let both = error(&engine.arrive(NOON, &with(1)));
        let violations = detail(&both, "QuotaFailure")["violations"].as_array().unwrap();
        assert_eq!(violations.len(), 2, "{window:?}: both limits are full: {violations:?}");
    }
}

#[test]
fn a_prompt_counts_four_characters_a_token_rounded_up() {
    let mut engine = engine(config(Limits::default()));
    let reply = engine.arrive(NOON, &Call::generate("secret-a1", MODEL, "12345")).reply;
    let Reply::Answer(answer) = reply else { panic!("{reply:?}") };
    assert_eq!(answer.usage.prompt_token_count, 2);
    assert_eq!(answer.usage.candidates_token_count, gemini_sim::tokens(answer.text.chars().count()));
    assert_eq!(answer.usage.total_token_count, 2 + answer.usage.candidates_token_count);
}

#[test]
fn the_day_ends_at_midnight_in_los_angeles_on_ordinary_and_on_both_dst_days() {
    // Last millisecond of each day, UTC: winter 08:00; the 23-hour day 07:00; the 25-hour day 08:00.
    for (noon, midnight) in [
        (NOON, 1_767_686_400_000),              // 2026-01-05 -> 2026-01-06T08:00Z
        (1_772_996_400_000, 1_773_039_600_000), // 2026-03-08T19:00Z -> 2026-03-09T07:00Z
        (1_793_563_200_000, 1_793_606_400_000), // 2026-11-01T20:00Z -> 2026-11-02T08:00Z
    ] {
        let mut engine = Engine::new(config(Limits::default().rpd(2)), 7, noon).unwrap();
        assert_eq!(status(&mut engine, noon, "secret-a1"), Some(200));
        assert_eq!(status(&mut engine, noon, "secret-a2"), Some(200));
        let refused = engine.arrive(midnight - 1, &call("secret-a1"));
        let error = error(&refused);
        let violation = &detail(&error, "QuotaFailure")["violations"][0];
        assert_eq!(violation["quotaId"], "GenerateRequestsPerDayPerProjectPerModel-FreeTier");
        assert_eq!(violation["quotaValue"], "2");
        assert_eq!(detail(&error, "RetryInfo")["retryDelay"], "0.001s", "as useless as Gemini's");
        assert_eq!(status(&mut engine, midnight, "secret-a1"), Some(200));
        assert_eq!(engine.attempts().nth(2).unwrap().verdict, Ruling::RequestsPerDay);
    }
}

#[test]
fn a_limit_of_zero_says_limit_0_and_never_grants() {
    let mut engine = limited(Limits::default().rpm(0).rpd(0), Window::Bucket { burst: 1.0 });
    let refused = engine.arrive(NOON, &call("secret-a1"));
    let message = error(&refused)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("limit: 0, model: gemini-3.8-flash"), "{message}");
    assert!(!error(&refused)["details"].to_string().contains("quotaId"));
    assert_eq!(status(&mut engine, NOON + 86_400_000, "secret-a1"), Some(429));
    assert_eq!(rulings(&engine), [Ruling::NoQuota; 2]);
}

#[test]
fn a_paid_project_has_quota_names_without_the_free_tier() {
    let mut paid = Project::new("paid").key("p", "secret-p").limit(MODEL, Limits::default().rpm(0).rpd(1));
    paid.tier = gemini_sim::Tier::Paid;
    paid.limits.insert(MODEL.to_owned(), Limits::default().rpd(1));
    let mut engine = engine(Config::default().project(paid));
    status(&mut engine, NOON, "secret-p");
    let violation =
        detail(&error(&engine.arrive(NOON, &call("secret-p"))), "QuotaFailure")["violations"][0].clone();
    assert_eq!(violation["quotaId"], "GenerateRequestsPerDayPerProjectPerModel");
    assert_eq!(
        violation["quotaMetric"],
        "generativelanguage.googleapis.com/generate_requests_per_model_per_day"
    );
}

#[test]
fn credentials_are_told_apart() {
    let mut engine = engine(config(Limits::default()));
    let mut with = |credential| {
        let verdict = engine.arrive(NOON, &Call { credential, ..call("") });
        (verdict.status(), if verdict.status() == Some(200) { Value::Null } else { error(&verdict) })
    };
    let (missing, error) = with(Credential::Header(" "));
    assert_eq!((missing, error["status"].as_str()), (Some(403), Some("PERMISSION_DENIED")));
    assert!(error["message"].as_str().unwrap().starts_with("Method doesn't allow unregistered callers"));
    let (unknown, error) = with(Credential::Header("nobody's"));
    assert_eq!((unknown, error["details"][0]["reason"].as_str()), (Some(400), Some("API_KEY_INVALID")));
    assert_eq!(with(Credential::Bearer).0, Some(401));
    assert_eq!(with(Credential::Several).0, Some(400));
    assert_eq!(with(Credential::Url("secret-a1")).0, Some(200));
    let record: Vec<&Attempt> = engine.attempts().collect();
    assert!(record[..4].iter().all(|attempt| attempt.key_id.is_none() && !attempt.key_in_url));
    assert!(record[4].key_in_url && record[4].key_id.as_deref() == Some("a1"));
    assert!(!format!("{record:?}").contains("secret-a1"));
}

#[test]
fn models_answer_404_when_unknown_and_aliases_name_who_answered() {
    let mut engine = engine(config(Limits::default()));
    let gone = engine.arrive(NOON, &Call::generate("secret-a1", "gemini-2.0-flash", PROMPT));
    assert_eq!(error(&gone)["status"], "NOT_FOUND");
    let Reply::Answer(answer) =
        engine.arrive(NOON, &Call::generate("secret-a1", "gemini-flash-latest", "")).reply
    else {
        panic!("no answer")
    };
    assert_eq!(&*answer.model_version, "gemini-3.8-flash");
}

#[test]
fn a_prompt_beyond_the_models_limit_is_the_callers_fault_and_costs_nothing() {
    let mut engine = limited(Limits::default().rpm(1), Window::Sliding);
    let long = engine.arrive(NOON, &call("secret-a1").input_tokens(1_048_577));
    assert!(error(&long)["message"].as_str().unwrap().contains("(1048577) exceeds"));
    assert_eq!(status(&mut engine, NOON, "secret-a1"), Some(200));
}
