//! A schema that is preferred: who is sent it, and what follows when it is refused.

use futures_util::StreamExt;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{Effect, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, MemoryStore, RunEnd};
use keyrot_gemini::{GenerateRequest, PooledGemini};
use serde_json::{Value, json};

use crate::client;
use crate::scripted::{Scripted, Step, event, reply, streamed};

const JSON: &str = "{\\\"x\\\": 1}";

fn answer(text: &str) -> Vec<Step> {
    let body = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":3}}}}"#
    );
    reply("200 OK", "", &body)
}

fn refusal(message: &str) -> Vec<Step> {
    let body = json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}});
    reply("400 Bad Request", "", &body.to_string())
}

fn no_json() -> Vec<Step> {
    refusal("JSON mode is not enabled for models/gemini-x")
}

/// A key for each of two models.
fn pooled(server: &Scripted) -> PooledGemini {
    let secrets = MemoryStore::default();
    let mut keys = KeySet::default();
    for (name, model) in [("only", "gemini-x"), ("other", "gemma-x")] {
        let id = KeyId::parse(name).unwrap();
        secrets.put(&id, SecretString::from("secret"));
        keys.upsert(KeyMetadata::new(id, model)).unwrap();
    }
    PooledGemini::new(KeyPool::builder(keys).secrets(secrets).seed(1).build(), client(&server.url()))
}

fn body() -> GenerateRequest {
    GenerateRequest::user("hello").preferred_schema(json!({"type": "OBJECT"}))
}

/// True if the next request asked for JSON.
async fn asked_for_json(server: &mut Scripted) -> bool {
    let body: Value = serde_json::from_str(&server.asked().await.body).unwrap();
    let config = &body["generationConfig"];
    assert_eq!(config["responseMimeType"].is_null(), config["responseSchema"].is_null());
    !config["responseSchema"].is_null()
}

#[tokio::test]
async fn a_model_of_geminis_own_is_sent_it_and_another_is_not() {
    let mut server = Scripted::start([answer(JSON), answer("text")]).await;
    let gemini = pooled(&server);
    let done = gemini.generate(&KeyRequest::model("gemini-x"), &body()).await.unwrap();
    assert_eq!((done.value.text.as_str(), done.attempts.len()), ("{\"x\": 1}", 1));
    assert!(asked_for_json(&mut server).await);
    gemini.generate(&KeyRequest::model("gemma-x"), &body()).await.unwrap();
    assert!(!asked_for_json(&mut server).await);
}

#[tokio::test]
async fn a_refusal_costs_one_call_once_and_no_key_its_name() {
    let stream = streamed([event("text", Some("STOP"))]);
    let mut server = Scripted::start([no_json(), answer("text"), answer("more"), stream]).await;
    let gemini = pooled(&server);
    let request = KeyRequest::model("gemini-x");
    let done = gemini.generate(&request, &body()).await.unwrap();
    assert_eq!(done.value.text, "text");
    let effects: Vec<Effect> = done.attempts.iter().map(|attempt| attempt.outcome.effect).collect();
    assert_eq!(effects, [Effect::Fail, Effect::Success], "the call without it is an attempt like any other");
    assert!(done.attempts[0].outcome.detail.contains("JSON mode is not enabled"), "{:?}", done.attempts);
    assert!(asked_for_json(&mut server).await && !asked_for_json(&mut server).await);
    let health = &gemini.pool().health()["only"];
    assert!(!health.in_cooldown && health.error_count == 0 && health.success_count == 1, "{health:?}");

    // A clone knows it too, and so do streams.
    let done = gemini.clone().generate(&request, &body()).await.unwrap();
    assert_eq!((done.value.text.as_str(), done.attempts.len()), ("more", 1));
    let mut stream = gemini.stream(&request, &body()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "text");
    assert!(!asked_for_json(&mut server).await && !asked_for_json(&mut server).await);
}

#[tokio::test]
async fn a_stream_is_begun_anew_without_it() {
    let mut server = Scripted::start([no_json(), streamed([event("text", Some("STOP"))])]).await;
    let gemini = pooled(&server);
    let mut stream = gemini.stream(&KeyRequest::model("gemini-x"), &body()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "text");
    assert!(stream.next().await.is_none());
    assert_eq!(stream.attempts().len(), 2);
    assert!(asked_for_json(&mut server).await && !asked_for_json(&mut server).await);
}

#[tokio::test]
async fn other_refusals_and_a_schema_that_is_demanded_end_the_call() {
    let other = "* GenerateContentRequest.contents: contents is too long";
    let mut server = Scripted::start([refusal(other), no_json(), no_json(), no_json(), no_json()]).await;
    let gemini = pooled(&server);
    let demanded = GenerateRequest::user("hello").response_schema(json!({"type": "OBJECT"}));
    let request = KeyRequest::model("gemini-x");
    for body in [body(), demanded.clone(), demanded] {
        let error = gemini.generate(&request, &body).await.unwrap_err();
        assert!(matches!(error.end, RunEnd::Failed(_)) && error.attempts.len() == 1, "{error}");
        assert!(asked_for_json(&mut server).await);
    }
    // What refuses the plain call as well is not asked a third time.
    let error = gemini.generate(&request, &body()).await.unwrap_err();
    assert!(matches!(error.end, RunEnd::Failed(_)) && error.attempts.len() == 2, "{error}");
}
