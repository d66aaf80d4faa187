//! The demonstration as a user runs it: the built command, nothing prepared.

#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyrot"));
    command
        .arg("demo")
        .args(arguments)
        // What a user may have set must not matter.
        .env("ENABLE_KEY_ROTATION", "perhaps")
        .env("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("XDG_DATA_HOME", "/nowhere")
        .env("REDIS_URL", "redis://127.0.0.1:1");
    command
}

fn demo(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// How a key is in the end.
fn state(summary: &Value, key_id: &str) -> String {
    let keys = summary["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["key_id"] == key_id).unwrap();
    key["state"].as_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_planned_trouble_is_met_and_no_caller_notices() {
    let output = demo(&["--seconds", "10", "--json"]);
    let progress = text(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["failures"], serde_json::json!([]), "{summary}");
    assert_eq!(summary["interrupted"], false);
    assert_eq!(summary["verification"]["not_run"], "run keyrot python setup");
    let strategies = summary["strategies"].as_u64().unwrap();
    assert!(strategies >= 20, "{summary}");

    let refused = summary["refused"].as_array().unwrap();
    let by_reason: Vec<(&str, &str)> = refused
        .iter()
        .map(|refused| {
            assert_eq!(refused["keys"].as_array().unwrap().len(), 1, "{refused}");
            (refused["reason"].as_str().unwrap(), refused["keys"][0].as_str().unwrap())
        })
        .collect();
    let planned = [
        ("key_invalid", "prod-old"),
        ("key_leaked", "team-2"),
        ("quota_used_up", "trial-1"),
        ("overloaded", "eu-1"),
    ];
    assert_eq!(by_reason, planned, "{summary}");

    let calls: u64 = refused.iter().map(|refused| refused["calls"].as_u64().unwrap()).sum();
    assert_eq!(summary["sent"].as_u64().unwrap(), strategies + calls, "every other call is a strategy");
    let answered: u64 =
        summary["keys"].as_array().unwrap().iter().map(|key| key["answered"].as_u64().unwrap()).sum();
    assert_eq!(answered, strategies);

    assert_eq!(state(&summary, "prod-1"), "ready");
    assert_eq!(state(&summary, "eu-1"), "ready");
    assert_eq!(state(&summary, "trial-1"), "requests_per_minute");

    for told in [
        "prod-old  rejected (400 INVALID_ARGUMENT",
        "prod-old  still rejected",
        "team-2    rejected (403 PERMISSION_DENIED",
        "trial-1   learned: the provider allows 3 requests a minute, the entry says 60",
        "eu-1      overloaded (503 UNAVAILABLE",
        "eu-1      works again",
    ] {
        assert!(progress.contains(told), "{told:?} is missing in:\n{progress}");
    }
    let everything = format!("{progress}{summary}");
    assert!(!everything.contains("demo-secret"), "{everything}");
    assert!(!everything.contains('\u{1b}'), "no terminal, no colours: {everything}");
}

#[test]
fn people_get_a_table_of_what_was_refused() {
    let output = demo(&["--seconds", "5"]);
    let (result, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{progress}");
    assert!(result.contains(", 0 failures that a caller saw\n"), "{result}");
    assert!(result.contains("400 key not valid") && result.contains("429 quota of the minute"), "{result}");
    assert!(progress.contains("strategy 1: ") && !result.contains("strategy 1: "), "{progress}");
    assert!(result.contains("\n\nnot verified: run keyrot python setup\n"), "{result}");
    assert!(!format!("{result}{progress}").contains("demo-secret"));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
fn with_python_every_strategy_is_verified() {
    let data = tempfile::tempdir().unwrap();
    let python = keyrot_test_servers::tool("python");
    std::fs::create_dir(data.path().join("keyrot")).unwrap();
    let environment = python.parent().unwrap().parent().unwrap();
    std::os::unix::fs::symlink(environment, data.path().join("keyrot/python")).unwrap();
    let output = command(&["--seconds", "5", "--json"]).env("XDG_DATA_HOME", data.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verification = &summary["verification"];
    assert!(verification["different"].as_u64().unwrap() >= 5, "{verification}");
    assert_eq!(verification["verified"], verification["different"], "{verification}");
    assert!(text(&output.stderr).contains("running strategy 1 of "), "{}", text(&output.stderr));
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_it_with_the_summary_so_far() {
    for signal in ["-INT", "-TERM"] {
        ended_by(signal);
    }
}

#[cfg(unix)]
fn ended_by(signal: &str) {
    let mut running = command(&["--seconds", "3600", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(running.stderr.take().unwrap()).lines();
    let third = progress.find(|line| line.as_ref().unwrap().contains("strategy 3: "));
    assert!(third.is_some());
    let kill = Command::new("kill").args([signal, &running.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<String> = progress.map(Result::unwrap).collect();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{rest:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["interrupted"], true);
    assert!(summary["strategies"].as_u64().unwrap() >= 3, "{summary}");
    assert_eq!(summary["failures"], serde_json::json!([]), "what was under way did not fail");
}

#[test]
fn a_length_that_shows_nothing_is_refused() {
    let output = demo(&["--seconds", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("5..=3600"), "{}", text(&output.stderr));
}
