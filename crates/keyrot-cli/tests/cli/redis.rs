//! Where limits are counted, as `REDIS_URL` says: set, not set, set to nothing, wrong, and set to a server that does not
//! answer.

use std::io::ErrorKind;
use std::net::TcpListener;

use gemini_sim::{Fault, FaultKind, SimServer};
use keyrot_test_servers::{RedisOptions, RedisServer, free_port};
use serde_json::{Value, json};

use crate::place::{Place, Run, provider, serve};

/// The second key is asked first.
const KEYS: &str = r#"{"keys": [
    {"key_id": "flash_01", "model_name": "gemini-2.5-flash", "rpm": 60, "rpd": 500, "priority": 1},
    {"key_id": "flash_02", "model_name": "gemini-2.5-flash", "rpm": 60, "rpd": 500}
]}"#;
const GENERATE: [&str; 2] = ["generate", "Buy when RSI < 30"];

/// Nothing is counted in a file.
fn place() -> Place {
    Place::rotating().file("keys.json", KEYS).set("KEYROT_STATE", ":memory:")
}

async fn redis() -> RedisServer {
    RedisServer::start(RedisOptions::default()).await
}

/// Runs without `REDIS_URL`.
fn run_unset(place: &Place, arguments: &[&str]) -> Run {
    place.command(arguments).env_remove("REDIS_URL").output().unwrap().into()
}

/// Where the counts are, and what holds if they cannot be had there.
fn scope(run: &Run) -> Value {
    let answer = run.json();
    json!([answer["scope"], answer["degraded"]])
}

