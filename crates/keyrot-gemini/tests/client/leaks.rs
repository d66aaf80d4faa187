//! A secret is driven through every path that can fail, and searched for in everything that is shown or logged.

use futures_util::StreamExt;
use keyrot_core::Classify;
use keyrot_core::secrecy::SecretString;
use keyrot_gemini::GeminiError;
use keyrot_testkit::Captured;
use serde_json::{Value, json};

use crate::scripted::{Scripted, Step, begun, event, reply, streamed};
use crate::{client, hello};

/// Both shapes of Google's keys, and one of no known shape.
const SENTINELS: [&str; 3] = [
    "AIzaSySENTINEL_k3y-0123456789abcdefghij",
    "AQ.SENTINEL_k3y.Ab8RN6K0123456789abcdef-ghij",
    "SENTINEL_k3y/+=0123456789%abcdef",
];

#[track_caller]
fn clean(what: &str, shown: &str) {
    assert!(!shown.contains("SENTINEL") && !shown.contains("0123456789"), "{what}: {shown}");
}

#[track_caller]
fn clean_error(what: &str, error: &GeminiError) {
    clean(what, &format!("{error} | {error:?} | {error:#?} | {:?}", error.outcome()));
    assert!(std::error::Error::source(error).is_none());
}

/// Bodies that print the secret where Google or a proxy has been seen to, or might.
fn echoes(secret: &str) -> Vec<String> {
    let in_json = secret.replace('/', "\\/");
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let cases: Value = serde_json::from_str(include_str!("../gemini-errors.json")).unwrap();
    let mut bodies: Vec<String> = cases["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["body"].as_str().unwrap().replace("AIzaSyFAKE-sentinel-0000000000000000000", secret))
        .collect();
    let detail = |kind: &str, name: &str, text: &str| {
        json!({"error": {"code": 400, "message": "words", "status": secret, "details": [
            {"@type": format!("type.googleapis.com/google.rpc.{kind}"), name: text, "metadata": {"consumer": format!("projects/{secret}")}}]}}).to_string()
    };
    bodies.extend([
        format!("Invalid API key: {secret}"),
        format!("<html><title>{secret}</title>GET /v1beta/models?key={percent}</html>"),
        format!("{{\"error\": {{\"code\": 418, \"message\": \"{in_json} and {percent}\"}}}}"),
        format!("x-goog-api-key: {secret}\r\nhost: x"),
        json!({"detail": secret}).to_string(),
        json!({"error": secret, "error_description": secret}).to_string(),
        json!({"error": {"code": secret, "message": format!("{}{secret}", "x".repeat(290))}}).to_string(),
        json!({"error": {"message": json!({"error": {"code": 429, "message": secret}}).to_string()}})
            .to_string(),
        json!([secret, {"error": {"message": secret}}]).to_string(),
        json!({"candidates": secret}).to_string(),
        detail("ErrorInfo", "reason", secret),
        detail("DebugInfo", "detail", secret),
        detail("RetryInfo", "retryDelay", secret),
    ]);
    bodies
}

#[tokio::test]
async fn no_refusal_shows_the_key() {
    let log = Captured::begin();
    for sentinel in SENTINELS {
        let secret = SecretString::from(sentinel);
        for body in echoes(sentinel) {
            for status in
                ["200 OK", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "429 Too Many", "503 Busy"]
            {
                let whole = reply(status, "", &body);
                let server = Scripted::start([whole.clone(), whole.clone(), whole.clone(), whole]).await;
                let gemini = client(&server.url());
                let what = format!("{status} {body}");
                if let Err(error) = gemini.generate(&secret, &"m".into(), &hello()).await {
                    clean_error(&what, &error);
                }
                if let Err(error) = gemini.models(&secret).await {
                    clean_error(&what, &error);
                }
                if let Err(error) = gemini.count_tokens(&secret, &"m".into(), &hello()).await {
                    clean_error(&what, &error);
                }
                match gemini.stream(&secret, &"m".into(), &hello()).await {
                    Ok(stream) => {
                        clean(&what, &format!("{stream:?} {gemini:?}"));
                        clean_error(&what, &stream.collect_reply().await.unwrap_err());
                    }
                    Err(error) => clean_error(&what, &error),
                }
            }
        }
    }
    let logged = log.text();
    assert!(
        logged.contains("reply of the Gemini API") && logged.contains("reqwest"),
        "both loggers must hear"
    );
    clean("log", &logged);
}

#[tokio::test]
async fn no_broken_answer_shows_the_key() {
    let log = Captured::begin();
    for sentinel in SENTINELS {
        let secret = SecretString::from(sentinel);
        let mut scripts = vec![
            vec![],
            vec![Step::Send(format!("HTTP/1.1 {sentinel}\r\n\r\n").into())],
            vec![Step::Send(format!("HTTP/1.1 302 Found\r\nlocation: http://{sentinel}/\r\n\r\n").into())],
            vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{sentinel}\r\n\r\n").into())],
            begun([event("half", None)]),
        ];
        for body in echoes(sentinel) {
            scripts.push(streamed([event("half", None), format!("data: {body}\r\n\r\n")]));
            scripts.push(streamed([event("half", None), body.clone()]));
            scripts.push(begun([body]));
        }
        for script in scripts {
            let server = Scripted::start([script]).await;
            let stream = match client(&server.url()).stream(&secret, &"m".into(), &hello()).await {
                Ok(stream) => stream,
                Err(error) => {
                    clean_error("call", &error);
                    continue;
                }
            };
            let ends: Vec<_> = stream.collect().await;
            let error = ends.into_iter().find_map(Result::err).expect("every script breaks off");
            clean_error("stream", &error);
        }
    }
    clean("log", &log.text());
}
