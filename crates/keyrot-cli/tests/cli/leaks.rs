//! A secret is driven through every command and every way to fail, and searched for in all that is said.

use gemini_sim::{Config, Fault, FaultKind, Project, SimServer};
use keyrot_testkit::leak::assert_absent;
use serde_json::json;

use crate::place::{EXAMPLE, Place, Run, serve};

/// Both shapes of Google's keys.
const SENTINELS: [&str; 2] =
    ["AIzaSyZq4XvT9wKj2LmP7rBn5HsD8cGf3YtQe1Uo", "AQ.Ab8RN6JzXkVw4TqYpLm9HsGd2FbCn7Ue5RiOa3"];

/// Every command that reads secrets or shows what is known of keys.
const COMMANDS: [&[&str]; 15] = [
    &["generate", "RSI", "--deadline", "3s"],
    &["generate", "RSI", "--deadline", "3s", "--json"],
    &["generate", "RSI", "--deadline", "3s", "--rotation", "off"],
    &["generate", "RSI", "--deadline", "3s", "--model", "no-such-model"],
    &["status"],
    &["status", "--json"],
    &["explain"],
    &["explain", "--json"],
    &["explain", "--model", "no-such-model", "--json"],
    &["check"],
    &["check", "--json"],
    &["check", "--probe"],
    &["check", "--probe", "--json"],
    &["keys", "list"],
    &["keys", "list", "--json"],
];

async fn service() -> SimServer {
    let config = Config::default()
        .latency(gemini_sim::Latency::ZERO)
        .project(Project::new("one").key("flash_01", SENTINELS[0]))
        .project(Project::new("two").key("flash_02", SENTINELS[1]));
    serve(config).await
}

/// The guide's keys with the sentinels as their secrets, one of them in a file, and the finest log.
fn place(server: &SimServer) -> Place {
    Place::new()
        .file("keys.json", EXAMPLE)
        .file(".env", &format!("GEMINI_KEY_flash_02={}\nGEMINI_API_KEY={}\n", SENTINELS[1], SENTINELS[0]))
        .set("ENABLE_KEY_ROTATION", "true")
        .set("GEMINI_KEY_flash_01", SENTINELS[0])
        .set("RUST_LOG", "trace")
        .set("RUST_BACKTRACE", "full")
        .at(server)
}

/// Every command that is given a secret.
const WRITERS: [&[&str]; 3] = [
    &["secrets", "put", "flash_02"],
    &["secrets", "rotate", "flash_02", "--patience", "1ms"],
    &["secrets", "rotate", "flash_02", "--patience", "1ms", "--json"],
];

/// What all commands said to people.
fn run_all(place: &Place) -> String {
    let mut shown = String::new();
    let mut look = |command: &[&str], run: Run| {
        assert!(!run.stderr.contains("panicked"), "{command:?}: {run:?}");
        assert_absent(&format!("{command:?}\n{}\n{}", run.stdout, run.stderr), &SENTINELS);
        shown += &run.stderr;
    };
    for command in COMMANDS {
        look(command, place.run(command));
    }
    let file = place.read(".env");
    for command in WRITERS {
        for value in [SENTINELS[0], &SENTINELS.join(" ")] {
            look(command, place.run_with(command, value));
            place.write(".env", &file); // another key than the one that is given
        }
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_secret_when_all_is_well() {
    let server = service().await;
    let shown = run_all(&place(&server));
    assert!(shown.contains("TRACE") || shown.contains("DEBUG"), "the log was not on: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_secret_when_the_provider_refuses() {
    let server = service().await;
    let place = place(&server);
    let [first, second] = SENTINELS;
    let page = format!("<html>GET /v1beta/models?key={first} {second}</html>");
    for fault in [
        FaultKind::KeyInvalid,
        FaultKind::KeyLeaked,
        FaultKind::KeySuspended, // prints the whole key, twice
        FaultKind::QuotaDay,
        FaultKind::Verbatim {
            status: 400,
            body: format!("your key {first} and {second} {{"),
            content_type: None,
        },
        FaultKind::Verbatim { status: 400, body: page, content_type: Some("text/html".to_owned()) },
        FaultKind::CutMidStream,
    ] {
        server.clear_faults();
        server.add_fault(Fault::new(fault)).unwrap();
        run_all(&place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_secret_when_the_provider_is_gone() {
    let server = service().await;
    let place = place(&server);
    server.stop().await;
    run_all(&place);
}

/// Secrets where they do not belong: the message names the place and not what stands there.
#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_secret_in_the_wrong_place() {
    let server = service().await;
    let [first, second] = SENTINELS;
    let file = |entry: serde_json::Value| json!({"keys": [entry]}).to_string();
    for (name, text) in [
        ("keys.json", file(json!({"key_id": "flash_01", "model_name": "m", "secret": first}))),
        ("keys.json", file(json!({"key_id": first, "model_name": "m"}))),
        ("keys.json", file(json!({"key_id": "flash_01", "model_name": "m", "api_key": second}))),
        ("keys.json", json!({"keys": [first, second]}).to_string()),
        ("keys.json", format!("{{\"keys\": [{{\"key_id\": {first}}}]}}")),
        (".env", format!("GEMINI_KEY_flash_01 {first}\n{second}\nexport {second}\n")),
        (".env", format!("GEMINI_KEY_flash_01=\"{first}\nX='{second}\n")),
        (".env", format!("KEYROT_SECRET_TTL={first}\nENABLE_KEY_ROTATION={second}\n")),
        (".env", format!("GOOGLE_GEMINI_BASE_URL=http://user:{first}@127.0.0.1:9/?key={second}\n")),
    ] {
        run_all(&place(&server).file(name, &text));
    }
}
