//! `keyrot check`: what it finds, in words and as JSON, and the exit code.

use gemini_sim::{Config, Fault, FaultKind, Project, SimServer};
use serde_json::{Value, json};

use crate::guide::ENV_BLOCK;
use crate::place::{EXAMPLE, Place, Run};

/// Runs in a new folder with these two files (if they are not empty) and no variable at all.
fn check(keys: &str, env: &str, arguments: &[&str]) -> Run {
    let place = Place::new();
    for (name, text) in [("keys.json", keys), (".env", env)] {
        if !text.is_empty() {
            place.write(name, text);
        }
    }
    place.run(&[&["check"], arguments].concat())
}

/// The exit code and the findings as `level subject: message`.
fn findings(keys: &str, env: &str, arguments: &[&str]) -> (i32, Vec<String>) {
    let done = check(keys, env, &[arguments, &["--json"]].concat());
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let code = done.code;
    assert_eq!(report["ok"], json!(code == 0));
    assert_eq!(report.as_object().unwrap().len(), 2);
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let line = |finding: &Value| {
        let names: Vec<&String> = finding.as_object().unwrap().keys().collect();
        assert_eq!(names, ["fix", "level", "message", "subject"]);
        format!("{} {}: {}", text(finding, "level"), text(finding, "subject"), text(finding, "message"))
    };
    (code, report["findings"].as_array().unwrap().iter().map(line).collect())
}

fn of_level<'a>(found: &'a [String], level: &str) -> Vec<&'a str> {
    found.iter().filter_map(|line| line.strip_prefix(level)?.strip_prefix(' ')).collect()
}

#[test]
fn the_guides_quick_start_has_nothing_to_put_right() {
    let (code, found) = findings(EXAMPLE, ENV_BLOCK, &[]);
    assert_eq!(code, 0, "{found:?}");
    assert_eq!((of_level(&found, "error").len(), of_level(&found, "warning").len()), (0, 0), "{found:?}");
    let age = "secrets: the store env does not tell how old they are: replace each every 90 days";
    assert_eq!(of_level(&found, "info"), [age], "the test's own REDIS_URL wins");
    assert!(
        found.contains(&"ok flash_01: its secret is there: env:GEMINI_KEY_flash_01".to_owned()),
        "{found:?}"
    );
    let done = check(EXAMPLE, ENV_BLOCK, &[]);
    assert_eq!((done.code, &*done.stderr), (0, ""));
    assert!(
        done.stdout.ends_with("no error, no warning\n") && !done.stdout.contains('\u{1b}'),
        "{}",
        done.stdout
    );
    assert!(!done.stdout.contains("your-api-key"), "{}", done.stdout);
}

#[test]
fn every_wrong_variable_is_named_at_once() {
    let env = "ENABLE_KEY_ROTATION=on\nKEYROT_MODLE=x\nKEYROT_SECRET_TTL=soon\nKEYROT_COOLDOWN_BASE=0\n";
    let (code, found) = findings(EXAMPLE, env, &[]);
    let subjects: Vec<&str> =
        of_level(&found, "error").iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        (code, subjects),
        (2, vec!["KEYROT_MODLE", "KEYROT_COOLDOWN_BASE", "KEYROT_SECRET_TTL"]),
        "{found:?}"
    );
}

#[test]
fn a_wrong_variable_does_not_hide_what_is_wrong_with_file_and_secrets() {
    let env = "ENABLE_KEY_ROTATION=on\nKEYROT_SECRET_TTL=soon\nGEMINI_KEY_flash_01=x\n";
    let (code, found) = findings(EXAMPLE, env, &[]);
    let errors = of_level(&found, "error");
    assert_eq!((code, errors.len()), (2, 2), "{found:?}");
    assert!(errors[0].starts_with("KEYROT_SECRET_TTL: "), "{errors:?}");
    assert!(
        errors[1].starts_with("flash_02: its secret is missing: env:GEMINI_KEY_flash_02: not set; set "),
        "{errors:?}"
    );
}

