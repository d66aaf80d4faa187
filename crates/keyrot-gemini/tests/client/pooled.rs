//! Calls with a pool: failover, what is reported to whom, and streams that hold their key.

use std::time::Duration;

use futures_util::StreamExt;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Blame, Clock, Effect, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, ManualClock, MemoryStore, RunEnd,
    SystemClock,
};
use keyrot_gemini::{Finish, GeminiErrorKind, PooledGemini, StreamChunk};

use crate::scripted::{Scripted, Step, begun, event, reply, streamed};
use crate::{client, expect_error, hello};

const OK: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3}}"#;
const OVERLOADED: &str =
    r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;

/// A pool of two keys in two projects: `first` is always tried before `second`.
fn pooled(server: &Scripted) -> PooledGemini {
    pooled_at(server, &["first", "second"], SystemClock)
}

/// Each key in a project of its own, tried in this order.
fn pooled_at(server: &Scripted, names: &[&str], clock: impl Clock) -> PooledGemini {
    let secrets = MemoryStore::default();
    let mut keys = KeySet::default();
    for (priority, name) in (0..).zip(names) {
        let id = KeyId::parse(name).unwrap();
        secrets.put(&id, SecretString::from(format!("secret-of-{name}")));
        keys.upsert(KeyMetadata::new(id, "m").with_priority(priority)).unwrap();
    }
    let pool = KeyPool::builder(keys).secrets(secrets).clock(clock).seed(1).build();
    PooledGemini::new(pool, client(&server.url()))
}

fn invalid() -> Vec<Step> {
    let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}"#;
    reply("400 Bad Request", "", body)
}

#[tokio::test]
async fn a_call_moves_to_the_next_key_and_each_outcome_to_its_own() {
    let mut server = Scripted::start([invalid(), reply("200 OK", "", OK)]).await;
    let gemini = pooled(&server);
    let done = gemini.generate(&KeyRequest::model("m"), &hello()).await.unwrap();
    assert_eq!(done.value.text, "hi");
    let told: Vec<_> = done.attempts.iter().map(|it| (it.key_id.as_str(), it.outcome.effect)).collect();
    assert_eq!(told, [("first", Effect::KeyRejected), ("second", Effect::Success)]);
    assert_eq!(done.attempts[1].outcome.usage.input_tokens, Some(3));
    for name in ["secret-of-first", "secret-of-second"] {
        assert_eq!(server.asked().await.header("x-goog-api-key"), Some(name));
    }
    let health = gemini.pool().health();
    assert_eq!((health["first"].error_count, health["second"].success_count), (1, 1));
    assert!(health["first"].in_cooldown && !health["second"].in_cooldown);
}

#[tokio::test]
async fn the_callers_own_fault_costs_one_attempt_and_no_key() {
    let body =
        r#"{"error":{"code":400,"message":"Invalid value at 'contents'","status":"INVALID_ARGUMENT"}}"#;
    let server = Scripted::start([reply("400 Bad Request", "", body)]).await;
    let gemini = pooled(&server);
    let error = gemini.generate(&KeyRequest::model("m"), &hello()).await.unwrap_err();
    assert_eq!(error.attempts.len(), 1);
    let RunEnd::Failed(error) = error.end else { panic!("{error}") };
    expect_error(&error, GeminiErrorKind::Refused, Blame::Caller, Effect::Fail);
    assert!(gemini.pool().health().values().all(|key| !key.in_cooldown && key.error_count == 0));
}

#[tokio::test]
async fn the_deadline_of_the_request_is_the_callers() {
    let mut server = Scripted::start([vec![Step::Hang]]).await;
    let gemini = pooled_at(&server, &["only"], SystemClock); // with nobody to take over it has all the time
    let request = KeyRequest::model("m").within(Duration::from_secs(5));
    let call = tokio::spawn({
        let gemini = gemini.clone();
        async move { gemini.generate(&request, &hello()).await }
    });
    assert_eq!(server.asked().await.header("x-server-timeout"), Some("5"));
    server.silent().await;
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    let RunEnd::Failed(error) = error.end else { panic!("{error}") };
    expect_error(&error, GeminiErrorKind::Timeout, Blame::Caller, Effect::Fail);
    assert!(gemini.pool().health().values().all(|key| !key.in_cooldown && key.error_count == 0));
}

