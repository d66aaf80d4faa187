//! What is sent for each call, and how whole replies are read.

use keyrot_core::{Blame, Classify, Effect, Usage};
use keyrot_gemini::{Finish, GeminiErrorKind};
use serde_json::{Value, json};

use crate::scripted::{Scripted, reply};
use crate::{SECRET, client, expect_error, hello, secret};

const OK: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],
    "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1,"totalTokenCount":4},"modelVersion":"m-001","responseId":"r"}"#;

#[tokio::test]
async fn the_key_travels_in_the_header_alone() {
    let mut server = Scripted::start([reply("200 OK", "", OK)]).await;
    client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap();
    let asked = server.asked().await;
    assert!(asked.head.starts_with("POST /v1beta/models/m:generateContent HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.header("x-goog-api-key"), Some(SECRET));
    assert_eq!(asked.header("x-server-timeout"), Some("600"));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.head.matches(SECRET).count() + asked.body.matches(SECRET).count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&asked.body).unwrap(), json!(hello()));
}

#[tokio::test]
async fn a_whole_answer_with_its_counts() {
    let server = Scripted::start([reply("200 OK", "", OK)]).await;
    let reply = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("hi", Finish::Stop));
    assert_eq!(reply.usage.settled(), Usage::input(3));
    assert_eq!(reply.usage.total_token_count, Some(4));
    assert_eq!((reply.model_version.as_deref(), reply.response_id.as_deref()), (Some("m-001"), Some("r")));
}

#[tokio::test]
async fn blocked_and_cut_answers_are_replies() {
    let cut = r#"{"candidates":[{"finishReason":"MAX_TOKENS"}],"usageMetadata":{"thoughtsTokenCount":500}}"#;
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY","safetyRatings":[{"category":"X","probability":"HIGH"}]}}"#;
    let recited =
        r#"{"candidates":[{"content":{"parts":[{"text":"once upon"}]},"finishReason":"RECITATION"}]}"#;
    for (body, finish, text, prompt_blocked) in [
        (cut, Finish::MaxTokens, "", false),
        (blocked, Finish::Blocked { reason: "SAFETY".to_owned() }, "", true),
        (recited, Finish::Blocked { reason: "RECITATION".to_owned() }, "once upon", false),
    ] {
        let server = Scripted::start([reply("200 OK", "", body)]).await;
        let reply = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap();
        assert_eq!((reply.finish, reply.text.as_str(), reply.prompt_blocked), (finish, text, prompt_blocked));
    }
}

#[tokio::test]
async fn a_reply_without_an_end_is_an_error() {
    let open = r#"{"candidates":[{"content":{"parts":[{"text":"half of it"}]}}]}"#;
    for body in ["{}", open] {
        let server = Scripted::start([reply("200 OK", "", body)]).await;
        let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
        expect_error(&error, GeminiErrorKind::Incomplete, Blame::Service, Effect::Transient);
    }
}

#[tokio::test]
async fn a_200_that_is_no_answer_is_told_apart() {
    use GeminiErrorKind::{Malformed, Refused};
    let overloaded = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let wrapped = format!("[{overloaded}]");
    for (body, kind, blame, effect) in [
        ("<html><title>Login</title></html>", Malformed, Blame::Service, Effect::Transient),
        ("<html>Sorry... automated queries</html>", Malformed, Blame::Host, Effect::Fail),
        ("", Malformed, Blame::Service, Effect::Transient),
        ("{\"candidates\":[", Malformed, Blame::Service, Effect::Transient),
        ("[]", Malformed, Blame::Service, Effect::Transient),
        ("{\"candidates\":\"text\"}", Malformed, Blame::Service, Effect::Transient),
        (overloaded, Refused, Blame::Model, Effect::Overload),
        (wrapped.as_str(), Malformed, Blame::Model, Effect::Overload),
    ] {
        let server = Scripted::start([reply("200 OK", "", body)]).await;
        let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
        expect_error(&error, kind, blame, effect);
        assert_eq!(error.status(), Some(200));
    }
}

#[tokio::test]
async fn a_refusal_carries_status_delay_and_words() {
    let body = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let server = Scripted::start([reply("503 Service Unavailable", "retry-after: 9\r\n", body)]).await;
    let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Refused, Blame::Model, Effect::Overload);
    assert_eq!(error.status(), Some(503));
    assert_eq!(error.outcome().retry_after.map(|delay| delay.as_secs()), Some(9));
    assert_eq!(error.to_string(), "Gemini refused the call: 503 UNAVAILABLE: The model is overloaded.");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Scripted::start([reply("200 OK", "", OK)]).await;
    let location = format!("location: {}/v1beta/models/m:generateContent\r\n", elsewhere.url());
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let server = Scripted::start([reply(status, &location, "")]).await;
        let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
        expect_error(&error, GeminiErrorKind::Refused, Blame::Host, Effect::Fail);
    }
}

#[tokio::test]
async fn tokens_are_counted_with_the_system_instruction() {
    let answer = r#"{"totalTokens": 31, "cachedContentTokenCount": 4}"#;
    let mut server = Scripted::start([reply("200 OK", "", answer)]).await;
    let total =
        client(&server.url()).count_tokens(&secret(), &"m".into(), &hello().system("brief")).await.unwrap();
    assert_eq!((total.total_tokens, total.cached_content_token_count), (31, Some(4)));
    let asked = server.asked().await;
    assert!(asked.head.starts_with("POST /v1beta/models/m:countTokens HTTP/1.1"), "{}", asked.head);
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["generateContentRequest"]["model"], "models/m");
    assert_eq!(body["generateContentRequest"]["systemInstruction"]["parts"][0]["text"], "brief");
}

#[tokio::test]
async fn all_pages_of_models_are_read() {
    let mut server = Scripted::start([
        reply("200 OK", "", r#"{"models":[{"name":"models/a","inputTokenLimit":1000,"temperature":1.5}],"nextPageToken":"x&y"}"#),
        reply("200 OK", "", r#"{"models":[{"name":"models/b"}]}"#),
    ])
    .await;
    let models = client(&server.url()).models(&secret()).await.unwrap();
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(
        (names.as_slice(), models[0].input_token_limit),
        (["models/a", "models/b"].as_slice(), Some(1000))
    );
    assert!(server.asked().await.head.starts_with("GET /v1beta/models?pageSize=1000 HTTP/1.1"));
    assert!(
        server.asked().await.head.starts_with("GET /v1beta/models?pageSize=1000&pageToken=x%26y HTTP/1.1")
    );
}

#[tokio::test]
async fn a_list_of_models_without_end_is_given_up() {
    let page = reply("200 OK", "", r#"{"models":[],"nextPageToken":"again"}"#);
    let server = Scripted::start(vec![page; 20]).await;
    let error = client(&server.url()).models(&secret()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::TooLarge, Blame::Service, Effect::Fail);
}

#[tokio::test]
async fn a_request_without_contents_is_not_sent() {
    let request = keyrot_gemini::GenerateRequest::default().system("brief");
    let error = client("http://127.0.0.1:1").generate(&secret(), &"m".into(), &request).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::InvalidRequest, Blame::Caller, Effect::Fail);
}