/// What `check` says of limits.
fn limits(check: &Run) -> String {
    let report: Value = serde_json::from_str(&check.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let finding =
        findings.iter().find(|finding| finding["subject"] == "limits").expect("limits are looked at");
    finding["message"].as_str().unwrap().to_owned()
}

/// An address where nobody listens.
fn nobody() -> String {
    format!("redis://127.0.0.1:{}", free_port())
}

/// An address where connections are taken and nobody ever answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn service() -> SimServer {
    serve(provider()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test"]
async fn set_it_counts_for_every_process_and_check_says_where_and_how_fast() {
    let server = redis().await;
    let provider = serve(provider().fault(Fault::new(FaultKind::QuotaDay).key("flash_02"))).await;
    let place = place().set("REDIS_URL", &server.url()).at(&provider);
    let run = place.run(&GENERATE);
    assert!(run.code == 0 && run.stdout.contains("class"), "{run:?}");
    assert!(!run.stderr.contains("REDIS"), "nothing to tell: {run:?}");

    // what follows is said by processes that have called nobody
    let status = place.run(&["status", "--json"]);
    assert_eq!(scope(&status), json!(["redis", null]));
    let keys = &status.json()["keys"];
    let (served, refused) = (&keys["flash_01"], &keys["flash_02"]);
    assert_eq!(json!([served["success_count"], served["error_count"]]), json!([1, 0]));
    let usage = &served["usage"][0];
    assert_eq!(json!([usage["requests_minute"], usage["requests_day"]]), json!([1, 1]));
    assert!(served["last_used"].is_string(), "{served}");
    assert_eq!(json!([refused["error_count"], refused["in_cooldown"]]), json!([1, true]));
    assert_eq!(refused["reason"], "requests_per_day");
    let people = place.run(&["status"]);
    assert!(people.stderr.contains("counts are of every process that shares redis"), "{people:?}");

    let explained = place.run(&["explain", "--json"]).json();
    assert_eq!(json!([explained["scope"], explained["selectable"]]), json!(["redis", ["flash_01"]]));
    assert_eq!(explained["blocked"][0]["reason"], "requests_per_day");

    let limits = limits(&place.run(&["check", "--json"]));
    for word in [&server.url(), "answers in ", " ms", "KEYROT_REDIS_FAILURE=open", "\"default\""] {
        assert!(limits.contains(word), "{word}: {limits}");
    }

    let other = place.set("KEYROT_POOL", "another");
    assert_eq!(other.run(&["status", "--json"]).json()["keys"]["flash_01"]["success_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test"]
async fn not_set_the_redis_of_this_machine_counts_if_there_is_one() {
    let server = redis().await;
    let place = place().set("KEYROT_LOCAL_REDIS", &server.url());
    let status = run_unset(&place, &["status", "--json"]);
    assert_eq!(scope(&status), json!(["redis", null]));
    let told = format!("limits are counted in the Redis of this machine, {}", server.url());
    assert_eq!(status.stderr.matches(&told).count(), 1, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_set_and_nobody_there_counts_without_it_and_says_so_once() {
    let provider = service().await;
    let (_listener, silent) = silent();
    for address in [nobody(), silent] {
        let place = place().at(&provider).set("KEYROT_LOCAL_REDIS", &address);
        let status = run_unset(&place, &["status", "--json"]);
        assert_eq!(scope(&status), json!(["process", null]));
        let told = "REDIS_URL is not set, and there is no Redis on this machine";
        assert_eq!(status.stderr.matches(told).count(), 1, "{status:?}");
        let run = run_unset(&place, &GENERATE);
        assert!(run.code == 0 && run.stdout.contains("class"), "{run:?}");
        let check = run_unset(&place, &["check", "--json"]);
        assert_eq!((check.code, &*limits(&check)), (0, "counted in this process"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn set_to_nothing_it_is_never_asked_for() {
    let provider = service().await;
    let (listener, address) = silent();
    let place = place().at(&provider).set("REDIS_URL", "").set("KEYROT_LOCAL_REDIS", &address);
    let status = place.run(&["status", "--json"]);
    assert_eq!(scope(&status), json!(["process", null]));
    assert!(!status.stderr.contains("Redis"), "{status:?}");
    assert_eq!(place.run(&GENERATE).code, 0);
    assert_eq!(place.run(&["check"]).code, 0);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has come");
}

#[test]
fn a_wrong_address_is_named_with_what_is_allowed_and_without_its_password() {
    for url in ["localhost:6379", "http://:hunter2@localhost", "redis://:hunter2@localhost:many", "redis://"]
    {
        let place = place().set("REDIS_URL", url);
        for arguments in [&GENERATE[..], &["status"], &["check"]] {
            let run = place.run(arguments);
            let said = format!("{}{}", run.stdout, run.stderr);
            assert_eq!(run.code, 2, "{url}: {run:?}");
            assert!(said.contains("REDIS_URL") && said.contains("redis://"), "{url}: {run:?}");
            assert!(!said.contains("hunter2"), "{url}: {run:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_stops_nobody_unless_the_policy_says_so() {
    let provider = service().await;
    let (_listener, silent) = silent();
    for url in [nobody(), silent] {
        let with =
            |policy: &str| place().at(&provider).set("REDIS_URL", &url).set("KEYROT_REDIS_FAILURE", policy);
        for (set, policy, meanwhile) in
            [("", "open", "without limits"), ("share", "share", "part of the limits")]
        {
            let place = with(set);
            let run = place.run(&GENERATE);
            assert!(run.code == 0 && run.stdout.contains("class"), "{run:?}");
            let told = format!("KEYROT_REDIS_FAILURE={policy} holds");
            assert_eq!(run.stderr.matches(&told).count(), 1, "{run:?}");
            assert!(run.stderr.contains(&url) && run.stderr.contains(meanwhile), "{run:?}");
            for command in ["status", "explain"] {
                assert_eq!(scope(&place.run(&[command, "--json"])), json!(["redis", policy]), "{command}");
                let people = place.run(&[command]);
                let mode = format!("redis cannot be reached: its failure policy {policy} holds");
                assert!(people.stderr.contains(&mode), "{people:?}");
            }
            let check = place.run(&["check", "--json"]);
            let limits = limits(&check);
            assert!(limits.contains("does not answer") && limits.contains(meanwhile), "{limits}");
        }
        let closed = with("closed");
        closed
            .run(&GENERATE)
            .fails(3, &["calls are refused", &url, "failure policy is closed", "open or share"]);
        assert_eq!(scope(&closed.run(&["status", "--json"])), json!(["redis", "closed"]));
        let limits = limits(&closed.run(&["check", "--json"]));
        assert!(limits.contains("does not answer: calls are refused"), "{limits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_redis_that_refuses_the_password_is_treated_like_one_that_is_away() {
    let server = RedisServer::start(RedisOptions::default().password("right")).await;
    let provider = service().await;
    let url = server.url().replace("right", "wrong-one");
    let place = place().at(&provider).set("REDIS_URL", &url);
    let run = place.run(&GENERATE);
    assert!(run.code == 0 && run.stderr.contains("=open holds"), "{run:?}");
    assert!(run.stderr.contains("password") && !run.stderr.contains("wrong-one"), "{run:?}");
    let closed = place.set("KEYROT_REDIS_FAILURE", "closed");
    closed.run(&GENERATE).fails(3, &["password", "closed"]);
}