/// Once the server has fallen silent so much time passes, for the pool and for the client.
async fn silence(server: &mut Scripted, clock: &ManualClock, seconds: u64) {
    server.silent().await;
    clock.advance(Duration::from_secs(seconds));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_stream_that_never_begins_is_left_for_another_key_within_the_deadline() {
    let mut server = Scripted::start([vec![Step::Hang], streamed([event("hi", Some("STOP"))])]).await;
    let clock = ManualClock::default();
    let gemini = pooled_at(&server, &["first", "second"], clock.clone());
    let request = KeyRequest::model("m").within(Duration::from_secs(60));
    let call = tokio::spawn(async move {
        let mut stream = gemini.stream(&request, &hello()).await.unwrap();
        while stream.next().await.transpose().unwrap().is_some() {}
        stream.attempts()
    });
    silence(&mut server, &clock, 41).await;
    let attempts = call.await.unwrap();
    let told: Vec<_> = attempts.iter().map(|it| (it.key_id.as_str(), it.outcome.effect)).collect();
    assert_eq!(told, [("first", Effect::Transient), ("second", Effect::Success)]);
    assert_eq!(attempts[0].outcome.detail, "no answer within 40 s");
}

/// A whole answer gives no sign of life before it is there: nobody cuts a long one short.
#[tokio::test]
async fn a_whole_answer_has_all_the_time_of_its_call() {
    let mut server = Scripted::start([vec![Step::Hang]]).await;
    let clock = ManualClock::default();
    let gemini = pooled_at(&server, &["first", "second"], clock.clone());
    let request = KeyRequest::model("m").within(Duration::from_secs(60));
    let call = tokio::spawn(async move { gemini.generate(&request, &hello()).await.unwrap_err() });
    silence(&mut server, &clock, 61).await;
    let error = call.await.unwrap();
    let told: Vec<_> = error.attempts.iter().map(|it| &*it.outcome.detail).collect();
    assert_eq!(told, ["the caller's deadline passed after 60 s"]);
}

/// Who begins late is not cut short for a third one, that would have no time left to answer.
#[tokio::test]
async fn a_try_in_the_second_half_of_the_time_has_all_that_is_left() {
    let mut server = Scripted::start([vec![Step::Hang], vec![Step::Hang]]).await;
    let clock = ManualClock::default();
    let gemini = pooled_at(&server, &["first", "second", "third"], clock.clone());
    let request = KeyRequest::model("m").within(Duration::from_secs(60));
    let call = tokio::spawn(async move { gemini.stream(&request, &hello()).await.unwrap_err() });
    silence(&mut server, &clock, 41).await;
    server.silent().await;
    tokio::time::pause();
    let error = call.await.unwrap();
    let told: Vec<_> = error.attempts.iter().map(|it| &*it.outcome.detail).collect();
    assert_eq!(told, ["no answer within 40 s", "the caller's deadline passed after 19 s"]);
}

#[tokio::test]
async fn a_stream_moves_on_until_its_first_content() {
    let quiet = "data: {\"usageMetadata\":{\"promptTokenCount\":7}}\r\n\r\n".to_owned();
    let error = format!("data: {OVERLOADED}\r\n\r\n");
    let server = Scripted::start([
        streamed([quiet.clone(), error]),
        streamed([quiet, event("a", None), event("b", Some("STOP"))]),
    ])
    .await;
    let gemini = pooled(&server);
    let mut stream = gemini.stream(&KeyRequest::model("m"), &hello()).await.unwrap();
    assert_eq!((stream.key_id().as_str(), stream.model().as_str()), ("second", "m"));
    assert_eq!(stream.attempts().len(), 1, "the one that failed");

    let first = stream.next().await.unwrap().unwrap();
    assert_eq!((first.text.as_str(), first.usage.prompt_token_count), ("a", Some(7)));
    assert_eq!(gemini.pool().health()["second"].success_count, 0, "it counts at the end");

    let mut sum = first;
    while let Some(chunk) = stream.next().await {
        sum.append(chunk.unwrap());
    }
    let reply = sum.into_reply().unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("ab", Finish::Stop));
    assert_eq!(gemini.pool().health()["second"].success_count, 1);
    let told: Vec<_> =
        stream.attempts().iter().map(|it| (it.key_id.to_string(), it.outcome.effect)).collect();
    assert_eq!(told, [("first".to_owned(), Effect::Overload), ("second".to_owned(), Effect::Success)]);
}