#[test]
fn bad_lines_of_the_env_file_are_named_and_never_shown() {
    let done = check("", "A=1\nsentinel\n2sentinel=3\n", &["--json"]);
    assert_eq!(done.code, 2);
    assert!(done.stdout.contains("line 2") && done.stdout.contains("line 3"), "{}", done.stdout);
    assert!(!format!("{}{}", done.stdout, done.stderr).contains("sentinel"));
}

#[test]
fn every_problem_of_the_file_is_named_at_once() {
    let keys = r#"{"keys": [{"key_id": "a", "model_name": 5, "rpm": -1}, {"key_id": "b"}]}"#;
    let (code, found) = findings(keys, "ENABLE_KEY_ROTATION=1", &[]);
    let errors = of_level(&found, "error");
    assert_eq!((code, errors.len()), (2, 3), "{found:?}");
    assert!(errors.iter().all(|error| error.starts_with("keys.json: keys[")), "{errors:?}");
    let (code, found) = findings("", "ENABLE_KEY_ROTATION=1", &[]);
    let missing = "keys.json: keys.json does not exist; create it with: cp keys_example.json keys.json";
    assert_eq!((code, of_level(&found, "error")), (2, vec![missing]));
}

#[test]
fn a_missing_secret_says_which_variable_to_set() {
    let done =
        check(EXAMPLE, "ENABLE_KEY_ROTATION=1\nGEMINI_KEY_flash_01=sentinel\nGEMINI_KEY_flash_02=\n", &[]);
    assert_eq!(done.code, 2);
    assert!(
        done.stdout.contains(
            "✗ flash_02: its secret is missing: env:GEMINI_KEY_flash_02: GEMINI_KEY_flash_02 is empty; set it"
        ),
        "{}",
        done.stdout
    );
    assert!(done.stdout.ends_with("1 error\n") && !done.stdout.contains("sentinel"), "{}", done.stdout);
}

#[test]
fn a_secret_that_no_header_can_carry_is_an_error_and_not_shown() {
    for value in ["'sentinel two'", "sentin\u{e9}l", "\"sentinel\\nsentinel\""] {
        let variables =
            format!("ENABLE_KEY_ROTATION=1\nGEMINI_KEY_flash_01={value}\nGEMINI_KEY_flash_02=fine\n");
        let done = check(EXAMPLE, &variables, &[]);
        let told = "✗ flash_01: its secret is not an API key, it holds white space or unusual characters: \
                    env:GEMINI_KEY_flash_01\n  → store the key again, as one word";
        assert!(done.code == 2 && done.stdout.contains(told), "{value}: {done:?}");
        assert!(!done.stdout.contains("sentin"), "{}", done.stdout);
    }
}

#[test]
fn secrets_that_only_a_restart_can_replace_are_one_line() {
    let place = Place::rotating();
    let (one, two) =
        ("env:GEMINI_KEY_flash_01: GEMINI_KEY_flash_01", "which wins over .env: change it where");
    let done = place.run(&["check"]);
    let line = format!(
        "i flash_01, flash_02: their secrets are fixed until a restart, for example {one} is a variable of the \
         process, {two}"
    );
    assert!(done.code == 0 && done.stdout.contains(&line), "{done:?}");
    let place = place.set("GEMINI_KEY_flash_01", "").file(".env", "");
    let done = place.run(&["check"]);
    assert!(done.stdout.contains("i flash_02: its secret is fixed until a restart: env:"), "{done:?}");
    let file = "ENABLE_KEY_ROTATION=1\nGEMINI_KEY_flash_01=a\nGEMINI_KEY_flash_02=b\n";
    assert!(!check(EXAMPLE, file, &[]).stdout.contains("restart"), "what is in the file can be replaced");
}

