//! Nothing that the program prints holds a secret, whatever goes wrong and however much is logged.

use gemini_sim::{Config, Fault, FaultKind, Project, SimServer};
use keyrot_testkit::leak::assert_absent;
use serde_json::json;

use crate::program::Program;

/// Both shapes of Google's keys.
const SENTINELS: [&str; 2] =
    ["AIzaSyZq4XvT9wKj2LmP7rBn5HsD8cGf3YtQe1Uo", "AQ.Ab8RN6JzXkVw4TqYpLm9HsGd2FbCn7Ue5RiOa3"];

/// Every command that reads secrets or shows what is known of keys.
const COMMANDS: [&[&str]; 13] = [
    &["generate", "Buy when RSI is below 30", "--deadline", "3s"],
    &["generate", "Buy when RSI is below 30", "--deadline", "3s", "--json"],
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

async fn run_all(program: &Program) -> String {
    let mut shown = String::new();
    for command in COMMANDS {
        let run = program.run(command).await;
        assert_absent(&format!("{command:?}\n{}\n{}", run.stdout, run.stderr), &SENTINELS);
        shown += &run.stderr;
    }
    shown
}

/// Two keys with the sentinels as their secrets, and the finest log.
fn program(base_url: &str) -> Program {
    let program = Program::new(&[
        ("ENABLE_KEY_ROTATION", "true"),
        ("GEMINI_KEY_first", SENTINELS[0]),
        ("GEMINI_KEY_second", SENTINELS[1]),
        ("GEMINI_API_KEY", SENTINELS[0]),
        ("GOOGLE_GEMINI_BASE_URL", base_url),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
        ("REDIS_URL", ""),
    ]);
    let entry = |id: &str| json!({"key_id": id, "model_name": "gemini-2.5-flash"});
    program.write("keys.json", &json!({"keys": [entry("first"), entry("second")]}).to_string());
    program
}

async fn service(fault: Option<FaultKind>) -> SimServer {
    let config = Config::default()
        .project(Project::new("p").key("first", SENTINELS[0]))
        .project(Project::new("q").key("second", SENTINELS[1]));
    SimServer::start(fault.into_iter().fold(config, |config, kind| config.fault(Fault::new(kind))))
        .await
        .unwrap()
}

#[tokio::test]
async fn no_command_shows_a_secret_when_all_is_well() {
    let server = service(None).await;
    let shown = run_all(&program(&server.base_url())).await;
    assert!(shown.contains("TRACE") || shown.contains("DEBUG"), "the log was not on: {shown}");
}

#[tokio::test]
async fn no_command_shows_a_secret_that_the_provider_prints() {
    let server = service(Some(FaultKind::KeySuspended)).await;
    run_all(&program(&server.base_url())).await;
}

#[tokio::test]
async fn no_command_shows_a_secret_that_a_stranger_prints() {
    let body = format!("<html>GET /v1beta/models?key={} {}</html>", SENTINELS[0], SENTINELS[1]);
    let stranger = FaultKind::Verbatim { status: 400, body, content_type: Some("text/html".to_owned()) };
    let server = service(Some(stranger)).await;
    run_all(&program(&server.base_url())).await;
}

#[tokio::test]
async fn no_command_shows_a_secret_when_the_provider_is_gone() {
    let server = service(None).await;
    let program = program(&server.base_url());
    server.stop().await;
    run_all(&program).await;
}

/// Secrets where they do not belong: the message names the place and not what stands there.
#[tokio::test]
async fn no_command_shows_a_secret_in_the_wrong_place() {
    let [first, second] = SENTINELS;
    let entry = json!({"key_id": "first", "model_name": "gemini-2.5-flash", "secret": first});
    let wrong_files = [
        ("keys.json", json!({"keys": [entry]}).to_string()),
        ("keys.json", json!({"keys": [{"key_id": first, "model_name": "m"}]}).to_string()),
        (
            "keys.json",
            json!({"keys": [{"key_id": "first", "model_name": "m", "api_key": second}]}).to_string(),
        ),
        ("keys.json", json!({"keys": [first, second]}).to_string()),
        ("keys.json", format!("{{\"keys\": [{{\"key_id\": {first}}}]}}")),
        (".env", format!("GEMINI_KEY_first {first}\n{second}\nexport {second}\n")),
        (".env", format!("GEMINI_KEY_first=\"{first}\nX='{second}\n")),
        (".env", format!("KEYROT_SECRET_TTL={first}\nENABLE_KEY_ROTATION={second}\n")),
        (".env", format!("GOOGLE_GEMINI_BASE_URL=http://user:{first}@127.0.0.1:9/?key={second}\n")),
    ];
    for (name, text) in wrong_files {
        let server = service(None).await;
        let program = program(&server.base_url());
        program.write(name, &text);
        run_all(&program).await;
    }
}