#[tokio::test]
async fn a_stream_that_breaks_after_content_is_an_error_and_no_second_answer() {
    let error = format!("data: {OVERLOADED}\r\n\r\n");
    let server = Scripted::start([streamed([event("half", None), error]), reply("200 OK", "", OK)]).await;
    let gemini = pooled(&server);
    let mut stream = gemini.stream(&KeyRequest::model("m"), &hello()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "half");
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.attempts.len(), 1);
    let RunEnd::Failed(error) = error.end else { panic!("{error}") };
    expect_error(&error, GeminiErrorKind::Refused, Blame::Model, Effect::Overload);
    assert!(stream.next().await.is_none());
    let health = &gemini.pool().health()["first"];
    assert_eq!((health.success_count, health.error_count, health.abandoned_count), (0, 1, 0));
}

#[tokio::test]
async fn a_stream_dropped_by_its_reader_blames_nobody() {
    let mut script = begun([event("half", None)]);
    script.push(Step::Hang);
    let server = Scripted::start([script]).await;
    let gemini = pooled(&server);
    let mut stream = gemini.stream(&KeyRequest::model("m"), &hello()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "half");
    drop(stream);
    let health = &gemini.pool().health()["first"];
    assert_eq!((health.success_count, health.error_count, health.abandoned_count), (0, 0, 1));
    assert!(!health.in_cooldown);
}

/// The end of the answer is what counts: a reader need not wait for the end of the connection.
#[tokio::test]
async fn a_stream_dropped_after_the_answers_end_is_a_success() {
    let mut script = begun([event("all", Some("MAX_TOKENS"))]);
    script.push(Step::Hang);
    let server = Scripted::start([script]).await;
    let gemini = pooled(&server);
    let mut stream = gemini.stream(&KeyRequest::model("m"), &hello()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().finish, Some(Finish::MaxTokens));
    drop(stream);
    let health = &gemini.pool().health()["first"];
    assert_eq!((health.success_count, health.abandoned_count), (1, 0));
}

#[tokio::test]
async fn a_blocked_prompt_is_a_stream_of_one_piece_and_a_success() {
    let blocked = "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\r\n\r\n";
    let server = Scripted::start([streamed([blocked])]).await;
    let gemini = pooled(&server);
    let stream = gemini.stream(&KeyRequest::model("m"), &hello()).await.unwrap();
    let chunks: Vec<StreamChunk> = stream.map(Result::unwrap).collect().await;
    assert!(chunks.len() == 1 && chunks[0].prompt_blocked);
    assert_eq!(gemini.pool().health()["first"].success_count, 1);
}

#[tokio::test]
async fn a_pool_without_a_fitting_key_says_so() {
    let server = Scripted::start([]).await;
    let gemini = pooled(&server);
    let whole = gemini.generate(&KeyRequest::model("unknown"), &hello()).await.unwrap_err().to_string();
    let piecewise = gemini.stream(&KeyRequest::model("unknown"), &hello()).await.unwrap_err().to_string();
    assert!(whole.starts_with(keyrot_core::NO_KEYS) && whole == piecewise, "{whole} {piecewise}");
}

/// Both futures and the stream can live in tasks of a server with many threads.
#[tokio::test]
async fn calls_can_be_spawned() {
    let server = Scripted::start([reply("200 OK", "", OK), streamed([event("a", Some("STOP"))])]).await;
    let gemini = pooled(&server);
    let whole = tokio::spawn({
        let gemini = gemini.clone();
        async move { gemini.generate(&KeyRequest::model("m"), &hello()).await.unwrap().value.text }
    });
    assert_eq!(whole.await.unwrap(), "hi");
    let piecewise = tokio::spawn(async move {
        let stream = gemini.stream(&KeyRequest::model("m"), &hello()).await.unwrap();
        stream.map(|chunk| chunk.unwrap().text).collect::<String>().await
    });
    assert_eq!(piecewise.await.unwrap(), "a");
}
