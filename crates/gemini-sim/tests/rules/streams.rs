//! Streams: whole, broken and cut, over HTTP.

use gemini_sim::{Fault, FaultKind, Latency, Limits, SimServer};
use serde_json::Value;

use crate::client::{Raw, post, prompt_body};
use crate::{PROMPT, config};

const STREAM: &str = "/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse";

async fn stream(fault: Option<FaultKind>, path: &str) -> Raw {
    let mut config = config(Limits::default()).latency(Latency::ZERO);
    config.chunk_latency = Latency::ZERO;
    config.faults.extend(fault.map(Fault::new));
    let server = SimServer::start(config).await.unwrap();
    let raw = post(&server, path, "secret-a1", &prompt_body(PROMPT)).await;
    server.stop().await;
    raw
}

fn text(events: &[Value]) -> String {
    let piece =
        |event: &Value| event["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap().to_owned();
    events.iter().map(piece).collect()
}

#[tokio::test]
async fn events_carry_usage_and_only_the_last_a_finish_reason() {
    let raw = stream(None, STREAM).await;
    assert!(raw.complete && raw.head.contains("content-type: text/event-stream"), "{raw:?}");
    let events = raw.events();
    assert!(events.len() >= 4, "{} events", events.len());
    let (last, before) = events.split_last().unwrap();
    assert!(before.iter().all(|event| event["candidates"][0].get("finishReason").is_none()));
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert!(events.iter().all(|event| event["usageMetadata"]["promptTokenCount"] == 10));
    assert!(events.iter().all(|event| event["responseId"] == last["responseId"]));
    assert!(text(&events).contains("class RsiStrategy(Strategy):"));
    assert!(!raw.body.contains("[DONE]"));
}

#[tokio::test]
async fn without_sse_the_chunks_are_a_json_array() {
    let raw = stream(None, STREAM.strip_suffix("?alt=sse").unwrap()).await;
    assert!(raw.head.contains("content-type: application/json"));
    let chunks = raw.json().as_array().unwrap().clone();
    assert!(text(&chunks).contains("class RsiStrategy(Strategy):"));
}

#[tokio::test]
async fn a_cut_stream_has_content_but_no_end() {
    let raw = stream(Some(FaultKind::CutMidStream), STREAM).await;
    assert_eq!((raw.status, raw.complete), (Some(200), false));
    let events = raw.events();
    assert!(
        events.len() >= 2 && events.iter().all(|event| event["candidates"][0].get("finishReason").is_none())
    );
}

#[tokio::test]
async fn a_cut_reply_is_half_of_a_json_object() {
    let raw = stream(Some(FaultKind::CutMidStream), "/v1beta/models/gemini-3.8-flash:generateContent").await;
    assert_eq!((raw.status, raw.complete), (Some(200), false));
    assert!(raw.body.starts_with("{\n") && serde_json::from_str::<Value>(&raw.body).is_err(), "{raw:?}");
}

#[tokio::test]
async fn an_error_event_follows_content_and_the_stream_ends_cleanly() {
    let raw = stream(Some(FaultKind::StreamErrorEvent { code: 503 }), STREAM).await;
    let events = raw.events();
    let (error, content) = events.split_last().unwrap();
    assert!(raw.complete && content.len() >= 2);
    assert_eq!((&error["error"]["code"], &error["error"]["status"]), (&503.into(), &"UNAVAILABLE".into()));
}

#[tokio::test]
async fn an_error_tail_is_pretty_json_and_no_event() {
    let raw = stream(Some(FaultKind::StreamErrorTail { code: 429 }), STREAM).await;
    assert!(raw.complete);
    let (content, tail) = raw.body.rsplit_once("\r\n\r\n").unwrap();
    assert!(content.starts_with("data: {\"candidates\""));
    assert!(tail.starts_with("{\n  \"error\": {\n    \"code\": 429,"), "{tail}");
    assert_eq!(serde_json::from_str::<Value>(tail).unwrap()["error"]["status"], "RESOURCE_EXHAUSTED");
}

#[tokio::test]
async fn a_blocked_prompt_is_one_event_without_candidates() {
    let events = stream(Some(FaultKind::SafetyBlock), STREAM).await.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["promptFeedback"]["blockReason"], "SAFETY");
    assert!(events[0].get("candidates").is_none());
}
