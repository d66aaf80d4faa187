//! Answers that come piece by piece, and those that break on the way.

use futures_util::StreamExt;
use keyrot_core::{Blame, Classify, Effect};
use keyrot_gemini::{Finish, GeminiError, GeminiErrorKind, GenerateReply};
use std::time::Duration;

use crate::scripted::{Scripted, Step, begun, event, reply, streamed};
use crate::{client, expect_error, hello, secret};

/// The texts that arrived, and how it ended.
async fn read(script: Vec<Step>) -> (Vec<String>, Result<(), GeminiError>) {
    let server = Scripted::start([script]).await;
    let mut stream = client(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap();
    let mut texts = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => texts.push(chunk.text),
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing comes after an error");
                return (texts, Err(error));
            }
        }
    }
    (texts, Ok(()))
}

async fn collect(script: Vec<Step>) -> Result<GenerateReply, GeminiError> {
    let server = Scripted::start([script]).await;
    let stream = client(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap();
    stream.collect_reply().await
}

#[tokio::test]
async fn pieces_arrive_in_order_and_add_up() {
    let mut server =
        Scripted::start([streamed([event("a", None), event("b", None), event("c", Some("STOP"))])]).await;
    let stream = client(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap();
    let reply = stream.collect_reply().await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("abc", Finish::Stop));
    assert_eq!(reply.usage.prompt_token_count, Some(7));
    let asked = server.asked().await;
    assert!(
        asked.head.starts_with("POST /v1beta/models/m:streamGenerateContent?alt=sse HTTP/1.1"),
        "{}",
        asked.head
    );
}

#[tokio::test]
async fn borders_inside_characters_and_lines_do_not_matter() {
    let whole = format!("\u{feff}: hello\r\n\r\n{}{}", event("ключ 🗝", None), event("!", Some("STOP")));
    let reply = collect(streamed(whole.as_bytes().chunks(1))).await.unwrap();
    assert_eq!(reply.text, "ключ 🗝!");
}

#[tokio::test]
async fn an_answer_without_its_end_is_an_error_after_its_pieces() {
    let (texts, end) = read(streamed([event("half", None)])).await;
    assert_eq!(texts, ["half"]);
    expect_error(&end.unwrap_err(), GeminiErrorKind::Incomplete, Blame::Service, Effect::Transient);

    let cut = event("more", Some("STOP"));
    let (texts, end) = read(streamed([event("half", None).as_str(), &cut[..40]])).await;
    assert_eq!(texts, ["half"]);
    expect_error(&end.unwrap_err(), GeminiErrorKind::Incomplete, Blame::Service, Effect::Transient);

    let (texts, end) = read(streamed([""; 0])).await;
    assert!(texts.is_empty());
    expect_error(&end.unwrap_err(), GeminiErrorKind::Incomplete, Blame::Service, Effect::Transient);
}

#[tokio::test]
async fn a_cut_connection_is_an_error_unless_the_end_was_seen() {
    let (texts, end) = read(begun([event("half", None)])).await;
    assert_eq!(texts, ["half"]);
    expect_error(&end.unwrap_err(), GeminiErrorKind::Interrupted, Blame::Service, Effect::Transient);

    let (texts, end) = read(begun([event("all", Some("STOP"))])).await;
    assert_eq!((texts, end.is_ok()), (vec!["all".to_owned()], true));
}

#[tokio::test]
async fn an_error_event_in_the_middle_has_its_own_verdict() {
    for (error, blame, effect) in [
        (
            r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
            Blame::Model,
            Effect::Overload,
        ),
        (
            r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota)."}}"#,
            Blame::Project,
            Effect::Cooldown,
        ),
        (
            r#"{"event_type":"error","error":{"code":"rate_limit_exceeded","message":"slow down"}}"#,
            Blame::Project,
            Effect::Cooldown,
        ),
    ] {
        let (texts, end) = read(streamed([event("half", None), format!("data: {error}\n\n")])).await;
        assert_eq!(texts, ["half"]);
        let error = end.unwrap_err();
        expect_error(&error, GeminiErrorKind::Refused, blame, effect);
        assert_eq!(error.status(), Some(200));
    }
}

#[tokio::test]
async fn an_unframed_error_at_the_tail_has_its_own_verdict() {
    let tail = "{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"Quota exceeded.\\nPlease retry in 5s.\",\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}";
    for tail in [tail.to_owned(), format!("[{tail}\n]\n"), format!("{tail}\r\n")] {
        for script in
            [streamed([event("half", None), tail.clone()]), begun([event("half", None), tail.clone()])]
        {
            let (texts, end) = read(script).await;
            assert_eq!(texts, ["half"]);
            let error = end.unwrap_err();
            expect_error(&error, GeminiErrorKind::Refused, Blame::ProjectModel, Effect::Cooldown);
            assert_eq!(error.outcome().retry_after, Some(Duration::from_secs(5)));
        }
    }
}

#[tokio::test]
async fn a_blocked_prompt_ends_the_stream_as_a_reply() {
    let blocked = "data: {\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}}\r\n\r\n";
    let reply = collect(streamed([blocked])).await.unwrap();
    assert_eq!(reply.finish, Finish::Blocked { reason: "PROHIBITED_CONTENT".to_owned() });
    assert!(reply.prompt_blocked && reply.text.is_empty());
}

#[tokio::test]
async fn an_array_instead_of_events_is_read_as_well() {
    let chunk = |text: &str, end: &str| {
        format!("{{\n\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}{end}}}]}}")
    };
    let body = format!("[{}\n,\r\n{}\n]\n", chunk("a", ""), chunk("b", ",\"finishReason\":\"STOP\""));
    assert_eq!(collect(streamed([body])).await.unwrap().text, "ab");
}

#[tokio::test]
async fn a_page_instead_of_events_is_malformed() {
    let (texts, end) = read(streamed(["<html>\n<p>Sorry... automated queries</p>\n</html>"])).await;
    assert!(texts.is_empty());
    expect_error(&end.unwrap_err(), GeminiErrorKind::Malformed, Blame::Host, Effect::Fail);
}

#[tokio::test]
async fn a_done_mark_of_another_api_is_no_error() {
    let reply = collect(streamed([event("a", Some("STOP")), "data: [DONE]\n\n".to_owned()])).await.unwrap();
    assert_eq!(reply.text, "a");
}

#[tokio::test]
async fn a_refusal_before_the_stream_is_the_calls_error() {
    let body = r#"{"error":{"code":404,"message":"models/m is not found","status":"NOT_FOUND"}}"#;
    let server = Scripted::start([reply("404 Not Found", "", body)]).await;
    let error = client(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Refused, Blame::Model, Effect::ModelMissing);
}