#[test]
fn one_secret_under_two_ids_and_siblings_are_found() {
    let keys = r#"{"keys": [
        {"key_id": "a", "model_name": "m", "project": "p", "rpm": 60},
        {"key_id": "b", "model_name": "m", "project": "p", "rpm": 10},
        {"key_id": "c", "model_name": "m"}]}"#;
    let env = "ENABLE_KEY_ROTATION=1\nGEMINI_KEY_a=sentinel\nGEMINI_KEY_b=other\nGEMINI_KEY_c=sentinel\n";
    let (code, found) = findings(keys, env, &[]);
    let (errors, warnings) = (of_level(&found, "error"), of_level(&found, "warning"));
    assert_eq!((code, errors.len(), warnings.len()), (2, 1, 1), "{found:?}");
    assert!(errors[0].starts_with("a, c: a, c have the same secret"), "{errors:?}");
    assert!(
        warnings[0].starts_with("a, b: ") && warnings[0].ends_with("rpm 60 in a, 10 in b"),
        "{warnings:?}"
    );
    assert!(!format!("{found:?}").contains("sentinel"));
}

#[test]
fn entries_that_can_never_be_used_and_slips_are_warned_of() {
    let keys = r#"{"keys": [
        {"key_id": "a", "model_name": "m", "prority": 1},
        {"key_id": "b", "model_name": "m", "rpd": 0},
        {"key_id": "c", "model_name": "m", "provider": "claude"}]}"#;
    let env = "ENABLE_KEY_ROTATION=1\nGEMINI_KEY_a=1\nGEMINI_KEY_b=2\nGEMINI_KEY_c=3\n";
    let done = check(keys, env, &[]);
    assert_eq!(done.code, 0, "{}", done.stdout);
    for line in [
        "! a: the field prority means nothing\n  → did you mean priority?\n",
        "! b: rpd is 0 for m: never used for it\n",
        "! c: its provider is \"claude\", of which this build knows nothing: never used\n",
        "\nno error, 3 warnings\n",
    ] {
        assert!(done.stdout.contains(line), "{line} is not in {}", done.stdout);
    }
}

#[test]
fn two_ids_that_lead_to_one_variable_are_an_error() {
    let keys = r#"{"keys": [{"key_id": "a.1", "model_name": "m"}, {"key_id": "a_1", "model_name": "m"}]}"#;
    let (code, found) = findings(keys, "ENABLE_KEY_ROTATION=1\nGEMINI_KEY_a_1=x\n", &[]);
    assert_eq!(code, 2);
    assert!(of_level(&found, "error")[0].contains("both take their secret from GEMINI_KEY_a_1"), "{found:?}");
}

#[test]
fn a_store_that_is_not_configured_is_an_error_with_its_variables() {
    let (code, found) = findings(EXAMPLE, "ENABLE_KEY_ROTATION=1\nSECRET_STORE_TYPE=vault\n", &[]);
    let errors = of_level(&found, "error");
    assert_eq!((code, errors.len()), (2, 2), "{found:?}");
    assert!(
        errors.concat().contains("VAULT_ADDR is not set") && errors.concat().contains("VAULT_TOKEN"),
        "{errors:?}"
    );
}

#[test]
fn a_single_key_is_checked_and_nothing_of_rotation_is_touched() {
    let env =
        "GEMINI_API_KEY=sentinel\nSECRET_STORE_TYPE=vault\nKEYROT_SECRET_TTL=soon\nREDIS_URL=redis://x\n";
    let (code, found) = findings("{ broken", env, &[]);
    let expected = [
        "ok configuration: rotation is off: one key, model gemini-flash-latest unless another is asked for",
        "ok limits: counted in this process",
        "ok default: its secret is there: env:GEMINI_API_KEY",
    ];
    assert_eq!((code, found), (0, expected.map(str::to_owned).to_vec()));
    let (code, found) = findings("", "GEMINI_API_KEY=a\nGOOGLE_API_KEY=b\n", &[]);
    assert_eq!((code, of_level(&found, "warning").len()), (0, 1), "{found:?}");
    let (code, found) = findings("", "", &[]);
    let errors = of_level(&found, "error");
    assert_eq!((code, errors.len()), (2, 1), "{found:?}");
    assert!(errors[0].contains("neither GEMINI_API_KEY nor GOOGLE_API_KEY is set"), "{errors:?}");
    assert_eq!(
        findings(EXAMPLE, ENV_BLOCK, &["--rotation", "off"]).0,
        2,
        "the guide's block has no single key"
    );
}

