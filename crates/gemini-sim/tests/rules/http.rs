//! Addresses, credentials and reply shapes, over HTTP.

use gemini_sim::{Config, Fault, FaultKind, Latency, Limits, Operation, Project, ServerOptions, SimServer};

use crate::client::{get, post, prompt_body, send};
use crate::{MODEL, NOON, PROMPT, config};

const GENERATE: &str = "/v1beta/models/gemini-flash-latest:generateContent";

async fn serve(config: Config) -> SimServer {
    let config = config.latency(Latency::ZERO);
    SimServer::start_with(config, ServerOptions { start_ms: Some(NOON), ..ServerOptions::default() })
        .await
        .unwrap()
}

#[tokio::test]
async fn both_versions_answer_in_proto3_json() {
    let server = serve(config(Limits::default())).await;
    for path in [GENERATE, "/v1/models/gemini-3.8-flash:generateContent"] {
        let raw = post(&server, path, "secret-a1", &prompt_body(PROMPT)).await;
        assert_eq!(raw.status, Some(200), "{raw:?}");
        assert!(raw.head.contains("content-type: application/json; charset=utf-8"), "{}", raw.head);
        assert!(raw.head.contains("x-gemini-service-tier: standard"), "{}", raw.head);
        let json = raw.json();
        assert_eq!(json["modelVersion"], MODEL);
        assert_eq!(json["responseId"].as_str().unwrap().len(), 22);
        assert_eq!(json["candidates"][0]["finishReason"], "STOP");
        assert_eq!(json["candidates"][0]["content"]["role"], "model");
        let text = json["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap();
        assert!(text.contains("```python") && text.contains("class RsiStrategy(Strategy):"), "{text}");
        assert_eq!(json["usageMetadata"]["promptTokenCount"], 10);
    }
}

#[tokio::test]
async fn credentials_come_in_header_or_url_but_not_in_both() {
    let server = serve(config(Limits::default())).await;
    let body = prompt_body(PROMPT);
    let mut seen = Vec::new();
    for (query, header) in [
        ("", ""),
        ("", "x-goog-api-key: wrong\r\n"),
        ("?key=secret-a1", ""),
        ("?key=secret-a1", "x-goog-api-key: secret-a1\r\n"),
        ("", "authorization: Bearer secret-a1\r\n"),
    ] {
        let raw =
            send(server.address(), &format!("POST {GENERATE}{query} HTTP/1.1\r\n{header}"), &body).await;
        seen.push((raw.status.unwrap(), raw.json()["error"]["status"].as_str().map(str::to_owned)));
    }
    let refused = |code, status: &str| (code, Some(status.to_owned()));
    assert_eq!(
        seen,
        [
            refused(403, "PERMISSION_DENIED"),
            refused(400, "INVALID_ARGUMENT"),
            (200, None),
            refused(400, "INVALID_ARGUMENT"),
            refused(401, "UNAUTHENTICATED"),
        ]
    );
    let in_url: Vec<bool> = server.attempts().iter().map(|attempt| attempt.key_in_url).collect();
    assert_eq!(in_url, [false, false, true, false, false]);
}

#[tokio::test]
async fn a_key_is_judged_before_the_request_and_a_bad_request_costs_nothing() {
    let server = serve(config(Limits::default().rpm(1))).await;
    let wrong_key = post(&server, GENERATE, "wrong", "{").await.json();
    assert_eq!(wrong_key["error"]["details"][0]["reason"], "API_KEY_INVALID");
    let bad = post(&server, GENERATE, "secret-a1", r#"{"contents": [{"parts": []}], "prompt": 1}"#).await;
    assert_eq!(bad.status, Some(400));
    assert_eq!(bad.json()["error"]["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(post(&server, GENERATE, "secret-a1", &prompt_body("x")).await.status, Some(200));
    assert_eq!(post(&server, GENERATE, "secret-a1", &prompt_body("x")).await.status, Some(429));
}

#[tokio::test]
async fn tokens_are_counted_without_quota() {
    let server = serve(config(Limits::default().rpm(0))).await;
    let raw =
        post(&server, "/v1beta/models/gemini-3.8-flash:countTokens", "secret-a1", &prompt_body("12345"))
            .await;
    assert_eq!(raw.json()["totalTokens"], 2);
    assert_eq!(server.attempts()[0].operation, Operation::CountTokens);
}

#[tokio::test]
async fn models_are_listed_in_pages_and_one_by_one() {
    let server = serve(config(Limits::default())).await;
    let mut names = Vec::new();
    let mut path = "/v1beta/models?pageSize=4".to_owned();
    loop {
        let page = get(&server, &path, "secret-a1").await.json();
        let models = page["models"].as_array().unwrap();
        assert!(models.len() <= 4);
        names.extend(models.iter().map(|model| model["name"].as_str().unwrap().to_owned()));
        let Some(token) = page["nextPageToken"].as_str() else { break };
        path = format!("/v1beta/models?pageSize=4&pageToken={token}");
    }
    assert_eq!(names.len(), 9);
    assert!(names.contains(&"models/gemini-3.8-flash".to_owned()));
    let one = get(&server, "/v1/models/gemini-3.8-flash", "secret-a1").await.json();
    assert_eq!(one["displayName"], "Gemini 3.8 Flash");
    assert_eq!(one["inputTokenLimit"], 1_048_576);
    assert_eq!(get(&server, "/v1beta/models/gemini-9", "secret-a1").await.status, Some(404));
    assert_eq!(get(&server, "/v1beta/models", "wrong").await.status, Some(400));
    assert_eq!(get(&server, "/v1beta/models?pageToken=99", "secret-a1").await.status, Some(400));
    assert_eq!(get(&server, "/v2/models", "secret-a1").await.status, Some(404));
}

#[tokio::test]
async fn a_cut_connection_ends_before_the_first_byte() {
    let server = serve(config(Limits::default()).fault(Fault::new(FaultKind::Cut).key("a1"))).await;
    let raw = post(&server, GENERATE, "secret-a1", &prompt_body(PROMPT)).await;
    assert_eq!((raw.status, raw.head.as_str()), (None, ""));
    assert_eq!(server.attempts()[0].status, None);
    assert_eq!(post(&server, GENERATE, "secret-b1", &prompt_body(PROMPT)).await.status, Some(200));
}

#[tokio::test]
async fn a_verbatim_fault_is_sent_as_it_is() {
    let html = FaultKind::Verbatim {
        status: 502,
        body: "<html>bad gateway</html>".to_owned(),
        content_type: Some("text/html".to_owned()),
    };
    let server = serve(config(Limits::default()).fault(Fault::new(html))).await;
    let raw = post(&server, GENERATE, "secret-a1", &prompt_body(PROMPT)).await;
    assert_eq!((raw.status, raw.body.as_str()), (Some(502), "<html>bad gateway</html>"));
    assert!(raw.head.contains("content-type: text/html"));
}

#[tokio::test]
async fn simulated_time_runs_at_the_chosen_speed() {
    let config =
        Config::default().project(Project::new("p").key("k", "s")).latency(Latency::Fixed { ms: 600_000 });
    let options = ServerOptions { speed: 60_000.0, start_ms: Some(NOON), ..ServerOptions::default() };
    let server = SimServer::start_with(config, options).await.unwrap();
    assert_eq!(post(&server, GENERATE, "s", &prompt_body(PROMPT)).await.status, Some(200));
    assert_eq!(server.attempts()[0].latency_ms, 600_000);
    assert!(server.state().now_ms >= NOON + 600_000, "ten minutes have passed in ten milliseconds");
    assert_eq!(server.state().start_ms, NOON);
}

#[tokio::test]
async fn a_stop_cuts_what_is_under_way_and_closes_the_port() {
    let slow = Fault::new(FaultKind::Slow { extra_ms: 3_600_000 });
    let server = serve(config(Limits::default()).fault(slow)).await;
    let address = server.address();
    let head = format!("POST {GENERATE} HTTP/1.1\r\nx-goog-api-key: secret-a1\r\n");
    let body = prompt_body(PROMPT);
    let call = tokio::spawn(async move { send(address, &head, &body).await });
    while server.attempts().is_empty() {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    assert_eq!(call.await.unwrap().status, None);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_bad_speed_and_a_taken_port_are_told() {
    let slow = ServerOptions { speed: 0.0, ..ServerOptions::default() };
    let error = SimServer::start_with(Config::default(), slow).await.unwrap_err();
    assert!(error.to_string().contains("speed is 0"));
    let server = serve(Config::default()).await;
    let taken = ServerOptions { listen: server.address(), ..ServerOptions::default() };
    let error = SimServer::start_with(Config::default(), taken).await.unwrap_err();
    assert!(error.to_string().contains(&server.address().to_string()));
}
