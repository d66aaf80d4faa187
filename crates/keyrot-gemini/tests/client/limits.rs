//! Bounds on time and size. Time stands still once the server has fallen silent, and then jumps.

use std::time::Duration;

use futures_util::StreamExt;
use keyrot_core::{Blame, Effect};
use keyrot_gemini::{Gemini, GeminiErrorKind};

use crate::scripted::{Scripted, Step, begun, event};
use crate::{client, expect_error, hello, secret};

fn impatient(url: &str) -> Gemini {
    Gemini::builder()
        .base_url(url)
        .first_byte_timeout(Duration::from_secs(40))
        .chunk_timeout(Duration::from_secs(30))
        .total_timeout(Duration::from_secs(100))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_server_that_never_answers_is_transient() {
    let mut server = Scripted::start([vec![Step::Hang], vec![Step::Hang]]).await;
    for streaming in [false, true] {
        let gemini = impatient(&server.url());
        let call = tokio::spawn(async move {
            match streaming {
                true => gemini.stream(&secret(), &"m".into(), &hello()).await.err(),
                false => gemini.generate(&secret(), &"m".into(), &hello()).await.err(),
            }
        });
        server.silent().await;
        tokio::time::pause();
        let error = call.await.unwrap().unwrap();
        tokio::time::resume();
        expect_error(&error, GeminiErrorKind::Timeout, Blame::Service, Effect::Transient);
        assert!(error.to_string().contains("no answer within 40 s"), "{error}");
    }
}

#[tokio::test]
async fn the_callers_shorter_deadline_blames_the_caller() {
    let mut server = Scripted::start([vec![Step::Hang]]).await;
    let gemini = impatient(&server.url()).within(Duration::from_millis(2500));
    let call = tokio::spawn(async move { gemini.generate(&secret(), &"m".into(), &hello()).await });
    assert_eq!(server.asked().await.header("x-server-timeout"), Some("3"));
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    expect_error(&error, GeminiErrorKind::Timeout, Blame::Caller, Effect::Fail);
    assert!(error.to_string().contains("the caller's deadline passed after 2.5 s"), "{error}");
}

#[tokio::test]
async fn a_callers_longer_deadline_changes_nothing() {
    let mut server = Scripted::start([vec![Step::Hang]]).await;
    let gemini = impatient(&server.url()).within(Duration::from_secs(1000));
    let call = tokio::spawn(async move { gemini.generate(&secret(), &"m".into(), &hello()).await });
    assert_eq!(server.asked().await.header("x-server-timeout"), Some("100"));
    tokio::time::pause();
    expect_error(
        &call.await.unwrap().unwrap_err(),
        GeminiErrorKind::Timeout,
        Blame::Service,
        Effect::Transient,
    );
}

#[tokio::test]
async fn silence_inside_a_stream_is_transient_after_thirty_seconds() {
    let mut script = begun([event("half", None)]);
    script.push(Step::Hang);
    let server = Scripted::start([script]).await;
    let mut stream = impatient(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "half");
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let error = stream.next().await.unwrap().unwrap_err();
    expect_error(&error, GeminiErrorKind::Timeout, Blame::Service, Effect::Transient);
    let waited = before.elapsed().as_secs_f64();
    assert!((30.0..31.0).contains(&waited), "{waited}");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn silence_beyond_the_callers_deadline_blames_the_caller() {
    let mut script = begun([event("half", None)]);
    script.push(Step::Hang);
    let server = Scripted::start([script]).await;
    let gemini = impatient(&server.url()).within(Duration::from_secs(20));
    let mut stream = gemini.stream(&secret(), &"m".into(), &hello()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "half");
    tokio::time::pause();
    let error = stream.next().await.unwrap().unwrap_err();
    expect_error(&error, GeminiErrorKind::Timeout, Blame::Caller, Effect::Fail);
}

#[tokio::test]
async fn a_stream_that_ended_but_stays_open_is_complete() {
    let mut script = begun([event("all", Some("STOP"))]);
    script.push(Step::Hang);
    let server = Scripted::start([script]).await;
    let mut stream = impatient(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "all");
    tokio::time::pause();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_body_that_stands_still_is_transient() {
    let head = Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"candid".to_vec());
    let mut server = Scripted::start([vec![head, Step::Hang]]).await;
    let gemini = impatient(&server.url());
    let call = tokio::spawn(async move { gemini.generate(&secret(), &"m".into(), &hello()).await });
    server.silent().await;
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    expect_error(&error, GeminiErrorKind::Timeout, Blame::Service, Effect::Transient);
    assert!(error.to_string().contains("stood still for 30 s"), "{error}");
}

#[tokio::test]
async fn an_error_body_that_stands_still_is_judged_by_what_came() {
    let head = Step::Send(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\n\r\n".to_vec());
    let mut server = Scripted::start([vec![head, Step::Hang]]).await;
    let gemini = impatient(&server.url());
    let call = tokio::spawn(async move { gemini.generate(&secret(), &"m".into(), &hello()).await });
    server.silent().await;
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    expect_error(&error, GeminiErrorKind::Refused, Blame::Key, Effect::KeyRejected);
}

#[tokio::test]
async fn a_long_error_body_is_read_in_part() {
    let endless = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut script = vec![Step::Send(head.into())];
        script.extend((0..64).map(|_| Step::Send(format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096)).into())));
        script.push(Step::Hang);
        script
    };
    let server = Scripted::start([endless("500 Internal Server Error")]).await;
    let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Refused, Blame::Service, Effect::Transient);
    assert!(error.to_string().chars().count() < 400, "{error}");
}

#[tokio::test]
async fn a_reply_without_end_is_given_up() {
    let mebibyte = Step::Send(format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20)).into());
    let mut script = begun([""; 0]);
    script.extend(vec![mebibyte; 40]);
    let server = Scripted::start([script.clone(), script]).await;
    let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::TooLarge, Blame::Service, Effect::Fail);
    let stream = client(&server.url()).stream(&secret(), &"m".into(), &hello()).await.unwrap();
    let error = stream.collect_reply().await.unwrap_err();
    expect_error(&error, GeminiErrorKind::TooLarge, Blame::Service, Effect::Fail);
}
