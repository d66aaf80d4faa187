//! Every variable of docs/configuration.md: its default, a good value, a bad one.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::path::Path;
use std::time::Duration;

use keyrot::{DEFAULT_MODEL, Settings, Vars};

fn settings(pairs: &[(&str, &str)]) -> Settings {
    Settings::from_vars(&Vars::from_iter(pairs.iter().copied())).unwrap()
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    Settings::from_vars(&Vars::from_iter(pairs.iter().copied())).unwrap_err().problems().to_vec()
}

#[test]
fn defaults() {
    let settings = settings(&[]);
    assert!(!settings.rotates());
    assert_eq!(settings.keys_path(), Path::new("keys.json"));
    assert_eq!(settings.default_model().as_str(), DEFAULT_MODEL);
    assert_eq!(settings.secret_store(), "env");
    assert_eq!(settings.secret_ttl(), Duration::from_secs(300));
    assert_eq!(settings.base_url(), None);
    assert_eq!(settings.cooldown().base, Duration::from_secs(30));
    assert_eq!(settings.cooldown().max, Duration::from_secs(900));
}

#[test]
fn good_values() {
    let settings = settings(&[
        ("ENABLE_KEY_ROTATION", " Yes "),
        ("SECRET_STORE_TYPE", "ENV"),
        ("KEYROT_KEYS_FILE", "etc/my keys.json"),
        ("KEYROT_MODEL", "models/gemini-2.5-pro"),
        ("KEYROT_SECRET_CONNECT_TIMEOUT", "1s"),
        ("KEYROT_SECRET_TIMEOUT", "3s"),
        ("KEYROT_SECRET_TTL", "90"),
        ("KEYROT_COOLDOWN_BASE", "500ms"),
        ("KEYROT_COOLDOWN_MAX", "1h"),
        ("KEYROT_ENV_FILE", "other.env"),
        ("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:8600"),
    ]);
    assert!(settings.rotates());
    assert_eq!(settings.secret_store(), "env");
    assert_eq!(settings.keys_path(), Path::new("etc/my keys.json"));
    assert_eq!(settings.default_model().as_str(), "gemini-2.5-pro");
    assert_eq!(settings.secret_ttl(), Duration::from_secs(90));
    assert_eq!(settings.secret_timeouts().connect, Duration::from_secs(1));
    assert_eq!(settings.secret_timeouts().total, Duration::from_secs(3));
    assert_eq!(settings.cooldown().base, Duration::from_millis(500));
    assert_eq!(settings.cooldown().max, Duration::from_secs(3600));
    assert_eq!(settings.base_url(), Some("http://127.0.0.1:8600"));
}

#[test]
fn empty_is_unset() {
    let empty = [
        "ENABLE_KEY_ROTATION",
        "SECRET_STORE_TYPE",
        "KEYROT_KEYS_FILE",
        "KEYROT_MODEL",
        "KEYROT_SECRET_TTL",
        "KEYROT_COOLDOWN_BASE",
        "KEYROT_COOLDOWN_MAX",
        "KEYROT_ENV_FILE",
        "GOOGLE_GEMINI_BASE_URL",
        "REDIS_URL",
    ]
    .map(|name| (name, ""));
    let settings = settings(&empty);
    assert!(!settings.rotates());
    assert_eq!(settings.keys_path(), Path::new("keys.json"));
    assert_eq!(settings.default_model().as_str(), DEFAULT_MODEL);
}

#[test]
fn bad_values_are_named_with_what_is_allowed() {
    for (name, value, allowed) in [
        ("ENABLE_KEY_ROTATION", "maybe", "true or false"),
        ("KEYROT_COOLDOWN_BASE", "soon", "30s"),
        ("KEYROT_COOLDOWN_BASE", "0", "more than 0"),
        ("KEYROT_COOLDOWN_MAX", "-1s", "30s"),
        ("GOOGLE_GEMINI_BASE_URL", "generativelanguage.googleapis.com", "https://"),
    ] {
        let problems = problems(&[(name, value)]);
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert!(problem.starts_with(name) && problem.contains(allowed), "{problem}");
    }
}

#[test]
fn a_base_longer_than_the_maximum_names_both() {
    let problems = problems(&[("KEYROT_COOLDOWN_BASE", "2m"), ("KEYROT_COOLDOWN_MAX", "1m")]);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("KEYROT_COOLDOWN_BASE (120s)"), "{problems:?}");
    assert!(problems[0].contains("KEYROT_COOLDOWN_MAX (60s)"), "{problems:?}");
}

#[test]
fn a_connection_may_not_take_longer_than_the_read_it_is_for() {
    let rotation = ("ENABLE_KEY_ROTATION", "on");
    let settings = settings(&[rotation, ("KEYROT_SECRET_TIMEOUT", "1s")]);
    assert_eq!(settings.secret_timeouts().connect, Duration::from_secs(1), "the default of 2 s is cut");
    settings.check().unwrap();
    let vars = [rotation, ("KEYROT_SECRET_TIMEOUT", "1s"), ("KEYROT_SECRET_CONNECT_TIMEOUT", "3s")];
    let error =
        Settings::from_vars(&Vars::from_iter(vars)).and_then(|settings| settings.check()).unwrap_err();
    assert!(error.to_string().starts_with("KEYROT_SECRET_CONNECT_TIMEOUT (3s) is longer"), "{error}");
}

#[test]
fn all_problems_come_at_once() {
    let problems = problems(&[
        ("ENABLE_KEY_ROTATION", "on"),
        ("KEYROT_COOLDOWN_BASE", "x"),
        ("KEYROT_SECRET_TTL", "y"),
        ("KEYROT_KEY_FILE", "z"),
    ]);
    for name in ["KEYROT_COOLDOWN_BASE", "KEYROT_SECRET_TTL", "KEYROT_KEY_FILE"] {
        assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name}: {problems:?}");
    }
}

#[test]
fn an_unknown_variable_of_ours_is_an_error_that_names_the_nearest() {
    let problem = problems(&[("KEYROT_KEY_FILE", "keys.json")]).remove(0);
    assert_eq!(problem, "KEYROT_KEY_FILE is not a variable of keyrot; did you mean KEYROT_KEYS_FILE?");
    let problem = problems(&[("KEYROT_XYZZY_PLUGH", "1")]).remove(0);
    assert!(problem.contains("allowed: KEYROT_COOLDOWN_BASE, "), "{problem}");
}

#[test]
fn a_secret_in_a_url_is_not_repeated() {
    let problems = problems(&[("GOOGLE_GEMINI_BASE_URL", "ftp://user:sentinel@host")]);
    assert!(!problems[0].contains("sentinel"), "{problems:?}");
}

#[test]
fn the_caller_overrides_rotation_and_the_file() {
    let off = settings(&[("ENABLE_KEY_ROTATION", "true")]).rotation(Some(false));
    assert!(!off.rotates());
    let on = settings(&[]).rotation(Some(true)).rotation(None).keys_file("other.json");
    assert!(on.rotates());
    assert_eq!(on.keys_path(), Path::new("other.json"));
}
