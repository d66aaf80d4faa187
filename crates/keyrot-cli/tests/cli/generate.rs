//! `keyrot generate`.

use gemini_sim::{Fault, FaultKind};
use serde_json::json;

use crate::place::{Place, provider, serve};

const TEXT: &str = "Buy when RSI < 30, sell when RSI > 70";

#[tokio::test(flavor = "multi_thread")]
async fn one_variable_is_enough_and_the_code_is_on_stdout() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let run = place.run(&["generate", TEXT, "--no-verify"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.starts_with("import") && run.stdout.contains("class RsiStrategy(Strategy):"),
        "{run:?}"
    );
    assert!(run.stderr.contains("gemini-flash-latest (gemini-3.8-flash) with key default"), "{run:?}");
    assert!(!run.stderr.contains("warning"), "an alias is no mismatch: {run:?}");
    assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 0, "nothing is left in the folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_names_code_class_models_key_attempts_and_usage() {
    let server = serve(provider().fault(Fault::new(FaultKind::Overloaded).times(1))).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let json = place.run(&["generate", TEXT, "--json", "--name", "Mine", "--model", "gemini-2.5-pro"]).json();
    assert_eq!(json!([json["class_name"], json["model"]]), json!(["Mine", "gemini-2.5-pro"]));
    assert_eq!(json!([json["model_version"], json["key_id"]]), json!(["gemini-2.5-pro", "default"]));
    assert!(json["code"].as_str().unwrap().contains("class Mine(Strategy):"), "{json}");
    let attempts = json["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{json}");
    assert_eq!(json!([attempts[0]["outcome"], attempts[1]["outcome"]]), json!(["overload", "success"]));
    assert!(attempts[0]["detail"].as_str().unwrap().contains("503"), "{json}");
    for field in ["key_id", "project", "latency_ms"] {
        assert!(!attempts[1][field].is_null(), "{field}: {json}");
    }
    assert!(json["usage"]["input_tokens"].as_u64().unwrap() > 0, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_has_assumed_is_told_and_no_json_of_its_reply_is_shown() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let run = place.run(&["generate", TEXT, "--no-verify"]);
    assert!(run.stdout.starts_with("import pandas") && !run.stdout.contains("assumptions"), "{run:?}");
    assert!(run.stderr.contains("assumed: Every entry uses all of the available cash."), "{run:?}");
    assert!(!run.stderr.contains('{'), "{run:?}");
    let report = &place.run(&["generate", TEXT, "--no-verify", "--json"]).json()["report"];
    assert_eq!(report["assumptions"], json!(["Every entry uses all of the available cash."]));
    let period =
        json!({"name": "period", "default": "14", "meaning": "period of the relative strength index"});
    assert_eq!(report["parameters"][0], period);
    assert!(server.attempts().iter().all(|attempt| attempt.structured));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_refuses_a_schema_is_asked_plainly() {
    let server = serve(provider().fault(Fault::new(FaultKind::SchemaRefused))).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let json = place.run(&["generate", TEXT, "--no-verify", "--json"]).json();
    let outcomes: Vec<&str> =
        json["attempts"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["fail", "success"]);
    assert!(json["code"].as_str().unwrap().contains("class RsiStrategy"), "{json}");
    assert_eq!(json!([json["report"]["assumptions"], json["warnings"]]), json!([[], []]));
    // A cut-off or withheld reply is an error of its own in either form.
    for (kind, told) in
        [(FaultKind::Truncate, "was cut off at"), (FaultKind::SafetyStop, "blocked its reply")]
    {
        let server = serve(provider().fault(Fault::new(kind))).await;
        let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
        place.run(&["generate", TEXT, "--no-verify"]).fails(1, &[told]);
        assert_eq!(server.attempts().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_appears_whole_and_is_never_overwritten_by_accident() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let run = place.run(&["generate", TEXT, "--out", "s.py"]);
    assert_eq!((run.code, &*run.stdout), (0, ""), "{run:?}");
    assert!(place.read("s.py").contains("class RsiStrategy"));
    let calls = server.attempts().len();
    place.write("s.py", "mine");
    place.run(&["generate", TEXT, "--out", "s.py"]).fails(2, &["s.py exists", "--force"]);
    place.run(&["generate", TEXT, "--out", "no-such-folder/s.py"]).fails(2, &["no-such-folder"]);
    place.run(&["generate", TEXT, "--out", "."]).fails(2, &["folder"]);
    assert_eq!(place.read("s.py"), "mine");
    assert_eq!(server.attempts().len(), calls, "refused before anything was spent");
    let json = place.run(&["generate", TEXT, "--out", "s.py", "--force", "--json"]).json();
    assert_eq!(json["code"], place.read("s.py").as_str());
    assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 1, "no temporary file is left");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_may_be_read_by_others_as_far_as_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.env_clear().env("REDIS_URL", "");
    shell.args(["-c", "umask 027; exec \"$0\" generate text --out s.py", env!("CARGO_BIN_EXE_keyrot")]);
    shell.env("GEMINI_API_KEY", "secret-of-single").env("GOOGLE_GEMINI_BASE_URL", server.base_url());
    assert!(shell.current_dir(place.folder()).status().unwrap().success());
    assert_eq!(place.path("s.py").metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_ends_with_3_and_the_time_of_the_next_try() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "a-wrong-key").at(&server);
    place.run(&["generate", TEXT]).fails(
        3,
        &[
            "No API keys available for selection",
            "API key not valid",
            "key_rejected",
            "the next try makes sense at 20",
        ],
    );
    assert!(server.attempts().len() <= 2, "{:?}", server.attempts());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_503_does_not_lock_the_only_key() {
    let server = serve(provider().fault(Fault::new(FaultKind::Overloaded).times(1))).await;
    let run = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server).run(&["generate", TEXT]);
    assert_eq!(run.code, 0, "{run:?}");
    let statuses: Vec<_> = server.attempts().iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(503), Some(200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_among_good_ones_is_passed_over() {
    let server = serve(provider()).await;
    let place = Place::rotating().set("GEMINI_KEY_flash_01", "a-wrong-key").at(&server);
    for _ in 0..4 {
        let json = place.run(&["generate", TEXT, "--json"]).json();
        assert_eq!(json["key_id"], "flash_02");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_choose_the_key() {
    let server = serve(provider()).await;
    let place = Place::rotating().at(&server);
    for _ in 0..4 {
        let json = place.run(&["generate", TEXT, "--tag", "region=us-west", "--json"]).json();
        assert_eq!(json["key_id"], "flash_02");
    }
    let unmatched = place.run(&["generate", TEXT, "--tag", "region=mars"]);
    unmatched.fails(2, &["No API keys available for selection", "region=mars"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_model_serves_when_the_first_one_is_missing() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let run = place.run(&[
        "generate",
        TEXT,
        "--model",
        "gemini-9-none",
        "--fallback-model",
        "gemini-2.5-flash",
        "--json",
    ]);
    assert_eq!(run.json()["model"], "gemini-2.5-flash");
    assert!(run.stderr.contains("warning") && run.stderr.contains("gemini-9-none"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_no_entry_serves_is_told_with_those_that_are() {
    let place = Place::rotating();
    let run = place.run(&["generate", TEXT, "--model", "gemini-9-none"]);
    run.fails(2, &["no entry serves model gemini-9-none", "gemini-2.5-flash"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_own_fault_is_1_and_costs_no_second_call() {
    let server = serve(provider().fault(Fault::new(FaultKind::SafetyBlock))).await;
    let place = Place::rotating().at(&server);
    place.run(&["generate", TEXT]).fails(1, &["blocked the prompt", "change the description"]);
    assert_eq!(server.attempts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_that_hangs() {
    let server = serve(provider().fault(Fault::new(FaultKind::Slow { extra_ms: 600_000 }))).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.run(&["generate", TEXT, "--deadline", "300ms"]).fails(1, &["the caller's deadline passed"]);
}

#[test]
fn wrong_arguments_are_2() {
    let place = Place::new().set("GEMINI_API_KEY", "x");
    for (arguments, word) in [
        (&["generate"][..], "<TEXT>"),
        (&["generate", TEXT, "--deadline", "soon"], "30s"),
        (&["generate", TEXT, "--deadline", "0"], "above 0"),
        (&["generate", TEXT, "--tag", "region"], "NAME=VALUE"),
        (&["generate", TEXT, "--model", ""], "the name of a model"),
        (&["generate", TEXT, "--fallback-model", " "], "the name of a model"),
        (&["explain", "--model", ""], "the name of a model"),
        (&["generate", TEXT, "--force"], "--out"),
        (&["generate", TEXT, "--rotation", "maybe"], "on"),
        (&["generate", TEXT, "--name", "not a class"], "identifier"),
        (&["generate", "  "], "description is empty"),
        (&["generat"], "generate"),
        (&[], "Usage"),
    ] {
        place.run(arguments).fails(2, &[word]);
    }
}