const PROBED: &str = r#"{"keys": [
    {"key_id": "good", "model_name": "gemini-2.5-flash"},
    {"key_id": "leaked", "model_name": "gemini-2.5-flash"},
    {"key_id": "old", "model_name": "gemini-2.5-flsh"},
    {"key_id": "resting", "model_name": "gemini-2.5-flash", "active": false}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_asks_with_each_active_key() {
    let project = |name: &str| Project::new(name).key(name, format!("sentinel-{name}"));
    let config =
        Config::default().project(project("good")).project(project("leaked")).project(project("old"));
    let server =
        SimServer::start(config.fault(Fault::new(FaultKind::KeyLeaked).key("leaked"))).await.unwrap();
    let env = format!(
        "ENABLE_KEY_ROTATION=1\nGOOGLE_GEMINI_BASE_URL={}\nGEMINI_KEY_good=sentinel-good\n\
         GEMINI_KEY_leaked=sentinel-leaked\nGEMINI_KEY_old=sentinel-old\n",
        server.base_url()
    );
    assert_eq!(findings(PROBED, &env, &[]).0, 0);
    assert!(server.attempts().is_empty(), "nothing is asked without --probe");
    let (code, found) = findings(PROBED, &env, &["--probe"]);
    assert_eq!(code, 1, "{found:?}");
    let probed: Vec<&str> = found.iter().rev().take(4).rev().map(String::as_str).collect();
    assert!(probed[0].starts_with("ok good: the provider accepts it and lists "), "{probed:?}");
    assert!(probed[1].starts_with("error leaked: the key is rejected: 403 "), "{probed:?}");
    assert!(probed[1].contains("reported as leaked"), "{probed:?}");
    assert!(probed[2].starts_with("ok old: "), "{probed:?}");
    assert_eq!(probed[3], "warning old: its model gemini-2.5-flsh is not in the provider's list");
    assert!(!format!("{found:?}").contains("sentinel"));
    assert_eq!(server.attempts().len(), 3);
    let broken = PROBED.replace("\"old\", \"model_name\"", "\"new\", \"model_name\"");
    assert_eq!(findings(&broken, &env, &["--probe"]).0, 2, "a missing secret weighs more than a refusal");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_asks_with_the_single_key_and_its_moving_name_is_no_mistake() {
    let config = Config::default().project(Project::new("p").key("k", "sentinel"));
    let server = SimServer::start(config).await.unwrap();
    let env = format!("GEMINI_API_KEY=sentinel\nGOOGLE_GEMINI_BASE_URL={}\n", server.base_url());
    let (code, found) = findings("", &env, &["--probe"]);
    assert_eq!((code, of_level(&found, "warning").len()), (0, 0), "{found:?}");
    assert!(found.last().unwrap().starts_with("ok default: the provider accepts it"), "{found:?}");
}

#[test]
fn a_provider_that_cannot_be_reached_is_no_fault_of_the_configuration() {
    // bound and closed again: nothing listens there
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let env = format!("GEMINI_API_KEY=sentinel\nGOOGLE_GEMINI_BASE_URL=http://127.0.0.1:{port}\n");
    let (code, found) = findings("", &env, &["--probe"]);
    assert_eq!(code, 1, "{found:?}");
    assert!(
        of_level(&found, "error")[0].starts_with("default: the provider cannot be reached: "),
        "{found:?}"
    );
    let (code, found) =
        findings("", "GEMINI_API_KEY=x\nGOOGLE_GEMINI_BASE_URL=http://me:sentinel@host\n", &[]);
    assert_eq!(code, 2);
    let errors = of_level(&found, "error");
    assert!(
        errors[0].starts_with("GOOGLE_GEMINI_BASE_URL: ") && !errors[0].contains("sentinel"),
        "{errors:?}"
    );
}
